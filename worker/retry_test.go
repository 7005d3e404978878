package worker

import (
	"io"
	"lockstep/worker/barrier"
	"lockstep/worker/walks"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/worker/deliver"
	"lockstep/worker/listing"
	"lockstep/worker/omit"
	"lockstep/worker/pump"
	"lockstep/worker/track"
)

func testRoot(t *testing.T, targets int) *root {
	t.Helper()
	_, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r0, _, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = w
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	source, err := pump.NewSource(fd)
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{barriers: barrier.Queue{Mark: source.Mark},
		log: pump.Log{W: io.Discard}, helper: pump.NewClient(r0), now: time.Now(),
		feed: source, flights: map[uint32]deliver.Flight{},
		jobs: map[ipc.JobID]*deliver.Task{}, early: map[ipc.JobID]ipc.Exited{},
	}
	e.takers = e.taking()
	cfg := &settings.Sync{Root: 1, RetryMin: time.Minute, UnwatchedEvery: time.Minute}
	for id := range targets {
		cfg.Targets = append(cfg.Targets, ipc.TargetID(id+1))
	}
	r, err := newRoot(e, cfg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	e.roots = []*root{r}
	return r
}

// A directory that is refused twice is tried a third time.
func TestRefusedDirectoryIsTriedAgain(t *testing.T) {
	r := testRoot(t, 1)
	r.track.Start(false, 0)
	refuse := func() {
		t.Helper()
		if len(r.asks.List) == 0 {
			t.Fatal("nothing is asked for")
		}
		for _, w := range r.asks.List {
			r.track.Listing(track.Listing{Serial: w.Serial, WD: -1, Status: uint16(ipc.StatusTimeout)}, r.e.now)
		}
		r.asks.List = nil
	}
	refuse()
	for try := range 3 {
		if r.retryAt.IsZero() {
			t.Fatalf("after %d refused retries no further one is due, with Failed = %d", try, r.track.Counters().Failed)
		}
		r.e.now, r.asks.Flying = r.retryAt, walks.Most // advance asks for it, nothing is sent
		r.advance()
		refuse()
	}
}

// While a walk lasts longer than unwatched_every and directories have no watch, the
// loop's timer must not lie in the past.
func TestNoTimerForALimitDuringAWalk(t *testing.T) {
	r := testRoot(t, 1)
	r.track.Start(false, 0)
	w := r.asks.List[0]
	r.asks.List = nil
	r.track.Listing(track.Listing{Serial: w.Serial, WD: 1, Entries: []track.Entry{{Kind: listing.KindDir, Name: "d"}}}, r.e.now)
	for len(r.asks.List) > 0 {
		w, r.asks.List = r.asks.List[0], r.asks.List[1:]
		l := track.Listing{Serial: w.Serial, WD: -1}
		if w.Watch {
			l.Status = 28
		}
		r.track.Listing(l, r.e.now)
	}
	if r.track.Counters().Unwatched != 1 {
		t.Fatal(r.track.Counters())
	}
	r.ready, r.walking = true, true
	r.targets[0].Pass = deliver.PassWaiting
	r.stepLimit()
	r.e.now = r.e.now.Add(2 * r.limit.Every)
	r.stepLimit()
	if at := r.next(); !at.IsZero() && !at.After(r.e.now) {
		t.Errorf("due %v ago, and stepLimit does nothing until the walk ends", r.e.now.Sub(at))
	}
}

// After an overflow the pass waits for the walk; meanwhile the timer must not
// lie in the past.
func TestNoTimerWhileAPassWaitsForTheWalk(t *testing.T) {
	r := testRoot(t, 1)
	r.track.Start(false, 0)
	w := r.asks.List[0]
	r.asks.List = nil
	r.track.Listing(track.Listing{Serial: w.Serial, WD: 1}, r.e.now)
	r.ready = true
	r.track.Verify() // or an overflow
	r.demand("overflow")
	r.e.now = r.e.now.Add(time.Millisecond)
	r.stepWhole()
	if r.walking {
		t.Fatal("begun too early")
	}
	if at := r.next(); !at.IsZero() && !at.After(r.e.now) {
		t.Error("due at once, although only an answer helps")
	}
}

// A directory too deep to be named is in the tree; a search for hard links must
// not ask for it: the request could not be encoded, which would end the worker.
func TestSearchLeavesOutWhatCannotBeNamed(t *testing.T) {
	r := testRoot(t, 1)
	r.track.Start(false, 0)
	long := strings.Repeat("n", 255)
	for wd := int32(1); len(r.asks.List) > 0; wd++ {
		w := r.asks.List[0]
		r.asks.List = r.asks.List[1:]
		r.track.Listing(track.Listing{Serial: w.Serial, WD: wd, Entries: []track.Entry{{Kind: listing.KindDir, Name: long}}}, r.e.now)
		if wd > 40 {
			t.Fatal("endless")
		}
	}
	dirs := r.Dirs()
	t.Logf("%d directories, the longest path has %d bytes, %d too long", len(dirs), len(dirs[len(dirs)-1]), r.track.Counters().TooLong)
	for len(dirs) > 0 {
		n := deliver.FitRels(dirs)
		if _, err := ipc.Append(nil, 1, &ipc.Watch{Root: 1, Rels: dirs[:n]}); err != nil {
			t.Fatal("the worker dies of it:", err)
		}
		dirs = dirs[n:]
	}
}

// A directory that can be named holds a file that cannot: rsync must not enter
// it in a whole pass, or it deletes nothing at all (facts 7; exit 23 for ever).
func TestDirectoryWhoseFilesCannotBeNamedIsLeftOut(t *testing.T) {
	r := testRoot(t, 1)
	r.track.Start(false, 0) // the helper does not even list plain files
	r.walking = true
	name, longest := strings.Repeat("n", 249), 0
	for wd := int32(1); len(r.asks.List) > 0; wd++ {
		w := r.asks.List[0]
		r.asks.List = r.asks.List[1:]
		l := track.Listing{Serial: w.Serial, WD: wd}
		if longest = len(w.Rel); longest < 3999 {
			l.Entries = []track.Entry{{Kind: listing.KindDir, Name: name}}
		}
		r.track.Listing(l, r.e.now)
	}
	if !r.track.Complete() || emptyList(&r.omit) {
		t.Errorf("a file below the directory of %d bytes may have a path of %d: nothing is left out", longest, longest+256)
	}
}

func emptyList(l *omit.List) bool {
	rules, over := l.Rules()
	return len(rules) == 0 && !over
}

// Package poll finds changes by comparing each listing of a directory with the one
// before: for file systems that tell nobody what others change in them.
//
// Trust: part of the worker. Names, times and sizes are chosen by whoever can
// write in the root.
// Imports: the standard library, monitor and worker/listing only. Pure: time is an
// argument.
//
// No directory is skipped because its own times stand still: they tell of its
// names, not of the contents of its files, whose change no other time tells than
// the file's own. To look at that is what costs, so that there is nothing to gain.
//
// Invariants: each directory of the tree is listed once a round; what differs from
// its last listing is told, whoever asked for the listing, and what a time cannot
// tell apart yet is told again (see late); what could not be listed just now is not
// taken for looked at (see stall); rounds take a bounded share of the time.
package poll

import (
	"hash/maphash"
	"strings"
	"time"

	"lockstep/monitor"
	"lockstep/worker/listing"
)

// Config is what a Poller must know.
type Config struct {
	Root  uint32
	Every time.Duration // from the begin of one round to that of the next; 0: no rounds (see Ask)
	Rest  int           // a round of some length is followed by a pause of at least Rest times that; 0: 4
	// Inodes: a file that is another one has another number, and one that is the
	// same keeps it. (FUSE may give a file another number whenever it likes.)
	Inodes bool
	// Own: they are some directories, each for itself. The own time of each is told,
	// not of the root only, since nobody lists the one above it; and that one cannot
	// be listed is told at once (see stall), since it can be watched instead.
	Own   bool
	Dirs  func() []string       // the directories of the tree
	Known func(rel string) bool // whether the tree has a directory
	Emit  func(monitor.PathEvent)
	// Say tells that a directory cannot be listed just now, and is asked for again;
	// of several at a time one is told, and at most one a minute. May be nil.
	Say func(rel string, status uint16)
}

// Counters are a Poller's account of itself.
type Counters struct {
	Rounds   uint64 // in each of them every directory was listed
	Listings uint64
	Changes  uint64        // events that came of them
	Last     time.Duration // how long the last round took
}

// Poller keeps the last listing of each directory of one root. Not safe for
// concurrent use.
type Poller struct {
	cfg   Config
	seed  maphash.Seed
	dirs  map[string]*dir
	count Counters

	// The listing that is arriving: one at a time.
	now     time.Time
	rel     string
	arrived dir
	parts   bool // some of it is there

	// The round.
	ahead  []string // still to be listed
	out    int      // asked for, and not answered
	number uint64   // of the round
	inside bool     // one is under way
	began  time.Time
	due    time.Time // when the next one begins
	asked  []string  // to be listed beside the rounds, each once
	wanted map[string]bool
	late   time.Time // all that is late by now is so no longer
	marks  []mark
	stall  stall
}

// mark is something that waits for rounds.
type mark struct {
	round uint64    // the first one that counts
	once  bool      // all was listed once
	late  time.Time // that begins at this time or later; zero: not known yet
	f     func()
}

// New returns a Poller without a listing: the tree's walks bring the first ones.
func New(cfg Config) *Poller {
	if cfg.Rest == 0 {
		cfg.Rest = 4
	}
	return &Poller{
		cfg: cfg, seed: maphash.MakeSeed(), dirs: map[string]*dir{}, wanted: map[string]bool{}, stall: stall{window: 1},
	}
}

// Counters returns the account as of now.
func (p *Poller) Counters() Counters { return p.count }

// Mark has f called at the end of the second round that begins from now on, and once
// what is late by then has been told again: what was changed before is told, and so
// is the time of a directory in which something came and went before the first one
// listed it: that stands in the listing above, which came before. Without rounds,
// once what was asked for is listed.
func (p *Poller) Mark(f func()) {
	if p.cfg.Every == 0 && p.out == 0 && len(p.asked) == 0 && !p.Stalled() {
		f()
		return
	}
	p.marks = append(p.marks, mark{round: p.number + 1, f: f})
}

// Ask has one directory listed soon; false: nothing is known of it to compare.
func (p *Poller) Ask(rel string) bool {
	if p.dirs[rel] == nil {
		return false
	}
	p.Add(rel)
	return true
}

// Add has a directory listed soon of which nothing need be known yet.
func (p *Poller) Add(rel string) {
	if !p.wanted[rel] {
		p.wanted[rel] = true
		p.asked = append(p.asked, rel)
	}
}

// Has says how many entries the last listing of a directory has, if there is one.
func (p *Poller) Has(rel string) (entries int, listed bool) {
	if d := p.dirs[rel]; d != nil {
		return len(d.entries), true
	}
	return 0, false
}

// Shown says whether (part of) a listing of a directory has come that nobody asks for
// again; coming says that one is asked for or under way. Dnotify tells of a directory
// before the one above it is compared, which tells that it is there.
func (p *Poller) Shown(rel string, coming bool) bool {
	return p.parts && p.rel == rel || p.dirs[rel] != nil && !coming
}

// Self says whether a directory's own time is to be told with its listing.
func (p *Poller) Self(rel string) bool { return rel == "" || p.cfg.Own }

// Drop forgets what is known of a directory.
func (p *Poller) Drop(rel string) {
	delete(p.dirs, rel)
	delete(p.stall.dirs, rel)
}

// Next is when there is something to list; zero: no time soon.
func (p *Poller) Next() time.Time {
	switch {
	case p.out > 0:
		return time.Time{} // the answer comes first
	case len(p.asked) > 0 || p.inside:
		return p.now
	case !p.stall.again.IsZero():
		return p.stall.again
	}
	return p.due
}

// Ahead is what is to be listed now, all entries, without a watch: as much of it
// as suits, which Take is told of. Nothing before what was taken is answered.
func (p *Poller) Ahead(now time.Time) []string {
	p.now = now
	if p.out > 0 {
		return nil
	}
	p.askStalled()
	if len(p.asked) > 0 {
		return p.asked
	}
	if !p.inside && p.cfg.Every > 0 && !now.Before(p.due) {
		p.begin()
	}
	return p.ahead
}

// Take takes the first n of Ahead.
func (p *Poller) Take(n int) {
	p.out = n
	if len(p.asked) > 0 {
		for _, rel := range p.asked[:n] {
			delete(p.wanted, rel) // what is asked for from now on is another listing
		}
		p.asked = p.asked[n:]
		return
	}
	p.ahead = p.ahead[n:]
}

func (p *Poller) begin() {
	p.inside, p.began = true, p.now
	p.number++
	p.ahead = p.ahead[:0]
	for _, rel := range p.cfg.Dirs() {
		if d := p.dirs[rel]; d != nil { // else its first listing is under way
			d.round = p.number
			p.ahead = append(p.ahead, rel)
		}
	}
	p.end()
}

// end follows each answer: the round may be over, or what marks wait for is listed.
func (p *Poller) end() {
	if p.out > 0 || len(p.ahead) > 0 {
		return
	}
	if p.cfg.Every == 0 && len(p.asked) == 0 && !p.Stalled() {
		p.wake(func(*mark) bool { return true }) // a late change is told by a signal of its own
	}
	if !p.inside {
		return
	}
	p.inside, p.ahead = false, nil
	for rel, d := range p.dirs {
		if d.round < p.number {
			p.Drop(rel) // it is no longer in the tree
		}
	}
	full := p.full()
	p.count.Last = p.now.Sub(p.began)
	p.due = p.began.Add(p.cfg.Every)
	if rested := p.now.Add(time.Duration(p.cfg.Rest) * p.count.Last); rested.After(p.due) {
		p.due = rested
	}
	p.wake(func(m *mark) bool { return m.over(p, full) })
}

// wake calls what has waited for long enough.
func (p *Poller) wake(over func(*mark) bool) {
	marks := p.marks
	p.marks = nil
	for _, m := range marks {
		if over(&m) {
			m.f()
		} else {
			p.marks = append(p.marks, m)
		}
	}
}

// Listed applies (part of) a listing of all entries of a directory: whoever asked
// for it, at that time (or later); own says that Take did. The first one of a
// directory tells nothing: who asked for it did so because nothing is known of it.
func (p *Poller) Listed(rel string, part listing.Part, asked, now time.Time, own bool) {
	p.now = now
	if !p.parts || p.rel != rel {
		p.rel, p.parts = rel, true
		p.arrived.reset()
	}
	p.arrived.add(p, part.Entries)
	if part.More {
		return
	}
	p.parts = false
	p.count.Listings++
	switch {
	case part.Status == 0:
		p.answers(rel, asked)
		p.compare(rel, part.Ctime, asked)
	case !p.putOff(rel, part.Status, asked, own):
		p.refused(rel, part.Status)
	}
	if own {
		p.out--
	}
	p.end()
}

// refused: nothing is known of the directory any more. Who keeps the tree finds
// out about it, and its walk brings a listing to begin with.
func (p *Poller) refused(rel string, status uint16) {
	gone := (status == listing.ENOENT || status == listing.ENOTDIR || status == listing.ELOOP) && p.forget(rel)
	if gone {
		p.Drop(rel)
	}
	if p.dirs[rel] == nil {
		return
	}
	p.Drop(rel)
	switch {
	case rel == "" && (status == listing.ENOENT || status == listing.ESTALE):
		p.emit(rel, "", monitor.DeleteSelf|monitor.IsDir)
	case p.cfg.Known(rel):
		p.emit(rel, "", monitor.Changed|monitor.IsDir)
	}
}

// forget takes a directory out of the listing above it, and tells that it has gone:
// whoever keeps the tree has no such directory any more. If it was away for a moment
// only, the next listing of the one above shows what the last one did, and would
// tell nothing. It says whether that listing had it.
func (p *Poller) forget(rel string) bool {
	slash := strings.LastIndexByte(rel, '/')
	dir, name := rel[:max(slash, 0)], rel[slash+1:]
	if d := p.dirs[dir]; d == nil || rel == "" || !d.remove(name) {
		return false
	}
	p.emit(dir, name, monitor.Delete|monitor.IsDir)
	return true
}

func (p *Poller) emit(dir, name string, mask monitor.Op) {
	p.count.Changes++
	p.cfg.Emit(monitor.PathEvent{Root: p.cfg.Root, Mask: mask, Dir: []byte(dir), Name: []byte(name)})
}

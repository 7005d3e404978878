//go:build faults

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/internal/testenv/observe"
)

// fault is one thing that happens to a running lockstep.
type fault struct {
	name  string
	long  bool // only with the full numbers
	alone bool // it is a kernel variable's, and concerns the whole machine
	flags []string

	prepare func(*scene)        // before the start
	happen  func(*scene) string // does it, and returns what shows that it has happened
	mend    func(*scene)        // ends it
}

// scene is a lockstep with one sync, to which a fault happens.
type scene struct {
	*lockstep
	src, dst string
	kept     map[string]string // what was made before the fault, and must stay
	stopped  observe.Proc      // what stands still
	undo     []func()
	state    any // of the fault's own
}

// row is a line of the table.
type row struct {
	name, shown               string
	survived, converged, kept bool
	took, mended              time.Duration
}

// table is what came of all.
type table struct {
	mu   sync.Mutex
	rows []row // guarded by mu
}

// Each fault happens to a lockstep of its own: it survives, all that was on the target
// stays there, and when the fault is over the trees become equal by themselves. The
// table that is printed has a line for each.
func TestTwentyFaults(t *testing.T) {
	testenv.NeedRoot(t)
	all, seen := slices.Concat(disks(), sick(), limits(), still(), remote(), spoiled(), clocks()), &table{}
	began := time.Now()
	wanted := 0
	t.Run("all", func(t *testing.T) {
		for _, f := range all {
			if f.long && !full() {
				continue
			}
			wanted++
			t.Run(f.name, func(t *testing.T) {
				if !f.alone {
					t.Parallel()
				}
				seen.add(f.run(t))
			})
		}
	})
	seen.print(t, time.Since(began))
	if full() && wanted < 20 {
		t.Errorf("%d faults", wanted)
	}
}

func (s *table) add(r row) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows = append(s.rows, r)
}

func (s *table) print(t *testing.T, took time.Duration) {
	slices.SortFunc(s.rows, func(a, b row) int { return strings.Compare(a.name, b.name) })
	word := map[bool]string{true: "yes", false: "NO"}
	var b strings.Builder
	fmt.Fprintf(&b, "%-42s %-8s %-9s %-8s %7s %7s  %s\n", "fault", "survived", "converged", "no loss", "took", "mended", "what showed it")
	for _, r := range s.rows {
		fmt.Fprintf(&b, "%-42s %-8s %-9s %-8s %6.1fs %6.1fs  %s\n", r.name, word[r.survived], word[r.converged], word[r.kept], r.took.Seconds(), r.mended.Seconds(), r.shown)
	}
	t.Logf("%d faults in %v:\n%s", len(s.rows), took.Round(time.Millisecond), b.String())
}

// newScene prepares a source and a target.
func newScene(t *testing.T, flags ...string) *scene {
	t.Helper()
	testenv.NeedTool(t, "rsync")
	base := t.TempDir()
	s := &scene{src: base + "/src", dst: base + "/dst", kept: map[string]string{},
		lockstep: &lockstep{t: t, base: base, seen: observe.NewWitness()}}
	for _, dir := range []string{s.src, s.dst, base + "/trail"} {
		must(t, os.Mkdir(dir, 0o755))
	}
	s.pairs = []*pair{{"", s.src, s.dst}}
	s.words = append([]string{"mirror", "--runtime-dir", base + "/run", "--state-dir", base + "/state", "--log-format", "json",
		"--delay", "20ms", "--retry-initial", "100ms", "--retry-max", "500ms", "--stop-timeout", "3s"}, flags...)
	return s
}

// run makes it happen, mends it, and judges.
func (f fault) run(t *testing.T) row {
	r := row{name: f.name}
	s := newScene(t, f.flags...)
	for i := range 20 {
		dir := fmt.Sprintf("d%02d", i/4)
		must(t, os.MkdirAll(s.src+"/"+dir, 0o755))
		s.kept[fmt.Sprintf("%s/f%02d", dir, i)] = fmt.Sprint("content ", i)
	}
	if f.prepare != nil {
		f.prepare(s)
	}
	for rel, text := range s.kept {
		s.put(rel, text)
	}
	s.begin()
	began, pid := time.Now(), s.cmd.Process.Pid
	r.shown = f.happen(s)
	if r.shown == "" {
		t.Error("nothing shows that it has happened")
	}
	if lost := s.lost(s.dst); len(lost) > 0 {
		t.Errorf("lost on the target during the fault: %q", lost)
	} else {
		r.kept = true
	}
	if f.mend != nil {
		f.mend(s)
	}
	mended := time.Now()
	s.put("d01/after", "after the fault")
	s.kept["d01/after"] = "after the fault"
	s.equal()
	r.converged, r.mended, r.took = true, time.Since(mended), time.Since(began)
	if lost := s.lost(s.dst); len(lost) > 0 {
		t.Errorf("lost on the target: %q", lost)
		r.kept = false
	}
	select {
	case <-s.exited:
		t.Errorf("it ended with code %d", s.code)
	default:
		r.survived = s.cmd.Process.Pid == pid
	}
	s.stop()
	for _, undo := range slices.Backward(s.undo) {
		undo()
	}
	return r
}

// begin starts it with its source and target, and waits until it is ready.
func (s *scene) begin() {
	s.t.Helper()
	if !slices.Contains(s.words, s.src) {
		s.words = append(s.words, s.src, s.dst)
	}
	s.launch()
	s.ready()
}

// put makes a file in the source.
func (s *scene) put(rel, text string) {
	s.t.Helper()
	must(s.t, os.WriteFile(filepath.Join(s.pairs[0].src, rel), []byte(text), 0o644))
}

// lost are the files of before that are not in a tree as they were.
func (s *scene) lost(tree string) (lost []string) {
	for rel, text := range s.kept {
		if b, err := os.ReadFile(filepath.Join(tree, rel)); err != nil || string(b) != text {
			lost = append(lost, rel)
		}
	}
	return lost
}

// arrives waits until a file is on the target.
func (s *scene) arrives(rel, text string) {
	s.t.Helper()
	s.until("arrival of "+rel, func() bool {
		b, err := os.ReadFile(filepath.Join(s.pairs[0].dst, rel))
		return err == nil && string(b) == text
	})
}

// changed makes a file in the source and waits until lockstep says one of the words.
func (s *scene) changed(rel string, words ...string) string {
	s.t.Helper()
	at := s.Mark()
	s.put(rel, "made during the fault")
	return s.said(at, words...)
}

// said waits for one of the words in what is said from a place on, and returns the
// message.
func (s *scene) said(at int, words ...string) string {
	s.t.Helper()
	text := s.need(at, fmt.Sprintf("word of %q", words), observe.Says(words...)).Str("msg")
	if len(text) > 110 {
		text = text[:110] + "…"
	}
	return "says: " + text
}

// small puts a small file system of memory at a directory.
func (s *scene) small(at, options string) {
	s.t.Helper()
	must(s.t, os.MkdirAll(at, 0o755))
	must(s.t, unix.Mount("none", at, "tmpfs", 0, options))
	s.t.Cleanup(func() {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			s.t.Errorf("unmounting %s: %v", at, err)
		}
	})
}

func (s *scene) remount(at string, flags uintptr, options string) {
	s.t.Helper()
	must(s.t, unix.Mount("none", at, "tmpfs", unix.MS_REMOUNT|flags, options))
}

// ballast fills a file system to the last byte, and returns the kernel's word.
func (s *scene) ballast(at string) string {
	s.t.Helper()
	f, err := os.Create(at)
	must(s.t, err)
	defer f.Close()
	for _, n := range []int{64 << 10, 4 << 10, 64, 1} {
		for piece := make([]byte, n); err == nil; _, err = f.Write(piece) {
			continue
		}
		if n > 1 {
			err = nil
		}
	}
	return "the kernel says: " + err.Error()
}

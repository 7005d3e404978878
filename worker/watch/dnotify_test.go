package watch

import (
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/ipc/output"
	"lockstep/ipc/settings"
	"lockstep/monitor"
)

// Dnotify tells of directories that came with a tree in any order, and of one before
// the one above it was compared: so that it is listed before anybody was told of it.
// All the same every name is told, once, and not before its directory.
func TestTreeThatComesInAnyOrder(t *testing.T) {
	testenv.Seeds(t, 200, func(t *testing.T, seed uint64, _ bool) {
		random := rand.New(rand.NewPCG(seed, 0))
		r := newRig(t, seed, settings.Watch{Monitor: settings.MonitorDnotify, Inodes: true})
		r.start()
		r.mkdir("t/u/v/w", "t/x")
		for _, rel := range []string{"t/f", "t/u/f", "t/u/v/f", "t/u/v/w/f", "t/x/f"} {
			r.write(rel, "x")
		}
		dirs := []string{"", "t", "t/u", "t/u/v", "t/u/v/w", "t/x"}
		random.Shuffle(len(dirs), func(i, j int) { dirs[i], dirs[j] = dirs[j], dirs[i] })
		for _, dir := range dirs {
			r.root.Path(monitor.PathEvent{Dir: []byte(dir), Mask: monitor.Changed})
			r.root.Advance()
			for steps := random.IntN(12); steps > 0 && (r.hear() || r.help()); steps-- {
			}
		}
		r.settle(time.Second)
		r.close()
		told := map[string]string{}
		for _, line := range r.lines(output.Event) {
			e := parse(t, line)
			if e.Op != "create" {
				continue // what is so new is told once more as changed
			}
			if dir := path.Dir(e.Path); dir != "." && told[dir] == "" || told[e.Path] != "" {
				t.Errorf("%s is told twice, or before its directory", e.Path)
			}
			told[e.Path] = e.Type
		}
		if want := r.tree(); !maps.Equal(told, want) {
			t.Errorf("changes told in the order %q\ntold %v\nwant %v", dirs, slices.Sorted(maps.Keys(told)), slices.Sorted(maps.Keys(want)))
		}
	})
}

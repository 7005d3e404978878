package watch

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"lockstep/ipc/settings"
)

// barriers is a Host of which only Barrier is used.
type barriers struct {
	Host
	all []func()
}

func (b *barriers) Barrier(f func()) { b.all = append(b.all, f) }

// What was told of with its path of after a rename, before that rename was, is to
// be looked at, and so is what it was told to move; nothing else is.
func TestBehind(t *testing.T) {
	for _, c := range []struct{ acts, want string }{
		{"in b, came b", "b"},
		{"in b/c/d, came b", "b"},
		{"in b/c/d, came b/c", "b/c"},
		{"in bb, in a, came b", ""},
		{"in b, ask, heard, came b", ""},
		{"in a, ask, in b, heard, came b", "b"},
		{"in b, ask, came b", "b"},
		{"move p2/x q/x, came p2", "q/x"},
		{"move p2/x q/x, move q z, came p2", "z/x"},
		{"move p2/x q/x, move q/x z, came p2", "q/x z"},
		{"move p2/x q/x, move q z, move z/x y, came p2", "y z/x"},
		{"move a b, came b", ""},
		{"many, came b", " "}, // the root
		{"many, ask, came b", " "},
		{"many, ask, heard, came b", ""},
	} {
		host := &barriers{}
		r := &Root{host: host, cfg: &settings.Watch{Monitor: settings.MonitorFanotify}, ready: true, changes: newChanges(nil)}
		for act := range strings.SplitSeq(c.acts, ", ") {
			switch w := strings.Fields(act); w[0] {
			case "in":
				r.tells(w[1])
			case "move":
				r.behind.add(step{at: w[2], from: w[1]})
			case "came":
				r.came(w[1])
			case "ask":
				r.stepBehind()
			case "heard":
				host.all[0]()
			case "many":
				for i := range maxSteps + 1 {
					r.tells(fmt.Sprint(i))
				}
			}
		}
		want := strings.Fields(c.want)
		if c.want == " " {
			want = []string{""}
		}
		if got := slices.Sorted(maps.Keys(r.doubted)); !slices.Equal(got, want) {
			t.Errorf("%s: in doubt %q, want %q", c.acts, got, want)
		}
	}
}

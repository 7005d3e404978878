package behind

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

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
		var b Behind
		var heard []func()
		var got []string
		for act := range strings.SplitSeq(c.acts, ", ") {
			switch w := strings.Fields(act); w[0] {
			case "in":
				b.Told(w[1])
			case "move":
				b.Moved(w[2], w[1])
			case "came":
				got = b.Came(w[1])
			case "ask":
				b.Step(func(f func()) { heard = append(heard, f) })
			case "heard":
				heard[0]()
			case "many":
				for i := range maxSteps + 1 {
					b.Told(fmt.Sprint(i))
				}
			}
		}
		want := strings.Fields(c.want)
		if c.want == " " {
			want = []string{""}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: in doubt %q, want %q", c.acts, got, want)
		}
	}
}

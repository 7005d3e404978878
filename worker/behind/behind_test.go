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
				b.Step(func(f func()) { heard = append(heard, f) }, func([]string) {})
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

// What is again at the place that it was renamed from may have been renamed once more:
// both places are in doubt, wherever they are by now. A path beginning with ! is outside.
func TestBack(t *testing.T) {
	for _, c := range []struct{ acts, want string }{
		{"!x p, p !x", "p"},
		{"p !x, !x p", "p"},
		{"a b, b a", "a b"},
		{"a b, b c, c a", "a b"},
		{"a b, c d, b a", "a b"},
		{"d/a b, d e, b e/a", "b e/a"},
		{"a d/b, d e, e/b a", "a e/b"},
		{"d e, e/x f, e d", "d e"},
		{"d/a e, e d/a", "d/a e"},
		{"p !x, !y q", ""},
		{"a b, !x a", "a b"}, // the directory of b may have left, so that nobody tells that it is b
		{"a b, c a", ""},
		{"a b, b c", ""},
		{"!x p, heard, p !x", ""},
		{"!x p, ask, p !x, heard", "p"}, // the second half of what left is heard by then
		{"p !x, heard, heard, !x p", ""},
		{"many, a b", " "},
	} {
		for _, dir := range []bool{true, false} {
			got := backs(c.acts, dir)
			want := strings.Fields(c.want)
			if c.want == " " {
				want = []string{""}
			}
			if (dir || !strings.Contains(c.acts, "/")) && !slices.Equal(got, want) { // below a file there is nothing
				t.Errorf("%s (directories: %t): in doubt %q, want %q", c.acts, dir, got, want)
			}
		}
	}
}

// backs does what acts say, and returns what is in doubt then.
func backs(acts string, dir bool) (got []string) {
	var b Behind
	var heard []func()
	doubt := func(places []string) { got = append(got, places...) }
	ask := func() { b.Step(func(f func()) { heard = append(heard, f) }, doubt) }
	for i, act := range strings.Split(acts, ", ") {
		switch w := strings.Fields(act); {
		case act == "ask":
			ask()
		case act == "heard":
			if len(heard) == 0 {
				ask()
			}
			for _, f := range heard {
				f()
			}
			heard = nil
		case act == "many":
			for i := range maxSteps + 1 {
				doubt(b.Arrived(fmt.Sprint(i), 0, dir))
			}
		default:
			if w[0][0] != '!' {
				doubt(b.Left(w[0], uint32(i+1), dir))
			}
			if w[1][0] != '!' {
				doubt(b.Arrived(w[1], uint32(i+1), dir))
			}
		}
	}
	if !strings.HasSuffix(acts, "heard") {
		doubt(b.end())
	}
	slices.Sort(got)
	return slices.Compact(got)
}

package ordered

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// steps is what a decision costs, counted: texts that were found in the path,
// rules that they bring up, expressions that were tried.
type steps struct{ finds, candidates, tried int }

func stepsOf(s *Set, path string) (n steps) {
	s.index.texts.Find(path, func(int, int) { n.finds++ })
	n.candidates = len(s.index.candidates(path, nil))
	_, n.tried = s.decide(path, File, 1<<actions-1)
	return n
}

func (n steps) add(o steps) steps {
	return steps{n.finds + o.finds, n.candidates + o.candidates, n.tried + o.tried}
}

// blind is the worst list: nothing is known of what a path must hold, no rule
// matches, and none can say so before it has seen the whole path.
func blind(n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf("-*[[:lower:]]{%d}[[:digit:]]", 2+i%8)
	}
	return lines
}

// nested is the worst list for the index: at each place of a path of one letter
// as many texts end as can.
func nested(n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf("-*%s[^a]{%d}", strings.Repeat("a", 1+i%32), 1+i%8)
	}
	return lines
}

// longPath is a path of so many bytes that blind never matches, and of one
// letter where it is to be nested's.
func longPath(n int, parts bool) string {
	if !parts {
		return strings.Repeat("a", n)
	}
	return strings.Repeat("abcdefghi/", n/10+1)[:n]
}

// lists are the kinds of files whose cost is looked at.
func lists() map[string]struct {
	lines func(int) []string
	paths []string
} {
	return map[string]struct {
		lines func(int) []string
		paths []string
	}{
		"realistic": {realistic, realisticPaths(200)},
		"blind":     {blind, []string{longPath(40, true)}},
		"nested":    {nested, []string{longPath(40, false)}},
	}
}

// Ten times the rules are at most ten times the steps for each path, whatever the
// rules are. (How few they are of a realistic list is TestFewAreTried's.)
func TestLinearInRules(t *testing.T) {
	for name, l := range lists() {
		var sums [2]steps
		for i, n := range []int{1000, 10_000} {
			s := mustParse(t, l.lines(n)...)
			for _, p := range l.paths {
				got := stepsOf(s, p)
				if got.tried > n || got.candidates > n || name == "blind" && got.tried != n {
					t.Fatalf("%s: %+v of %d rules", name, got, n)
				}
				sums[i] = sums[i].add(got)
			}
		}
		few, many := sums[0], sums[1]
		t.Logf("%-9s %d paths, 1,000 rules: %+v; 10,000 rules: %+v", name, len(l.paths), few, many)
		if many.finds > 10*few.finds || many.candidates > 10*few.candidates || many.tried > 10*few.tried {
			t.Errorf("%s: ten times the rules are more than ten times the steps: %+v, %+v", name, few, many)
		}
		if few.tried == 0 {
			t.Errorf("%s: the test has lost its force", name)
		}
	}
}

// A path that is ten times as long is at most ten times the finds, and no more
// expressions than there are rules.
func TestLinearInPath(t *testing.T) {
	for name, l := range lists() {
		s := mustParse(t, l.lines(100)...)
		parts := name != "nested"
		short, long := stepsOf(s, longPath(200, parts)), stepsOf(s, longPath(2000, parts))
		t.Logf("%-9s 200 bytes: %+v; 2,000 bytes: %+v", name, short, long)
		// At a path's beginning fewer texts can end than elsewhere.
		if edge := 32 * 32 / 2; long.finds > 10*(short.finds+edge) {
			t.Errorf("%s: ten times the path are more than ten times the finds: %+v, %+v", name, short, long)
		}
		if long.tried > s.Len() || long.candidates > s.Len() {
			t.Errorf("%s: %+v of %d rules", name, long, s.Len())
		}
	}
}

// took is the processor time of this thread that f takes, the least of some tries:
// what else the machine does is not in it.
func took(t *testing.T, f func()) time.Duration {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	now := func() time.Duration {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
			t.Fatal(err)
		}
		return time.Duration(ts.Nano())
	}
	least := time.Duration(0)
	for i := range 5 {
		start := now()
		f()
		if d := now() - start; i == 0 || d < least {
			least = d
		}
	}
	return least
}

// What is not counted, the work in one expression and in the index, is linear too:
// a ratio of times in one run, with room for noise; quadratic it would be 100.
func TestTimeIsLinear(t *testing.T) {
	for name, lines := range map[string]func(int) []string{"blind": blind, "nested": nested} {
		parts := name != "nested"
		few, many := mustParse(t, lines(20)...), mustParse(t, lines(200)...)
		decide := func(s *Set, length int) time.Duration {
			path := longPath(length, parts)
			return took(t, func() { s.DecideAll(path, File) })
		}
		base, rules, path := decide(few, 400), decide(many, 400), decide(few, 4000)
		byRules, byPath := float64(rules)/float64(base), float64(path)/float64(base)
		t.Logf("%-6s ten times the rules: %.1f times the time; ten times the path: %.1f", name, byRules, byPath)
		if byRules > 40 || byPath > 40 {
			t.Errorf("%s: not linear: %v, with ten times the rules %v, with ten times the path %v", name, base, rules, path)
		}
	}
}

// BenchmarkCost prints what a decision for a path costs, with the steps.
func BenchmarkCost(b *testing.B) {
	for _, name := range []string{"realistic", "nested", "blind"} {
		l := lists()[name]
		for _, n := range []int{100, 1000, 10_000} {
			s := mustParse(b, l.lines(n)...)
			b.Run(fmt.Sprintf("%s/rules=%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				var sum steps
				for _, p := range l.paths {
					sum = sum.add(stepsOf(s, p))
				}
				for i := 0; b.Loop(); i++ {
					s.DecideAll(l.paths[i%len(l.paths)], File)
				}
				each := float64(len(l.paths))
				b.ReportMetric(float64(sum.finds)/each, "finds/path")
				b.ReportMetric(float64(sum.tried)/each, "tried/path")
			})
		}
	}
}

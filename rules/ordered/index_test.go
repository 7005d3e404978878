package ordered

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"lockstep/internal/testenv"
)

// naive tries every rule in order.
func naive(s *Set, path string, kind Kind) (d [3]Decision) {
	for a := range actions {
		d[a] = Decision{true, -1}
		for i := range s.rules {
			r := &s.rules[i]
			if r.actions.has(uint8(a)) && r.kinds.has(uint8(kind)) && r.expr.MatchString(path) {
				d[a] = Decision{r.permit, i}
				break
			}
		}
	}
	return d
}

func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

func words(r *rand.Rand) string {
	return pick(r, "home", "srv", "cache", "tmp", "build", "node_modules", "log", "data", "src", "a", "b", "Test", "etc", "x.bak", "core", "file.o", "\xff", "")
}

func randomPath(r *rand.Rand) string {
	var parts []string
	for range r.IntN(5) {
		parts = append(parts, words(r))
	}
	return strings.Join(parts, "/")
}

// randomRule is a line that mostly parses, and often fits a random path.
func randomRule(r *rand.Rand) string {
	expr := ""
	for range 1 + r.IntN(3) {
		expr += pick(r, words(r), words(r), "/", "^", "$", ".*", "[^/]+", `\.bak$`, "(^|/)", "(/|$)", "(a|b.*|etc)", "[Tt]est", "^home/", "^(home|srv/.*)/", "(log|tmp)$",
			"x?", "(data)+", "(src)*", `\<a`, `\bb\b`, "^$", "a{2}", "[[:digit:]]")
	}
	return pick(r, "+", "-") + pick(r, strings.Split("fd*wmWs", "")...) + expr
}

// The index changes no decision and no deciding rule.
func TestIndexedIsNaive(t *testing.T) {
	seed := testenv.Number(t, "LOCKSTEP_SEED", rand.Uint64())
	t.Logf("LOCKSTEP_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	rounds := 250
	if testing.Short() {
		rounds = 200
	}
	decided := 0
	for range rounds {
		var lines []string
		for range r.IntN(40) {
			lines = append(lines, randomRule(r))
		}
		s, err := Parse("rules", []byte(strings.Join(lines, "\n")))
		if err != nil {
			t.Fatalf("%q: %v", lines, err)
		}
		for range 50 {
			path, kind := randomPath(r), Kind(r.IntN(int(kinds)))
			got, want := s.DecideAll(path, kind), naive(s, path, kind)
			if got != want {
				t.Fatalf("%q, path %q, kind %d: %v, want %v", lines, path, kind, got, want)
			}
			if got[Sync].Rule >= 0 {
				decided++
			}
		}
	}
	if t.Logf("%d decided by a rule", decided); decided == 0 {
		t.Error("the test has lost its force")
	}
}

// realistic is a list as hosts have them: mostly places in the tree, some kinds
// of file, few expressions of which nothing can be known.
func realistic(n int) []string {
	r := rand.New(rand.NewPCG(1, 1))
	lines := []string{"+d^$", "-*(^|/)[._]*.*\\.sw[a-p]$"}
	for i := len(lines); i < n; i++ {
		user := fmt.Sprintf("user%04d", r.IntN(500))
		lines = append(lines, pick(r, "-*", "-*", "-d", "-f", "+*", "-W", "-s")+pick(r,
			fmt.Sprintf("^home/%s/\\.cache(/|$)", user),
			fmt.Sprintf("^home/%s/projects/p%d/(build|target|node_modules)/", user, r.IntN(100)),
			fmt.Sprintf("^srv/www/site%d/(tmp|htdocs)", r.IntN(1000)),
			fmt.Sprintf("^srv/mail/[a-z]+/%s/", user),
			fmt.Sprintf("(^|/)\\.%s%d(/|$)", pick(r, "lock", "state", "session"), i),
			fmt.Sprintf("\\.(%s|x%d)$", pick(r, "bak", "orig", "rej"), i),
			fmt.Sprintf("^var/lib/[^/]+/volume-[0-9]{3}-%d$", i),
			fmt.Sprintf("/core\\.%d$", i)))
	}
	return lines[:n]
}

func realisticPaths(n int) []string {
	r := rand.New(rand.NewPCG(2, 2))
	paths := make([]string, n)
	for i := range paths {
		user := fmt.Sprintf("user%04d", r.IntN(500))
		paths[i] = pick(r,
			fmt.Sprintf("home/%s/projects/p%d/src/package/module%d/file.go", user, r.IntN(100), i),
			fmt.Sprintf("home/%s/.cache/thumbnails/%08x.png", user, r.Uint32()),
			fmt.Sprintf("srv/www/site%d/htdocs/index.html", r.IntN(1000)),
			fmt.Sprintf("srv/mail/example/%s/cur/%d.M1P2.host:2,S", user, r.Uint32()),
			fmt.Sprintf("var/lib/machines/volume-%03d-%d", r.IntN(1000), r.IntN(1000)))
	}
	return paths
}

// Of a realistic list few expressions are tried for a path, however many there
// are. Counted, not timed.
func TestFewAreTried(t *testing.T) {
	for _, n := range []int{100, 1000, 10_000} {
		s := mustParse(t, realistic(n)...)
		sum, most, decided := 0, 0, 0
		paths := realisticPaths(1000)
		for i, p := range paths {
			d, tried := s.decide(p, File, 1<<actions-1)
			sum, most = sum+tried, max(most, tried)
			if d[Sync].Rule >= 0 {
				decided++
			}
			if i < 4 && d != naive(s, p, File) {
				t.Fatalf("%d rules, %q: the index decides otherwise", n, p)
			}
		}
		t.Logf("%5d rules: %.2f expressions a path, at most %d; %d paths decided by one; %d rules without a text", n, float64(sum)/float64(len(paths)), most, decided, len(s.index.always))
		if sum > 2*len(paths) || most > 20 {
			t.Errorf("%d rules: %.1f expressions are tried a path, %d for one", n, float64(sum)/float64(len(paths)), most)
		}
	}
}

// A path that holds every text many times costs no more than all rules.
func TestRepeatedText(t *testing.T) {
	var lines []string
	for i := range 200 {
		lines = append(lines, fmt.Sprintf("-*a.*x{%d}$", i+1))
	}
	s := mustParse(t, lines...)
	path := strings.Repeat("a", 4000)
	if c := s.index.candidates(path, nil); len(c) > len(lines) {
		t.Errorf("%d candidates of %d rules", len(c), len(lines))
	}
	if d := s.DecideAll(path, File); d[Sync].Rule != -1 {
		t.Error(d)
	}
}

// A file whose texts are too many to keep whole decides the same.
func TestCutTexts(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	var lines []string
	for range 200 {
		lines = append(lines, fmt.Sprintf("%s*%s[ab]%08x%s", pick(r, "+", "-"), pick(r, "", "^", "(^|/)"), r.Uint32(), pick(r, "", "$")))
	}
	s := mustParse(t, lines...)
	s.index = newIndex(s.rules, 300)
	found := 0
	for i := range lines {
		path := pick(r, "", "x", "x/") + "a" + strings.TrimLeft(strings.Trim(lines[i], "$"), "+-*^(|/)[ab]") + pick(r, "", "y")
		got := s.DecideAll(path, File)
		if want := naive(s, path, File); got != want {
			t.Errorf("%q: %v, want %v", path, got, want)
		}
		if got[Sync].Rule >= 0 {
			found++
		}
	}
	if t.Logf("%d of %d found", found, len(lines)); found == 0 {
		t.Error("the test has lost its force")
	}
}

// One Set serves many goroutines; the race detector looks on.
func TestConcurrentUse(t *testing.T) {
	s := mustParse(t, realistic(200)...)
	paths := realisticPaths(50)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for _, p := range paths {
				s.DecideAll(p, File)
				s.Explain(p, File)
			}
		})
	}
	wait.Wait()
}

func BenchmarkDecide(b *testing.B) {
	paths := realisticPaths(1000)
	for _, n := range []int{10, 100, 1000, 10_000} {
		s := mustParse(b, realistic(n)...)
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s.Decide(paths[i%len(paths)], File, Sync)
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		text := []byte(strings.Join(realistic(n), "\n"))
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse("rules", text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// FuzzParse: no file and no path crashes it, and the index changes nothing.
func FuzzParse(f *testing.F) {
	f.Add([]byte("+f^a$\n-*\n"), "a/b", byte(File))
	f.Add([]byte("# x\n\n-W(^|/)\\.git$\n-lx|y\n+s[[:digit:]]+"), "x/.git", byte(Dir))
	f.Fuzz(func(t *testing.T, data []byte, path string, kind byte) {
		s, err := Parse("rules", data)
		if err != nil {
			return
		}
		k := Kind(kind) % kinds
		if got, want := s.DecideAll(path, k), naive(s, path, k); got != want {
			t.Fatalf("%q, path %q, kind %d: %v, want %v", data, path, k, got, want)
		}
		s.Explain(path, k)
	})
}

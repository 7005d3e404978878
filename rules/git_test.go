package rules

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// gitRepo is a work tree in which git itself decides.
type gitRepo struct {
	t   *testing.T
	dir string
}

func newGitRepo(t *testing.T) *gitRepo {
	t.Helper()
	_ = 0
	g := &gitRepo{t: t, dir: t.TempDir()}
	g.run(nil, "init", "-q", ".")
	return g
}

func (g *gitRepo) run(in []byte, args ...string) []byte {
	g.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = g.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + g.dir, "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C"}
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil && cmd.ProcessState.ExitCode() != 1 { // 1: nothing is ignored
		g.t.Fatalf("git %q: %v: %s", args, err, stderr.Bytes())
	}
	return out
}

// verdict is what git says of one path: the index of the pattern that
// decided (-1: none) and whether the path is ignored.
type verdict struct {
	excluded bool
	index    int
}

func (g *gitRepo) check(patterns, paths []string) []verdict {
	g.t.Helper()
	file := filepath.Join(g.dir, ".git", "info", "exclude")
	if err := os.WriteFile(file, []byte(strings.Join(patterns, "\n")+"\n"), 0o600); err != nil {
		g.t.Fatal(err)
	}
	in := []byte("./" + strings.Join(paths, "\x00./") + "\x00")
	out := g.run(in, "check-ignore", "--stdin", "-z", "-v", "-n", "--no-index")
	fields := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	if len(fields) != 4*len(paths) {
		g.t.Fatalf("git answered %d fields for %d paths", len(fields), len(paths))
	}
	got := make([]verdict, len(paths))
	for i := range paths {
		got[i] = verdict{index: -1}
		if line := fields[4*i+1]; line != "" {
			n, err := strconv.Atoi(line)
			if err != nil {
				g.t.Fatal(err)
			}
			got[i] = verdict{!strings.HasPrefix(fields[4*i+2], "!"), n - 1}
		}
	}
	return got
}

// names that hurt: wildcards, blanks, comment and negation signs, bytes that
// are no UTF-8, and the runes the engine works with.
var hostile = []string{
	"a", "b", "ab", "abc", "foo", "bar", "a.tmp", ".tmp", "x.o", "A", "-", "--", "]", "[", "[a]", "\\", "a\\b",
	"*", "**", "?", "!a", "#a", "a ", " a", "a  ", "{a,b}", "{", "}", ",", "^", "\xff", "\xfe", "a\xff", "é", "ÿ",
	"\u00ff\xc3", "\t", "a\tb", "~", "$HOME", "a:b", "\x01", "0", "9", "z", "Z", "_", "foo.bar.tmp", "build", "cache",
}

func tree(r *rand.Rand, g *gitRepo, n int) (paths []string, isDir map[string]bool) {
	isDir = map[string]bool{}
	dirs := []string{""}
	seen := map[string]bool{}
	for len(paths) < n {
		rel := filepath.Join(dirs[r.IntN(len(dirs))], hostile[r.IntN(len(hostile))])
		if seen[rel] || strings.Count(rel, "/") > 5 {
			continue
		}
		seen[rel] = true
		paths = append(paths, rel)
		full := g.dir + "/" + rel
		var err error
		if isDir[rel] = r.IntN(2) == 0; isDir[rel] {
			dirs = append(dirs, rel)
			err = os.Mkdir(full, 0o700)
		} else {
			err = os.WriteFile(full, nil, 0o600)
		}
		if err != nil {
			g.t.Fatal(err)
		}
	}
	return paths, isDir
}

var pieces = []string{
	"*", "*", "**", "***", "?", "/", "/", "[a-c]", "[!a]", "[^a-z]", "[]a]", "[]-a]", "[a", "[[:alpha:]]", "[[:digit:]_]",
	"[[:punct:]]", "[[:nope:]]", "[[:alpha]", "[\\]]", "[a\\-z]", "[--0]", "[!--0]", "[\xf0-\xff]", "[z-a]", "[a-", "\\", "\\*", "\\?", "\\[", "\\a", "\\/",
	"\\ ", " ", "!", "#", "\\!", "\\#", "{a,b}", "a", "b", "foo", ".tmp", "\xff", "é", "**/", "/**", "/**/", "*.tmp",
}

func randomPattern(r *rand.Rand, paths []string) string {
	var b strings.Builder
	if r.IntN(5) == 0 {
		b.WriteByte('!')
	}
	if r.IntN(4) == 0 {
		b.WriteByte('/')
	}
	if r.IntN(2) == 0 { // something that is there, with a piece made wild
		parts := strings.Split(paths[r.IntN(len(paths))], "/")
		for i := range parts {
			switch r.IntN(4) {
			case 0:
				parts[i] = pieces[r.IntN(len(pieces))]
			case 1:
				parts[i] += pieces[r.IntN(len(pieces))]
			}
		}
		b.WriteString(strings.Join(parts[r.IntN(len(parts)):], "/"))
	} else {
		for range 1 + r.IntN(4) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
	}
	if r.IntN(5) == 0 {
		b.WriteByte('/')
	}
	return b.String()
}

// prefixQuirk finds patterns of which git 2.39 compares the literal beginning
// on its own and then takes "**" for the beginning of the pattern: "ab**/c"
// matches "abx/y/c" there. gitignore(5) says that such stars are ordinary ones;
// so do we. And a backslash before the slash after "**" makes git want at
// least one directory; for us an escaped slash is a slash.
var prefixQuirk = regexp.MustCompile(`^!?/?[^*?\[\\]*[^/*?\[\\]\*\*|\*\\/`)

// TestAgainstGit compares every decision, and the pattern that made it, with
// git's own over random patterns and hostile names.
func TestAgainstGit(t *testing.T) {
	g := newGitRepo(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	paths, isDir := tree(r, g, 250)
	rounds := 200
	if testing.Short() {
		rounds = 40
	}
	for round := range rounds {
		patterns := make([]string, 0, 8)
		for len(patterns) < 1+round%8 {
			p := randomPattern(r, paths)
			if prefixQuirk.MatchString(p) {
				continue
			}
			if _, err := New([]string{p}); err == nil {
				patterns = append(patterns, p)
				continue
			}
			// What we refuse must be what git never matches.
			for i, v := range g.check([]string{p}, paths) {
				if v.index >= 0 {
					t.Fatalf("pattern %q is refused, but git matches %q", p, paths[i])
				}
			}
		}
		s, err := New(patterns)
		if err != nil {
			t.Fatal(err)
		}
		want := g.check(patterns, paths)
		for i, rel := range paths {
			var got verdict
			got.excluded, got.index = s.Decide(rel, isDir[rel])
			if got != want[i] {
				t.Fatalf("patterns %q, path %q dir %v: got %v, git %v", patterns, rel, isDir[rel], got, want[i])
			}
		}
	}
}

func ExampleSet_Decide() {
	s, err := New([]string{"*.tmp", "/cache/", "!keep.tmp"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Decide("a/x.tmp", false))
	fmt.Println(s.Decide("a/keep.tmp", false))
	fmt.Println(s.Decide("cache/keep.tmp", false))
	// Output:
	// true 0
	// false 2
	// true 1
}

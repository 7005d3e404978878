package cut

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// list makes a list of words: "a/b d" is "./a/b\0./d\0".
func list(words string) []byte {
	var b []byte
	for _, w := range strings.Fields(words) {
		b = append(b, "./"+w+"\x00"...)
	}
	return b
}

// text is the reverse, with a bar between parts.
func text(parts [][]byte) string {
	var out []string
	for _, p := range parts {
		s := strings.ReplaceAll(strings.TrimSuffix(string(p), "\x00"), "\x00", " ")
		out = append(out, strings.ReplaceAll(s, "./", ""))
	}
	return strings.Join(out, " | ")
}

func TestList(t *testing.T) {
	for _, c := range []struct {
		what, in string
		n        int
		want     string
	}{
		{"in the middle", "a/1 a/2 b/1 b/2", 2, "a/1 a/2 | b/1 b/2"},
		{"in one part", "a/1 a/2 b/1 b/2", 1, "a/1 a/2 b/1 b/2"},
		{"in no part", "a/1 a/2 b/1 b/2", 0, "a/1 a/2 b/1 b/2"},
		{"near the middle", "a/1 a/2 a/3 b/1 b/2 b/3 b/4 b/5", 2, "a/1 a/2 a/3 | b/1 b/2 b/3 b/4 b/5"},
		{"not too far from it", "a/1 b/1 b/2 b/3 b/4 b/5 b/6 b/7", 2, "a/1 b/1 b/2 b/3 b/4 b/5 b/6 b/7"},
		{"one directory", "a/1 a/2 a/3 a/4", 2, "a/1 a/2 a/3 a/4"},
		{"the root's own names", "a b c d", 2, "a b c d"},
		{"a directory goes along with its content", "a a/1 a/2 b b/1 b/2 b/3 b/4", 2, "a a/1 a/2 | b b/1 b/2 b/3 b/4"},
		{"all below a directory that is listed", "t t/a/1 t/a/2 t/b/1 t/b/2", 2, "t t/a/1 t/a/2 t/b/1 t/b/2"},
		{"all below one that is not", "t/a/1 t/a/2 t/b/1 t/b/2", 2, "t/a/1 t/a/2 | t/b/1 t/b/2"},
		{"what sorts between a directory and its content", "a a-b/1 a-b/2 a/1", 2, "a a-b/1 a-b/2 a/1"},
		{"a prefix that is no directory of it", "a a-b/1 a-c/1 a-d/1", 2, "a a-b/1 | a-c/1 a-d/1"},
		{"from below up to the directory's own names", "a/b/1 a/b/2 a/c a/d", 2, "a/b/1 a/b/2 | a/c a/d"},
		{"three", "a/1 a/2 b/1 b/2 c/1 c/2", 3, "a/1 a/2 | b/1 b/2 | c/1 c/2"},
		{"three, where there is place for two", "a/1 a/2 a/3 a/4 c/1 c/2", 3, "a/1 a/2 a/3 a/4 | c/1 c/2"},
		{"nothing", "", 2, ""},
		{"not sorted", "b/1 b/2 a/1 a/2", 2, "b/1 b/2 a/1 a/2"},
		{"twice", "a/1 a/1 b/1 b/1", 2, "a/1 a/1 b/1 b/1"},
	} {
		if got := text(List(list(c.in), c.n)); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
	for _, whole := range []string{".\x00./a/1\x00./b/1\x00./b/2\x00", "./a/1\x00./a/2\x00./b/1\x00./b/2",
		"./a/1\x00./a/2\x00./b/1\x00./b/" + strings.Repeat("x", pipeBuf) + "\x00"} {
		if got := List([]byte(whole), 2); len(got) != 1 || string(got[0]) != whole {
			t.Errorf("%.40q is cut in %d", whole, len(got))
		}
	}
}

// names has bytes that sort before and after the slash.
var names = []string{"a", "a-", "a b", "b", "a\n", "-", "\xff", "a0"}

func randomList(r *rand.Rand) []byte {
	seen := map[string]bool{}
	for range 1 + r.IntN(60) {
		rel := "."
		for range 1 + r.IntN(4) {
			rel += "/" + names[r.IntN(len(names))]
		}
		seen[rel] = true
	}
	var entries []string
	for rel := range seen {
		entries = append(entries, rel+"\x00")
	}
	slices.SortFunc(entries, func(a, b string) int { return strings.Compare(a[:len(a)-1], b[:len(b)-1]) })
	return []byte(strings.Join(entries, ""))
}

func split(b []byte) []string {
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
}

// check says what is wrong with the parts of a list.
func check(list []byte, parts [][]byte) string {
	if !bytes.Equal(slices.Concat(parts...), list) {
		return "the parts are not the list"
	}
	for i, p := range parts {
		if len(p) == 0 || p[len(p)-1] != 0 {
			return fmt.Sprintf("part %d is torn: %q", i, p)
		}
		for k, q := range parts {
			if i == k {
				continue
			}
			for _, above := range split(p) {
				for _, e := range split(q) {
					if strings.HasPrefix(e, above+"/") {
						return fmt.Sprintf("%q is in part %d, %q in part %d", above, i, e, k)
					}
				}
			}
		}
	}
	return ""
}

// TestParts: what the parts must be, whatever the list; and one that can be cut
// in two near the middle is.
func TestParts(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	cuts := 0
	for range 5000 {
		l, n := randomList(r), 2+r.IntN(3)
		parts := List(l, n)
		if wrong := check(l, parts); wrong != "" || len(parts) > n {
			t.Fatalf("seed %d: %q in %d parts %q: %s", seed, l, n, parts, wrong)
		}
		cuts += len(parts) - 1
		if n == 2 && len(parts) == 1 {
			refuteCut(t, l)
		}
	}
	if cuts < 500 {
		t.Errorf("seed %d: only %d cuts", seed, cuts)
	}
}

// refuteCut fails if the list, which was left whole, had a place.
func refuteCut(t *testing.T, l []byte) {
	t.Helper()
	e := split(l)
	for at := 1; at < len(e); at++ {
		far := max(at-len(e)/2, len(e)/2-at)
		if far >= len(e)/4 || dir(e[at-1]) == dir(e[at]) {
			continue
		}
		size := len(strings.Join(e[:at], "\x00")) + 1
		if check(l, [][]byte{l[:size], l[size:]}) == "" {
			t.Fatalf("%q is not cut before %q", l, e[at])
		}
	}
}

func BenchmarkList(b *testing.B) {
	var l []byte
	for d := range 200 {
		l = fmt.Appendf(l, "./d%03d\x00", d)
		for f := range 100 {
			l = fmt.Appendf(l, "./d%03d/file-%04d\x00", d, f)
		}
	}
	for b.Loop() {
		if len(List(l, 2)) != 2 {
			b.Fatal("it is not cut")
		}
	}
}

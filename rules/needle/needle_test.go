package needle

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

// finds are all places of all texts, by Find and by looking at each place.
func finds(texts []string, name string) (ours, naive []string) {
	New(texts).Find(name, func(text, end int) { ours = append(ours, fmt.Sprint(text, " ", end)) })
	for i, t := range texts {
		for at := range len(name) {
			if strings.HasPrefix(name[at:], t) {
				naive = append(naive, fmt.Sprint(i, " ", at+len(t)))
			}
		}
	}
	slices.Sort(ours)
	slices.Sort(naive)
	return ours, naive
}

func TestFind(t *testing.T) {
	for _, c := range []struct {
		texts []string
		name  string
	}{
		{nil, "abc"},
		{[]string{"a"}, ""},
		{[]string{"he", "she", "his", "hers"}, "ushershe"},
		{[]string{"a", "aa", "aaa"}, "aaaa"},
		{[]string{"abcd", "bc", "c"}, "abce"},
		{[]string{"\xff", "\x00\xff"}, "\x00\xff\xfe"},
	} {
		if ours, naive := finds(c.texts, c.name); !slices.Equal(ours, naive) {
			t.Errorf("%q in %q: %q, want %q", c.texts, c.name, ours, naive)
		}
	}
}

func TestFindAgainstNaive(t *testing.T) {
	seed := testenv.Number(t, "LOCKSTEP_SEED", rand.Uint64())
	t.Logf("LOCKSTEP_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	text := func(most int) string {
		b := make([]byte, r.IntN(most))
		for i := range b {
			b[i] = "ab/\xff"[r.IntN(4)]
		}
		return string(b)
	}
	for range 3000 {
		var texts []string
		for range r.IntN(30) {
			if s := text(7); s != "" && !slices.Contains(texts, s) {
				texts = append(texts, s)
			}
		}
		name := text(40)
		if ours, naive := finds(texts, name); !slices.Equal(ours, naive) {
			t.Fatalf("%q in %q: %q, want %q", texts, name, ours, naive)
		}
	}
}

// steps counts what Find does for a name: the states that it looks at. It walks by
// itself, and is held to step at each byte.
func (x *Index) steps(t *testing.T, name string) (n int) {
	s := int32(0)
	for i := 0; i < len(name); i++ {
		want, found := x.step(s, name[i]), false
		for ; s != 0 && !found; n++ {
			var c int
			if c, found = slices.BinarySearch(x.label[x.first[s]:x.first[s+1]], name[i]); found {
				s = x.first[s] + int32(c)
			} else {
				s = x.back[s]
			}
		}
		if !found {
			s = x.root[name[i]]
			n++
		}
		if s != want {
			t.Fatalf("%q: at %d the state is %d, want %d", name, i, s, want)
		}
	}
	return n
}

// Find looks at two states a byte at most, whatever the texts: on 10,000 texts as on
// ten.
func TestStepsAreLinear(t *testing.T) {
	for _, many := range []int{10, 1000, 10_000} {
		var texts []string
		for i := range many {
			// All end in the same way as another begins, so that each miss goes back far.
			texts = append(texts, strings.Repeat("a", i%40)+fmt.Sprintf("b%d", i))
		}
		x := New(texts)
		for _, name := range []string{strings.Repeat("a", 4000), strings.Repeat(strings.Repeat("a", 39)+"c", 100), strings.Repeat("ab", 2000)} {
			if n := x.steps(t, name); n > 2*len(name) || n < len(name) {
				t.Errorf("%d texts: %d states for %d bytes", many, n, len(name))
			}
		}
	}
}

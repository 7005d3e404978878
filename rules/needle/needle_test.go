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

package intern

import (
	"strconv"
	"testing"
)

func TestPaths(t *testing.T) {
	p := Paths{}
	path := []byte("a/b")
	first := p.Of(path)
	path[0] = 'x'
	if first != "a/b" || p.Of(path) != "x/b" || p.Of([]byte("a/b")) != first {
		t.Errorf("%q, %v", first, p)
	}
	if n := testing.AllocsPerRun(100, func() { p.Of(path) }); n != 0 {
		t.Errorf("%v allocations for a path that is known", n)
	}
	for i := range 10 * most {
		if s := strconv.Itoa(i); p.Of([]byte(s)) != s {
			t.Fatal(s)
		}
	}
	if len(p) > most {
		t.Errorf("%d are remembered", len(p))
	}
}

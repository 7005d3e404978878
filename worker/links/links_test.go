package links

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/worker/queue"
)

func check(t *testing.T, x *Index, ino uint64, want ...string) {
	t.Helper()
	if got := x.Names(ino); !slices.Equal(got, want) {
		t.Fatalf("names of %d: %q, want %q", ino, got, want)
	}
}

func TestIndex(t *testing.T) {
	x := New()
	x.Set("a/f", 7, 2)
	x.Set("b", 7, 2)
	x.Set("a/f/below", 8, 2) // a name and a directory in turn: both are kept
	x.Set("single", 9, 1)
	x.Set("", 7, 2)
	check(t, x, 7, "a/f", "b")
	check(t, x, 8, "a/f/below")
	check(t, x, 9)
	x.Set("b", 8, 2) // another file took the name
	check(t, x, 7, "a/f")
	check(t, x, 8, "a/f/below", "b")
	if x.Ino("b") != 8 || x.Ino("a") != 0 || x.Ino("no/where") != 0 {
		t.Fatal("Ino")
	}
	x.Set("b", 8, 1) // its other names are gone
	check(t, x, 8, "a/f/below")
	x.MoveTree("a", "c/d")
	check(t, x, 7, "c/d/f")
	check(t, x, 8, "c/d/f/below")
	x.MoveTree("c", "c/d/e") // impossible: no effect
	x.MoveTree("nothing", "c/d")
	check(t, x, 7) // what was at the new place is gone
	if x.Len() != 0 || len(x.root.kids) != 0 {
		t.Fatalf("left: %d names, %d nodes", x.Len(), len(x.root.kids))
	}
}

func TestComplete(t *testing.T) {
	x := New()
	x.Set("a", 7, 3)
	x.Set("b", 7, 3)
	if x.Complete(7, 3) || !x.Complete(7, 2) || x.Complete(8, 2) || !x.Complete(8, 1) {
		t.Fatal("before a search")
	}
	x.Searched(7, 3) // one name is elsewhere
	if !x.Complete(7, 3) || x.Complete(7, 4) {
		t.Fatal("after a search")
	}
	x.Set("c", 7, 4)
	if !x.Complete(7, 4) {
		t.Fatal("a name was added and is known")
	}
	x.Forget("a")
	if !x.Complete(7, 3) || x.Complete(7, 4) {
		t.Fatal("a name was removed")
	}
	x.Searched(99, 2)
	if x.Complete(99, 2) {
		t.Fatal("an inode without names is not complete")
	}
}

func TestLeft(t *testing.T) {
	x := New()
	var told []string
	x.Left = func(rel string, ino uint64) { told = append(told, fmt.Sprint(rel, " ", ino, " ", x.Names(ino))) }
	x.Set("a", 7, 3)
	x.Set("b", 7, 3)
	x.Set("d/c", 7, 3)
	x.Set("a", 8, 2)
	x.Forget("nothing")
	x.ForgetTree("d")
	x.Forget("b") // the last one: nobody is left to be told of
	want := []string{"a 7 [a b d/c]", "d/c 7 [b d/c]"}
	if !slices.Equal(told, want) {
		t.Fatalf("told %q, want %q", told, want)
	}
}

// sound checks what the positions of names say.
func sound(t *testing.T, x *Index) {
	t.Helper()
	for ino, in := range x.inos {
		if int(in.even) > len(in.names) {
			t.Fatalf("%d even ones of %d names of %d", in.even, len(in.names), ino)
		}
		for i, n := range in.names {
			if n.ino != ino || int(n.pos) != i {
				t.Fatalf("name %d of %d: %q is name %d of %d", i, ino, n.path(), n.pos, n.ino)
			}
		}
	}
}

// TestModel compares the index with a plain map.
func TestModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 4))
	x, model := New(), map[string]uint64{}
	path := func() string {
		p := string(rune('a' + r.IntN(3)))
		for range r.IntN(4) {
			p += "/" + string(rune('a'+r.IntN(3)))
		}
		return p
	}
	under := func(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }
	for range 20_000 {
		p := path()
		switch r.IntN(8) {
		case 6:
			x.Changed(p, queue.Content)
		case 7:
			x.Spread(uint64(1+r.IntN(9)), time.Time{}, nil)
		case 0, 1, 2:
			ino := uint64(1 + r.IntN(9))
			x.Set(p, ino, 2)
			model[p] = ino
		case 3:
			x.Forget(p)
			delete(model, p)
		case 4:
			x.ForgetTree(p)
			maps.DeleteFunc(model, func(k string, _ uint64) bool { return under(k, p) })
		case 5:
			to := path()
			if under(to, p) || under(p, to) {
				continue
			}
			x.MoveTree(p, to)
			moved := map[string]uint64{}
			for k, ino := range model {
				if under(k, p) {
					moved[to+k[len(p):]] = ino
				}
			}
			maps.DeleteFunc(model, func(k string, _ uint64) bool { return under(k, p) || under(k, to) })
			maps.Copy(model, moved)
		}
		for ino := uint64(1); ino < 10; ino++ {
			var want []string
			for k, i := range model {
				if i == ino {
					want = append(want, k)
				}
			}
			slices.Sort(want)
			check(t, x, ino, want...)
		}
		if x.Len() != len(model) {
			t.Fatalf("%d names, want %d", x.Len(), len(model))
		}
		sound(t, x)
	}
	x.ForgetTree("")
	if x.Len() != 0 || len(x.inos) != 0 || x.root.kids != nil {
		t.Fatal("not empty")
	}
}

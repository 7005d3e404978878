package tree

import (
	"strconv"
	"testing"
	"time"
)

// Directories that leave by the hundred thousand are not compared with each other.
// (Quadratic, this takes minutes.)
func TestManyInLimbo(t *testing.T) {
	const many = 300_000
	tree, began := New(), time.Now()
	at := time.Unix(0, 0)
	for i := range many {
		id, _ := tree.Add(tree.Root(), strconv.Itoa(i))
		tree.SetWD(id, int32(i+1))
		tree.Detach(id, uint32(i+1), at)
		if i%64 == 0 { // one that goes for good has nothing to do with them
			id, _ = tree.Add(tree.Root(), "gone")
			tree.Remove(id, func(int32, uint16) {})
		}
	}
	if n := tree.Expire(at.Add(time.Second), time.Second, func(int32, uint16) {}); n != many || tree.Len() != 1 {
		t.Errorf("%d have expired, %d are left", n, tree.Len())
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

package links

import (
	"sync"
	"time"

	"lockstep/worker/queue"
)

// own are the changes that are the file's, whatever its name.
const own = queue.Content | queue.Attr

// Waiting is what waits for one target.
type Waiting interface {
	Pending(rel string) queue.Change
	Add(rel string, c queue.Change, now time.Time)
}

// Add has the targets wait for a change.
func Add(targets []Waiting, rel string, c queue.Change, now time.Time) {
	for _, q := range targets {
		q.Add(rel, c, now)
	}
}

// share is one target's part in what is spread of an inode.
type share struct {
	ino    uint64
	target int
}

// given is what was done for a share in one step.
type given struct {
	all queue.Change // was given to all names
	one queue.Change // what waits for some: who joins them is given it
}

// Changed notes that a change was queued under rel.
func (x *Index) Changed(rel string, c queue.Change) {
	if c&own == 0 {
		return
	}
	if n := x.find(rel, false); n != nil && n.ino != 0 {
		x.inos[n.ino].odd(n)
	}
}

// Spread adds, for all names of an inode, what waits or is under way for one of
// them and is the file's own: its content and its attributes. The targets come
// in the same order each time.
//
// Most names need no look: what waits for one of these was given to all of these
// when it came, and a name that goes leaves nothing behind. Only those that have
// come, or were changed, since the last look may have something for the others,
// and lack what the others wait for. Within a step, of which now is the time and
// in which nothing is taken to be brought over between one call and the next,
// the others are asked, and given anything, once. So of many names that come and
// go together each costs what is its own.
func (x *Index) Spread(ino uint64, now time.Time, targets []Waiting) {
	in := x.inos[ino]
	if in == nil || int(in.even) == len(in.names) {
		return
	}
	odd := paths(in.names[in.even:])
	even := sync.OnceValue(func() []string { return paths(in.names[:len(in.names)-len(odd)]) })
	in.even = uint32(len(in.names))
	if x.given == nil || !x.at.Equal(now) {
		x.at, x.given = now, map[share]given{}
	}
	for i, q := range targets {
		to := share{ino, i}
		g, asked := x.given[to]
		if !asked {
			g.one = pending(q, even())
		}
		c := pending(q, odd)
		if c&^g.all != 0 {
			add(q, even(), c, now)
		}
		g.all |= c
		g.one |= c
		add(q, odd, g.one, now)
		x.given[to] = g
	}
}

func pending(q Waiting, names []string) (c queue.Change) {
	for _, rel := range names {
		c |= q.Pending(rel) & own
	}
	return c
}

func add(q Waiting, names []string, c queue.Change, now time.Time) {
	if c == 0 {
		return
	}
	for _, rel := range names {
		q.Add(rel, c, now)
	}
}

// odd puts a node among those for which something else may wait than for all.
func (in *inode) odd(n *node) {
	if n.pos < in.even {
		in.even--
		in.swap(n.pos, in.even)
	}
}

func (in *inode) swap(i, j uint32) {
	in.names[i], in.names[j] = in.names[j], in.names[i]
	in.names[i].pos, in.names[j].pos = i, j
}

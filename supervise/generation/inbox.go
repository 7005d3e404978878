package generation

import (
	"cmp"
	"maps"
	"slices"
	"sync"
)

// Inbox holds the newest report about each target (0: about the whole worker).
// Putting one in never waits for the session, which may be waiting for that
// worker's end: a newer report says all that an older one did.
type Inbox struct {
	Wake chan struct{} // there is something to Take

	mu     sync.Mutex
	newest map[uint64]Report
}

// NewInbox makes an empty one.
func NewInbox() *Inbox {
	return &Inbox{Wake: make(chan struct{}, 1), newest: map[uint64]Report{}}
}

// maxTargets bounds what a worker can have kept here by making targets up.
const maxTargets = 1 << 10

func (in *Inbox) put(r Report) {
	in.mu.Lock()
	if _, known := in.newest[r.Target]; known || len(in.newest) < maxTargets {
		in.newest[r.Target] = r
	}
	in.mu.Unlock()
	select {
	case in.Wake <- struct{}{}:
	default: // it is about to look
	}
}

// Take empties it: first what is about the whole worker.
func (in *Inbox) Take() []Report {
	in.mu.Lock()
	defer in.mu.Unlock()
	all := slices.SortedFunc(maps.Values(in.newest), func(a, b Report) int { return cmp.Compare(a.Target, b.Target) })
	clear(in.newest)
	return all
}

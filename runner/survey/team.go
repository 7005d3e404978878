package survey

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// team is the walkers of one survey, and what they leave to each other.
type team struct {
	size int
	want atomic.Int32 // walkers that wait, less the gifts for them

	mu     sync.Mutex
	news   sync.Cond // gifts or ended
	idle   int
	ended  bool
	parcel []gift
}

// gift is a directory that has been listed, and those names of it that the
// receiver shall enter.
type gift struct {
	place
	names []byte
	path  []byte
	below []uint32
}

func newTeam(size int) *team {
	t := &team{size: size}
	t.news.L = &t.mu
	return t
}

func (t *team) hungry() bool { return t.want.Load() > 0 }

// take waits for a gift and makes it the walker's first frame. It returns false
// when no walker has anything left.
func (t *team) take(w *walker) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.idle++
	if t.idle == t.size && len(t.parcel) == 0 {
		t.ended = true
		t.news.Broadcast()
	}
	t.want.Add(1)
	for len(t.parcel) == 0 && !t.ended {
		t.news.Wait()
	}
	if t.ended {
		return false
	}
	g := t.parcel[len(t.parcel)-1]
	t.parcel = t.parcel[:len(t.parcel)-1]
	t.idle--
	w.names = append(w.names[:0], g.names...)
	w.path, w.below = append(w.path[:0], g.path...), append(w.below[:0], g.below...)
	w.frames = append(w.frames[:0], frame{place: g.place, end: len(w.names), path: len(w.path)})
	return true
}

// give takes the gift over, also when everybody has ended.
func (t *team) give(g gift) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.want.Add(-1)
	t.parcel = append(t.parcel, g)
	t.news.Signal()
}

// end has every walker stop that waits.
func (t *team) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	t.news.Broadcast()
}

// close gives back what nobody took. Precondition: no walker works any more.
func (t *team) close() error {
	var err error
	for i := range t.parcel {
		err = errors.Join(err, t.parcel[i].close())
	}
	return err
}

// share leaves half of what is to be entered to a walker that waits: of the
// topmost directory that has enough, since what is there is likely to be large.
func (w *walker) share() {
	for i := range w.frames {
		f := &w.frames[i]
		half := f.next + (f.end-f.next)/2
		if half == f.next {
			continue
		}
		// From the middle to the end of the name there.
		half += bytes.IndexByte(w.names[half-1:f.end], 0)
		if half == f.end && i == len(w.frames)-1 {
			continue // the last name is this walker's own
		}
		if half == f.end {
			half = f.next
		}
		g, err := f.twin()
		if err != nil {
			return // no descriptor is free: this walker goes on alone
		}
		g.names, g.path, g.below = bytes.Clone(w.names[half:f.end]), bytes.Clone(w.path[:f.path]), slices.Clone(w.below[:f.depth])
		f.end = half
		w.team.give(g)
		return
	}
}

// twin opens the place again, for another walker.
func (p *place) twin() (gift, error) {
	g := gift{place: *p}
	var err error
	if g.dst, err = unix.FcntlInt(uintptr(p.dst), unix.F_DUPFD_CLOEXEC, 3); err != nil {
		return gift{}, fmt.Errorf("fcntl: %w", err)
	}
	if p.src < 0 {
		return g, nil
	}
	if g.src, err = unix.FcntlInt(uintptr(p.src), unix.F_DUPFD_CLOEXEC, 3); err != nil {
		return gift{}, errors.Join(fmt.Errorf("fcntl: %w", err), unix.Close(g.dst))
	}
	return g, nil
}

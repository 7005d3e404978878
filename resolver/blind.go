package resolver

import (
	"fmt"
	"os"
	"time"

	"lockstep/monitor"
)

// How often the worker looks for itself because of what was written without a
// name, at most: the first time at once, and ever more rarely while it goes on.
// How long a comparison takes is not known here, but the longest rest leaves room
// for that of a large tree.
// Between two it is a minute at least, as with directories that have no watch.
const leastBlind, mostBlind = time.Minute, 16 * time.Minute

// content are the words of a file of which nothing but its number may be known.
// One that says ATTRIB alone is the number of its links: where they come and go
// is told, too. Or it is of a change of mode, owner or times by handle; nothing
// tells the two apart.
const content = monitor.Modify | monitor.CloseWrite

// blind is what is owed to the worker for files that were written by handle while
// the kernel knew none of their names: the kernel's NFS server does so with what
// its clients have open and the caches have forgotten. The event names the file
// and no directory. Whether it is below the root is not known: the handle of a
// file leads to no path, and who has a name of it says only a walk. So the worker
// compares everything: after each such event, but some time after most.
type blind struct {
	due   bool
	least time.Duration // leastBlind
	next  time.Time     // not before this
	rest  time.Duration // from the last one to next
	said  time.Time
}

// wrote notes such an event.
func (b *blind) wrote() { b.due = true }

// step says whether the worker is to look for itself now.
func (b *blind) step(now time.Time) bool {
	if !b.due || now.Before(b.next) {
		return false
	}
	if b.rest == 0 || now.Sub(b.next) >= b.rest { // it had ceased
		b.rest = b.least
	} else {
		b.rest = min(2*b.rest, mostBlind)
	}
	b.due, b.next = false, now.Add(b.rest)
	return true
}

// wait is how long until step has something to do; below 0: for ever.
func (b *blind) wait(now time.Time) time.Duration {
	if !b.due {
		return -1
	}
	return max(b.next.Sub(now), 0)
}

// news says whether the reason is to be told: it may be the same for years.
func (b *blind) news(now time.Time) bool {
	if !b.said.IsZero() && now.Sub(b.said) < time.Hour {
		return false
	}
	b.said = now
	return true
}

// blindly has the worker look for itself if it is owed that.
func (r *Resolver) blindly() {
	if !r.blind.due {
		return
	}
	now := time.Now()
	if !r.blind.step(now) {
		return
	}
	if r.blind.news(now) {
		fmt.Fprint(os.Stderr, "<4>a file on the source's file system was written without a name, as the kernel's NFS server does: whether it is in the source is not known, so that the source is compared whole, once in 1 to 16 minutes while that goes on; monitor = \"poll\" sees it by name\n")
	}
	r.lose()
}

package dnotify

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// grace is how long a directory that is gone from its place is kept. Both
	// signals of a rename are sent within microseconds of each other.
	grace = 10 * time.Millisecond
	// retryAfter is when something that the kernel would not do is tried again.
	retryAfter = 5 * time.Second
	// breath is how many directories are listed before signals are read again:
	// their queue must not fill meanwhile.
	breath = 64
)

// touched takes note of a signal.
func (m *Monitor) touched(fd int) {
	n := m.tree.at(fd)
	if n == nil {
		return // closed since: its parent changed as well
	}
	m.stats.Signals++
	m.mark(n)
}

// mark has n listed and reported in the next update.
func (m *Monitor) mark(n *node) {
	n.changed = true
	if !n.dirty {
		n.dirty = true
		m.marked = append(m.marked, n)
	}
}

// drain reads all signals that are queued.
func (m *Monitor) drain() error {
	lost, err := m.signals.read(m.touched)
	m.lost = m.lost || lost
	return err
}

// update makes the tree what the file system is, as far as the signals say that
// it may have changed, and puts what is to be reported into the reports. What is
// signalled meanwhile is for the next update: under a flood, too, this one ends.
// Orphans are given up that were made before deadline.
func (m *Monitor) update(deadline func(now time.Time) time.Time) error {
	lost := m.lost
	if m.lost = false; lost {
		m.stats.Overflows++
		for _, p := range m.places {
			for n := range below(p.top) {
				m.again(n)
			}
		}
	}
	m.work, m.marked = append(m.work, m.marked...), m.marked[:0]
	for i := 1; len(m.work) > 0; i++ {
		n := m.work[len(m.work)-1]
		m.work = m.work[:len(m.work)-1]
		if err := m.visit(n); err != nil {
			return err
		}
		if i%breath != 0 {
			continue
		}
		if err := m.drain(); err != nil {
			return err
		}
		if err := m.send(); err != nil {
			return err
		}
	}
	for n := m.tree.overdue(deadline(time.Now())); n != nil; n = m.tree.overdue(deadline(time.Now())) {
		if err := m.giveUp(n); err != nil {
			return err
		}
	}
	if lost {
		// Behind the watches: the worker looks at everything from now on.
		for _, p := range m.places {
			m.out.overflow(p)
		}
	}
	return nil
}

// again has n listed in this update.
func (m *Monitor) again(n *node) {
	n.dirty = true
	m.work = append(m.work, n)
}

func (m *Monitor) visit(n *node) error {
	// A directory without a place is not looked into: it may have left the root.
	// It stays dirty, and when it is found, announce sees to it.
	if n.closed || !n.dirty || n.lost() {
		return nil
	}
	n.dirty = false
	if err := m.list(n); err != nil {
		return err
	}
	if n.changed {
		m.out.report(n)
	}
	return nil
}

// list makes the kids of n what the directory holds.
func (m *Monitor) list(n *node) error {
	now := time.Now()
	_, t, err := identity(n.fd)
	if err == nil && n.certain && t == n.times {
		return nil // only contents or attributes of entries have changed
	}
	m.listed++
	var fresh []entry
	unnamed := false
	if err == nil {
		err = subdirectories(n.fd, m.listing, func(name []byte, hint uint64) {
			kid := n.kids[string(name)]
			switch {
			case kid != nil && kid.hint == hint:
				kid.seen = m.listed
			case len(name) > maxName:
				unnamed = true
			default:
				fresh = append(fresh, entry{string(name), hint})
			}
		})
	}
	if err != nil {
		n.certain = false
		m.later(n, err)
		return nil
	}
	if unnamed {
		m.say("a directory's name is longer than 255 bytes: what is in it is not watched")
	}
	until := now.Add(grace)
	for _, kid := range n.kids {
		if kid.seen != m.listed {
			kid.left = m.listed
			m.tree.orphan(kid, until)
		}
	}
	n.times, n.certain = t, t.settled(now)
	for _, e := range fresh {
		if err := m.take(n, e, until); err != nil {
			return err
		}
	}
	return nil
}

// take sees to an entry of p that was not there when p was listed before.
func (m *Monitor) take(p *node, e entry, until time.Time) error {
	fd, err := openBelow(p.fd, e.name, p.of.cross)
	switch {
	case err == nil:
	case errors.Is(err, unix.EMFILE):
		return m.full()
	case notOurs(err):
		return nil
	case errors.Is(err, unix.EACCES):
		p.certain = false // a change of its mode signals p, and is none of p's entries
		return nil
	default:
		p.certain = false
		m.later(p, err)
		return nil
	}
	who, _, err := identity(fd)
	if err != nil {
		return errors.Join(fmt.Errorf("dnotify: statx: %w", err), unix.Close(fd))
	}
	if known := p.of.byID[who]; known != nil {
		m.found(known, p, e, until)
		return unix.Close(fd)
	}
	n, err := m.hold(p.of, fd, who)
	if err != nil {
		return err
	}
	n.hint, n.seen = e.hint, m.listed
	m.tree.attach(n, p, e.name, until)
	n.changed = !m.starting
	m.again(n)
	return nil
}

// hold watches an open directory, which then belongs to the tree.
func (m *Monitor) hold(of *place, fd int, who id) (*node, error) {
	if m.tree.count >= m.limit {
		if err := unix.Close(fd); err != nil {
			return nil, err
		}
		return nil, m.full()
	}
	if err := watch(fd, m.tid); err != nil {
		return nil, errors.Join(fmt.Errorf("dnotify: %w%s", err, advice(err)), unix.Close(fd))
	}
	n := &node{of: of, id: who, fd: fd}
	m.tree.add(n)
	return n, nil
}

func advice(err error) string {
	if errors.Is(err, unix.EINVAL) {
		return ": this kernel has no dnotify (CONFIG_DNOTIFY), or fs.dir-notify-enable is 0; choose another monitor"
	}
	return ""
}

// found puts a directory that is known where it is now.
func (m *Monitor) found(n, p *node, e entry, until time.Time) {
	if n == n.of.top {
		return
	}
	// Was it here all the time, and only its number in the listing is new?
	stayed := n.parent == nil && n.left == m.listed && n.name == e.name
	if m.tree.move(n, p, e.name, until) {
		n.dirty, n.certain = true, false
	}
	n.hint, n.seen = e.hint, m.listed
	if stayed {
		return
	}
	m.stats.Moves++
	for n := range below(n) {
		if n.changed = true; n.dirty {
			m.work = append(m.work, n)
		} else {
			m.out.report(n)
		}
	}
}

// giveUp closes a directory that is nowhere in its root any more, with all that
// the tree has below it: what is elsewhere by now is found there.
func (m *Monitor) giveUp(n *node) error {
	for n := range below(n) {
		m.tree.remove(n)
		delete(m.failed, n)
		if err := unix.Close(n.fd); err != nil {
			return fmt.Errorf("dnotify: close: %w", err)
		}
	}
	return nil
}

// later looks at n again after a while: the kernel refused something that should
// have worked.
func (m *Monitor) later(n *node, err error) {
	if len(m.failed) == 0 {
		m.retry = time.Now().Add(retryAfter)
		m.say(fmt.Sprintf("a directory cannot be listed or opened, trying again every %v: %v", retryAfter, err))
	}
	m.failed[n] = struct{}{}
}

// retryFailed marks what later has noted, when it is time.
func (m *Monitor) retryFailed(now time.Time) {
	if len(m.failed) == 0 || now.Before(m.retry) {
		return
	}
	for n := range m.failed {
		m.mark(n)
	}
	clear(m.failed)
}

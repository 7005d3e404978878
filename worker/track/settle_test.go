package track

import (
	"strings"
	"time"

	"lockstep/worker/tree"
)

// settle runs all parties, without further changes, until nothing is left.
func (s *sim) settle() {
	flaky := s.h.flaky
	s.h.flaky = 0
	if s.noMarks > 0 {
		s.quieten()
		s.t.Verify() // nobody tells of changes in what is not watched
		s.quieten()
		s.checkShort()
	}
	s.k.maxMarks = 1 << 20
	s.t.Rewatch()
	s.quieten()
	if s.h.flaky = flaky; s.noMarks > 0 {
		s.k.maxMarks = s.noMarks // no more are given than there are
	}
}

// checkShort: where the kernel gives too few watches every directory is known and
// listed all the same, and to try others again has none of those listed.
func (s *sim) checkShort() {
	s.tb.Helper()
	dirs, unwatched := 0, uint64(0)
	for _, n := range s.k.root.dirs(nil) {
		rel, seen := s.rel(n)
		if !seen {
			continue
		}
		id := s.t.tree.Find(rel)
		if dirs++; id == tree.None {
			s.fatal("%q is not in the tree", rel)
		}
		if s.t.tree.WD(id) == tree.NoWD {
			unwatched++
		}
	}
	c := s.t.Counters()
	if s.t.tree.Len() != dirs || c.Failed > 0 || c.Unwatched != unwatched || !s.t.Idle() {
		s.fatal("%d directories, %d of them not watched: %+v", dirs, unwatched, c)
	}
	s.cover.short += unwatched
	if s.t.Retry(); !s.t.Idle() {
		s.fatal("what has no watch is listed again")
	}
}

// rel is the path of a directory below the root, and whether nothing of it is excluded.
func (s *sim) rel(n *inode) (string, bool) {
	if n == s.k.root {
		return "", true
	}
	above, ok := s.rel(n.up)
	for name, kid := range n.up.kids {
		if kid == n {
			rel := join(above, name)
			return rel, ok && !s.all[0].excluded(rel, true)
		}
	}
	return "", false
}

func (s *sim) quieten() {
	s.t.Retry()
	for i := 0; ; i++ {
		if i > 200_000 {
			at, due := s.t.Next()
			s.fatal("it never becomes quiet: %+v, next %v %v now %v", s.t.Counters(), at, due, s.now)
		}
		switch {
		case s.k.step(), s.queued() && s.next(2) == 0:
			s.readEvents(1)
		case len(s.h.answers) > 0 && s.next(2) == 0:
			s.deliver()
		case !s.h.idle():
			s.h.step()
		case s.queued():
			s.readEvents(4)
		case len(s.h.answers) > 0:
			s.deliver()
		case s.busy():
		case s.t.Counters().Failed > 0, s.t.Counters().Unwatched > 0 && s.k.maxMarks == 1<<20:
			if s.t.Retry(); s.k.maxMarks == 1<<20 {
				s.t.Rewatch()
			}
			if s.t.Idle() { // what failed is in limbo
				s.now = s.now.Add(100 * time.Millisecond)
				s.t.Tick(s.now)
			}
		default:
			at, due := s.t.Next()
			if !due {
				if !s.t.Idle() {
					s.fatal("a walk is waited for that the helper does not have")
				}
				if s.p != nil && (!s.rounds() || s.waits()) || s.waitsBusy() {
					continue
				}
				s.readEvents(1)
				if s.busy() {
					continue // a pass was waiting for the queue to be empty
				}
				if s.t.doubts.Passing() {
					s.fatal("a pass is said to be due or under way")
				}
				return
			}
			if at.After(s.now) {
				s.now = at
			}
			s.t.Tick(s.now)
		}
	}
}

func (s *sim) fatal(format string, args ...any) {
	s.tb.Helper()
	for _, line := range s.log {
		s.tb.Log(line)
	}
	s.tb.Fatalf(format, args...)
}

// check: tree, watches and mirror are what the file system is.
func (s *sim) check() {
	s.tb.Helper()
	if s.gone != "" {
		s.fatal("the root is said to be gone: %s", s.gone)
	}
	marked := map[int32]bool{}
	s.checkDir(s.t.tree.Root(), "", s.k.root, marked)
	for wd, n := range s.k.marks {
		if !marked[wd] {
			s.fatal("watch %d of %s is left over", wd, s.where(n))
		}
	}
	if s.t.tree.Len() != len(marked) {
		s.fatal("%d nodes, %d watches", s.t.tree.Len(), len(marked))
	}
	for i, m := range s.all {
		if diff := m.differences(); len(diff) > 0 {
			s.fatal("target %d differs:\n%s", i, strings.Join(diff, "\n"))
		}
	}
	if c := s.t.Counters(); c.Unwatched+c.Failed+c.InFlight+c.Queued+c.TooLong != 0 || s.t.pending != 0 || s.t.seeing != 0 {
		s.fatal("counters when quiet: %+v", c)
	}
}

func (s *sim) checkDir(id tree.ID, rel string, n *inode, marked map[int32]bool) {
	wd := s.t.tree.WD(id)
	if !s.t.cfg.Paths && (wd != n.wd || n.wd == 0) || s.t.cfg.Paths && (wd != tree.NoWD || n.wd != 0) {
		s.fatal("%q has watch %d, the tree says %d", rel, n.wd, wd)
	}
	if s.t.cfg.Paths {
		wd = int32(len(marked))
	}
	marked[wd] = true
	count := 0
	for name, kid := range n.kids {
		below := join(rel, name)
		if !kid.dir || s.all[0].excluded(below, true) {
			continue
		}
		count++
		child := s.t.tree.Child(id, name)
		if child == tree.None {
			s.fatal("%q is not in the tree", below)
		}
		s.checkDir(child, below, kid, marked)
	}
	if got := len(s.t.tree.Children(nil, id)); got != count {
		s.fatal("%q has %d directories, the tree says %d", rel, count, got)
	}
}

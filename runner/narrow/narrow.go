// Package narrow turns the places where two trees differ into filter rules that
// keep rsync from all other directories.
//
// Trust: part of the runner, in its jail; paths are hostile.
//
// Invariant: with the rules a pass does in every directory that differs, and in
// all above it, what it would do without; every directory that the rules keep
// it from was added by nobody, and nothing was added below it.
package narrow

import (
	"bytes"
	"slices"
	"sync"
	"sync/atomic"

	"lockstep/rsync"
)

// Limits, beyond which a pass is not narrowed: rsync tries one rule after the
// other on every name.
const (
	maxDirs  = 1024    // that differ, and those above them
	maxEnter = 64      // that are entered with all below, where every name is tried on the rules
	maxBytes = 1 << 20 // of their paths
)

// A directory that rsync need not look at saves it 40 µs, a rule that it tries on
// a name costs some 10 ns (rsync 3.5.0).
const (
	worthDirs  = 2    // directories that are the same, for each that is listed
	worthTries = 1024 // tries, for each directory that is the same
)

// Set is where two trees differ. Its methods may be called by several
// goroutines.
type Set struct {
	over atomic.Bool

	mu    sync.Mutex
	dirs  map[string]struct{}
	enter []string
	bytes int
	names uint64 // directories in dirs
}

// GiveUp says that the trees are not compared any more.
func (s *Set) GiveUp() { s.over.Store(true) }

// Over says that the set means nothing.
func (s *Set) Over() bool { return s.over.Load() }

// Differs adds a directory of which something differs that is no directory, or
// it differs itself. The root is "". below is how many directories there are in
// it and in those above it, from the root on.
func (s *Set) Differs(path []byte, below []uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(path, below)
}

// Enter adds a directory that has to be gone through with all that is below it;
// of which below tells all but the last number.
func (s *Set) Enter(path []byte, below []uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(path) == 0 {
		s.GiveUp() // there is nothing to keep rsync from
		return
	}
	if s.add(path[:max(bytes.LastIndexByte(path, '/'), 0)], below); s.Over() {
		return
	}
	s.enter = append(s.enter, string(path))
	if s.bytes += len(path); len(s.enter) > maxEnter {
		s.GiveUp()
	}
}

func (s *Set) add(path []byte, below []uint32) {
	if s.Over() {
		return
	}
	if s.dirs == nil {
		s.dirs = make(map[string]struct{})
	}
	for depth := bytes.Count(path, []byte{'/'}) + 1; ; depth-- {
		if len(path) == 0 {
			depth = 0
		}
		if _, there := s.dirs[string(path)]; there {
			break
		}
		s.dirs[string(path)] = struct{}{}
		s.bytes += len(path)
		s.names += uint64(below[depth])
		if depth == 0 {
			break
		}
		path = path[:max(bytes.LastIndexByte(path, '/'), 0)]
	}
	if len(s.dirs) > maxDirs || s.bytes > maxBytes {
		s.GiveUp()
	}
}

// Empty says that the trees are the same.
func (s *Set) Empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.Over() && len(s.dirs) == 0
}

// Dirs is how many directories the rules let rsync list, but for those that it
// enters with all below.
func (s *Set) Dirs() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.dirs)
}

// Rules are NUL-terminated rules, to come after all others; nil if there are
// none that are sure, or they would save little: alike is how many directories
// are the same. The first rule that matches decides: what is
// to be gone through is let in, then every other directory of those that are
// listed is left out on both sides.
func (s *Set) Rules(alike uint64) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	tries := s.names * uint64(2*len(s.dirs)+len(s.enter))
	if s.Over() || alike < worthDirs*uint64(len(s.dirs)) || tries > worthTries*alike {
		return nil
	}
	dirs := make([]string, 0, len(s.dirs))
	for dir := range s.dirs {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	var out []byte
	add := func(prefix, rel, suffix string) bool {
		rule := rsync.Rule(prefix, rel, suffix)
		out = append(append(out, rule...), 0)
		return rule != ""
	}
	for _, rel := range s.enter {
		if !add(rsync.Include, rel, rsync.ItselfBelow) {
			return nil
		}
	}
	for _, rel := range dirs {
		if rel != "" && !add(rsync.Include, rel, rsync.Directory) {
			return nil
		}
	}
	for _, rel := range dirs {
		suffix := rsync.ChildDirs
		if rel == "" {
			suffix = suffix[1:]
		}
		if !add(rsync.Exclude, rel, suffix) {
			return nil
		}
	}
	return out
}

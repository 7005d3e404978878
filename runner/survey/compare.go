package survey

import (
	"lockstep/internal/sys"
	"lockstep/runner/narrow"
	"lockstep/runner/same"
)

// Compare asks a survey to find where the trees differ. Beyond what a Set holds
// the survey goes on without.
type Compare struct {
	Crew  *same.Crew // of MaxWalkers
	Attrs same.Attrs
	Found *narrow.Set
}

// begin has the walkers compare. It returns false where the trees cannot be
// compared.
func (c *Compare) begin(walkers []walker) bool {
	roots := walkers[0].frames[0]
	for i := range walkers {
		w := &walkers[i]
		w.set, w.eye = c.Found, &same.Eye{Attrs: c.Attrs}
		if !w.eye.Roots(roots.src, roots.dst) {
			c.Found.GiveUp()
			return false
		}
	}
	return true
}

// comparing says that a directory is to be compared, with what is below it.
func (w *walker) comparing(p *place) bool { return p.compared && !w.set.Over() }

// enters says that the names below the place, of which nothing is known, are all
// rsync's.
func (w *walker) enters(p *place, path []byte) {
	p.compared = false
	w.set.Enter(path, w.below)
}

// child is the path of a name in the directory that is being looked at. It is
// good until the next one.
func (w *walker) child(name []byte) []byte {
	n := len(w.path)
	w.path = join(w.path, name)
	path := w.path
	w.path = w.path[:n]
	return path
}

// join adds a name, with its NUL, to a path.
func join(path, name []byte) []byte {
	if len(path) > 0 {
		path = append(path, '/')
	}
	return append(path, name[:len(name)-1]...)
}

// differences looks for what rsync would mend in a directory that both sides
// have, and of which both listings have been read. odd says that the target has
// names which are to go.
func (w *walker) differences(p *place, odd bool) error {
	alike, known := w.eye.Dirs(p.src, p.dst)
	if !known {
		w.enters(p, w.path)
		return nil
	}
	alike = alike && !odd
	for isDir, name := range w.source.all() {
		if w.target.has(name, isDir) {
			continue
		}
		if alike = false; isDir {
			w.set.Enter(w.child(name), w.below)
		}
	}
	if alike {
		var err error
		if alike, err = w.entries(p); err != nil {
			return err
		}
	}
	if !alike {
		w.set.Differs(w.path, w.below)
		return nil
	}
	w.Alike++
	return nil
}

// entries says whether all that are no directories are the same.
func (w *walker) entries(p *place) (bool, error) {
	n := 0
	for isDir, name := range w.source.all() {
		if n++; n%askEvery == 0 && w.over() {
			return false, ErrOver
		}
		if !isDir && !w.eye.Entry(p.src, p.dst, name) {
			return false, nil
		}
	}
	if w.eye.Attrs == same.AttrsNone || n == w.source.dirs {
		return true, nil
	}
	bare := true
	for _, fd := range [2]int{p.src, p.dst} {
		b, known := w.bare(fd)
		if !known {
			return false, nil
		}
		bare = bare && b
	}
	if bare {
		return true, nil
	}
	for isDir, name := range w.source.all() {
		if n++; n%askEvery == 0 && w.over() {
			return false, ErrOver
		}
		if !isDir && !w.eye.Attributes(p.src, p.dst, name) {
			return false, nil
		}
	}
	return true, nil
}

// bare says whether no entry of one side has an attribute: most have none.
func (w *walker) bare(dir int) (bare, known bool) {
	if sys.Fchdir(dir) != 0 {
		return false, false
	}
	for isDir, name := range w.source.all() {
		if isDir {
			continue
		}
		if bare, known := w.eye.Bare(name); !bare || !known {
			return false, known
		}
	}
	return true, true
}

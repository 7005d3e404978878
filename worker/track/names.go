package track

import "lockstep/worker/tree"

// cached is the directory that the last event was about: most events come in
// runs of one directory.
type cached struct {
	id  tree.ID
	rel string
}

// path is the node's path, and whether it is attached.
func (t *Tracker) path(id tree.ID) (string, bool) {
	if t.last.id == id && id != tree.None {
		return t.last.rel, true
	}
	b, attached := t.tree.AppendPath(t.buf[:0], id)
	t.buf = b
	if !attached {
		return "", false
	}
	t.last = cached{id: id, rel: t.names.Of(b)}
	return t.last.rel, true
}

// moved must follow every change of the tree that changes paths.
func (t *Tracker) moved() { t.last = cached{} }

// entryOf is the path of a name in a directory, as join has it.
func (t *Tracker) entryOf(dir string, name []byte) string {
	b := append(t.buf[:0], dir...)
	if dir != "" {
		b = append(b, '/')
	}
	t.buf = append(b, name...)
	return t.names.Of(t.buf)
}

// Package intern makes one string of bytes that come again and again.
//
// Trust: part of the worker, untrusted. Paths are hostile: what is remembered is
// bounded.
//
// Invariant: Of returns a string of exactly the bytes it was given.
package intern

// Paths are those that were asked for lately.
type Paths map[string]string

const most = 2048 // then all are forgotten

// Of is the string of path; it allocates only for one that is not remembered.
func (p Paths) Of(path []byte) string {
	rel, ok := p[string(path)]
	if ok {
		return rel
	}
	if len(p) >= most {
		clear(p)
	}
	rel = string(path)
	p[rel] = rel
	return rel
}

// Package fresh knows the directories that came while their root was watched, and
// of which of their names anybody has heard.
//
// Between a directory's coming and its watch names may have come into it, which no
// event tells (or it was moved in with them): the listing that follows does. A name
// may be told by both, in any order: the first one announces it. Of a name that an
// event says has gone, a listing says nothing that is newer: whatever takes it
// tells of itself. Once the directory was listed and every event up to then has
// been applied, events alone tell of it, and it is closed.
//
// Trust: part of the worker, untrusted. Names are hostile.
// Imports: the standard library only. Pure.
package fresh

import "strings"

// Dirs are the new directories, by their paths.
type Dirs map[string]*dir

type dir struct {
	names  map[string]what
	listed bool // a listing has announced some
}

// what has been told of a name.
type what uint8

const (
	gone what = iota + 1 // by an event; 0: nothing
	isFile
	isDir
)

func is(directory bool) what {
	if directory {
		return isDir
	}
	return isFile
}

func base(rel string) string { return rel[strings.LastIndexByte(rel, '/')+1:] }

// above is the new directory that a path is in; nil: it is in another one.
func (d Dirs) above(rel string) *dir {
	if i := strings.LastIndexByte(rel, '/'); i > 0 && len(d) > 0 {
		return d[rel[:i]]
	}
	return nil
}

// Open takes down that a directory has just been told of.
func (d Dirs) Open(rel string) { d[rel] = &dir{names: map[string]what{}} }

// Has says whether a directory is a new one.
func (d Dirs) Has(rel string) bool { return d[rel] != nil }

// Listed says whether a listing has announced a name in a new directory.
func (d Dirs) Listed(rel string) bool { return d[rel] != nil && d[rel].listed }

// Unheard says whether nobody has heard yet of a directory, or of one above it:
// the tree may know it sooner, from a listing. Its content is told when it is.
func (d Dirs) Unheard(rel string) bool {
	if len(d) == 0 {
		return false
	}
	for i := 0; i < len(rel); i++ {
		if rel[i] != '/' {
			continue
		}
		if f := d[rel[:i]]; f != nil {
			name, _, _ := strings.Cut(rel[i+1:], "/")
			if f.names[name] <= gone {
				return true
			}
		}
	}
	return false
}

// Silent says whether a name is in a new directory, and nobody has heard of it.
func (d Dirs) Silent(rel string) bool {
	f := d.above(rel)
	return f != nil && f.names[base(rel)] <= gone
}

// Unknown says whether a name is in a new directory, and nothing at all is known
// of it.
func (d Dirs) Unknown(rel string) bool {
	f := d.above(rel)
	return f != nil && f.names[base(rel)] == 0
}

// Differs says whether a listing has told of a name as of another kind of thing
// than an event tells of now: then it is something that came there later.
func (d Dirs) Differs(rel string, directory bool) bool {
	f := d.above(rel)
	return f != nil && f.names[base(rel)] > gone && f.names[base(rel)] != is(directory)
}

// Announce says whether a name that an event tells is news, and takes it down.
func (d Dirs) Announce(rel string, directory bool) bool {
	f := d.above(rel)
	if f == nil {
		return true
	}
	news := f.names[base(rel)] <= gone
	f.names[base(rel)] = is(directory)
	return news
}

// Meet says whether a name that a listing shows is news, and takes it down.
func (d Dirs) Meet(rel string, directory bool) bool {
	if !d.Unknown(rel) {
		return false
	}
	f := d.above(rel)
	f.names[base(rel)], f.listed = is(directory), true
	return true
}

// Withdraw says whether anybody has heard of a name that is no more.
func (d Dirs) Withdraw(rel string) bool {
	f := d.above(rel)
	if f == nil {
		return true
	}
	had := f.names[base(rel)] > gone
	f.names[base(rel)] = gone
	return had
}

// Package listing has the words in which directories are asked for and told.
//
// Trust: part of the worker. Names are chosen by whoever can write in the root.
// Imports: none.
package listing

// Join is a name's path in the directory rel.
func Join(rel, name string) string {
	if rel == "" {
		return name
	}
	return rel + "/" + name
}

// Kinds of entries, with the values of package ipc.
const (
	KindNone uint8 = iota
	KindFile
	KindDir
	KindLink
	KindFIFO
	KindSocket
	KindChar
	KindBlock
)

// Refusals that have a meaning: Linux's error numbers (errno(3)).
const (
	ENOENT       uint16 = 2
	EXDEV        uint16 = 18
	ENOSPC       uint16 = 28
	ENOTDIR      uint16 = 20
	ENAMETOOLONG uint16 = 36
	ELOOP        uint16 = 40
	EINTR        uint16 = 4
	EIO          uint16 = 5
	ETIMEDOUT    uint16 = 110
	EHOSTDOWN    uint16 = 112
	ESTALE       uint16 = 116

	// Own is where the helper's own reasons begin: it had no answer within its
	// time, or too many wait for one.
	Own uint16 = 1024
)

// Entry is one name in a directory.
type Entry struct {
	Kind  uint8
	Nlink uint32
	Ino   uint64
	Size  uint64
	Ctime uint64 // nanoseconds since 1970; of a directory it may be 0: its own listing tells
	Stamp uint64 // another one when mode, owner or time of modification is another; of a directory it may be 0
	Name  string
}

// Walk asks for one directory: to be watched (with Watch), then listed.
type Walk struct {
	Serial uint64
	Rel    string
	All    bool // every entry; else directories, entries with several links, sockets, devices
	Watch  bool
	Since  uint64 // list what has changed its status since as well (clock.Late); 0: see All alone
}

// Part is (part of) the answer to the Walk of the same Serial. Parts arrive
// in order, More set on all but the last; every part carries WD. What went wrong
// the last part alone says: of a directory that was to be watched and is not, one
// that is not the last has neither a Status nor a WD.
type Part struct {
	Serial  uint64
	Status  uint16 // 0, an errno, or Own and above
	WD      int32  // -1 when there is no watch
	Ctime   uint64 // of the directory, nanoseconds since 1970
	More    bool
	Entries []Entry
}

package monitor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Changed is a word of our own, with a bit that inotify does not use: something
// in the directory changed, nobody says what. It is to be listed and compared.
const Changed Op = 0x00010000

// PathEvent is an event whose directory is told by its path: what comes from the
// resolver (fanotify, dnotify), and what a comparison of listings finds.
//
// Several bits of Mask may be set: the kernel merges events of one name, and what
// came first is lost. With Mask 0 it is a mark (see IsMark).
type PathEvent struct {
	Root   uint32 // the number of the root
	Mask   Op     // what happened
	Cookie uint32 // pairs MovedFrom with MovedTo, which follow each other at once
	PID    int32  // who did it, where the kernel tells; else 0
	Dir    []byte // path below the root, empty for the root itself; valid until emit returns
	Name   []byte // entry of Dir, empty for Dir itself; valid until emit returns
}

// IsMark says whether e is no event but an answer: everything that was in the
// kernel's queue when the mark of number Cookie was asked for has been sent.
func (e PathEvent) IsMark() bool { return e.Mask == 0 }

// Sizes of a record: u32 root, mask, cookie and pid, u16 lengths of directory and
// name, little-endian, then both.
const (
	pathHeader = 20
	maxDir     = 4095 // PATH_MAX with its NUL

	// MaxPathRecord holds the largest record.
	MaxPathRecord = pathHeader + maxDir + maxName
)

// pathWords is what a record's mask may hold.
const pathWords = Modify | Attrib | CloseWrite | MovedFrom | MovedTo | Create | Delete |
	DeleteSelf | MoveSelf | Unmount | Overflow | Changed | IsDir

var (
	errPathShort = errors.New("monitor: a path record is cut short")
	errPathDir   = errors.New("monitor: a path record's directory is no path below a root")
	errPathName  = errors.New("monitor: a path record's name is none")
	errPathEmpty = errors.New("monitor: a packet without a path record")
	errPathBare  = errors.New("monitor: an overflow or a mark that says more than that")
)

// DecodePaths calls emit for each record of a packet, in order. An error means
// that the sender is not to be believed; what was emitted before it stands.
func DecodePaths(packet []byte, emit func(PathEvent)) error {
	if len(packet) == 0 {
		return errPathEmpty
	}
	for len(packet) > 0 {
		if len(packet) < pathHeader {
			return errPathShort
		}
		head, rest := packet[:pathHeader], packet[pathHeader:]
		dir, name := int(binary.LittleEndian.Uint16(head[16:])), int(binary.LittleEndian.Uint16(head[18:]))
		if dir+name > len(rest) {
			return errPathShort
		}
		e := PathEvent{
			Root:   binary.LittleEndian.Uint32(head[0:]),
			Mask:   Op(binary.LittleEndian.Uint32(head[4:])),
			Cookie: binary.LittleEndian.Uint32(head[8:]),
			PID:    int32(binary.LittleEndian.Uint32(head[12:])),
			Dir:    rest[:dir:dir],
			Name:   rest[dir : dir+name : dir+name],
		}
		if err := e.check(); err != nil {
			return err
		}
		packet = rest[dir+name:]
		emit(e)
	}
	return nil
}

// check refuses what no sender of ours writes.
func (e PathEvent) check() error {
	if unknown := e.Mask &^ pathWords; unknown != 0 {
		return fmt.Errorf("monitor: a path record with the unknown word %v", unknown)
	}
	if len(e.Dir) > maxDir || !isPath(e.Dir) {
		return errPathDir
	}
	if len(e.Name) > maxName || len(e.Name) > 0 && !isComponent(e.Name) {
		return errPathName
	}
	bare := len(e.Dir) == 0 && len(e.Name) == 0 && e.PID == 0
	switch {
	case e.IsMark() && !(bare && e.Root == 0),
		e.Mask.Has(Overflow) && !(bare && e.Mask == Overflow && e.Cookie == 0):
		return errPathBare
	}
	return nil
}

// isPath says whether each component of dir is one; the empty path is the root.
func isPath(dir []byte) bool {
	for more := len(dir) > 0; more; {
		var part []byte
		part, dir, more = bytes.Cut(dir, []byte{'/'})
		if !isComponent(part) {
			return false
		}
	}
	return true
}

// isComponent says whether name is an entry that a directory can have.
func isComponent(name []byte) bool {
	if len(name) == 0 || len(name) > maxName || name[0] == '.' && (len(name) == 1 || len(name) == 2 && name[1] == '.') {
		return false
	}
	return bytes.IndexByte(name, 0) < 0 && bytes.IndexByte(name, '/') < 0
}

// AppendPath adds e to dst as DecodePaths reads it. Who sends it answers for what
// DecodePaths would refuse.
func AppendPath(dst []byte, e PathEvent) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, e.Root)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(e.Mask))
	dst = binary.LittleEndian.AppendUint32(dst, e.Cookie)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(e.PID))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(e.Dir)))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(e.Name)))
	dst = append(dst, e.Dir...)
	return append(dst, e.Name...)
}

// Takers take what a decoder finds: the one or the other, as the source has it.
type Takers struct {
	Event func(Event)
	Path  func(PathEvent)
}

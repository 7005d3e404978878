// Package monitor decodes what is said about changes in watched directories, by
// the kernel or by a process that reads for us, into one vocabulary of event words.
//
// Trust: used by the worker only, never by a trusted program. Names in events
// are chosen by whoever can write in a watched tree.
// Imports: the standard library only. Pure: no descriptor is read here.
//
// Invariants: no byte outside a record's stated length is looked at; a decoder
// that returns nil has consumed every byte; nothing is allocated for an event.
package monitor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Op is an event's mask: one or more of the constants below, which have the
// kernel's values (inotify(7), "inotify events").
type Op uint32

// Event words, as inotify(7) has them.
const (
	Access       Op = 0x00000001
	Modify       Op = 0x00000002
	Attrib       Op = 0x00000004
	CloseWrite   Op = 0x00000008
	CloseNoWrite Op = 0x00000010
	Open         Op = 0x00000020
	MovedFrom    Op = 0x00000040
	MovedTo      Op = 0x00000080
	Create       Op = 0x00000100
	Delete       Op = 0x00000200
	DeleteSelf   Op = 0x00000400
	MoveSelf     Op = 0x00000800

	Unmount  Op = 0x00002000 // the file system of the watched object is gone
	Overflow Op = 0x00004000 // events were lost; WD is -1
	Ignored  Op = 0x00008000 // the watch is gone, and its number with it

	OnlyDir    Op = 0x01000000 // for inotify_add_watch only
	DontFollow Op = 0x02000000 // for inotify_add_watch only
	ExclUnlink Op = 0x04000000 // for inotify_add_watch only
	IsDir      Op = 0x40000000 // the event's subject is a directory
)

// InotifyMask is what the helper asks the kernel for on every directory.
//
// ExclUnlink keeps quiet about files that are open but have no name any more:
// they are nobody's content. Access and Open are left out: they are no change.
const InotifyMask = uint32(Attrib | Modify | CloseWrite | Create | Delete | DeleteSelf |
	MovedFrom | MovedTo | MoveSelf | OnlyDir | DontFollow | ExclUnlink)

// Sizes of a record (inotify(7), "Reading events from an inotify file
// descriptor").
const (
	headerSize = 16 // struct inotify_event without the name
	maxName    = 255

	// MinBuffer holds the largest single record: a read into less fails with
	// EINVAL. Read into 64 KiB.
	MinBuffer = headerSize + maxName + 1
)

// Event is one record of the kernel's queue.
type Event struct {
	WD     int32  // the watch it is about; -1 with Overflow
	Mask   Op     // what happened
	Cookie uint32 // pairs MovedFrom with MovedTo; else 0
	// Name is the entry of the watched directory that the event is about, empty
	// when it is about the directory itself. It is valid until emit returns.
	Name []byte
}

// errShort says that a record ends behind the buffer's end. The kernel never
// splits a record, so the bytes do not come from an inotify descriptor.
var errShort = errors.New("monitor: an inotify record is cut short")

// Decode calls emit for each record in buf, in order. An error means that the
// bytes are no sequence of inotify records; what was emitted before it stands.
func Decode(buf []byte, emit func(Event)) error {
	for len(buf) > 0 {
		if len(buf) < headerSize {
			return errShort
		}
		head, rest := buf[:headerSize], buf[headerSize:]
		length := binary.NativeEndian.Uint32(head[12:])
		if uint64(length) > uint64(len(rest)) {
			return errShort
		}
		name, err := trim(rest[:length])
		if err != nil {
			return err
		}
		buf = rest[length:]
		emit(Event{
			WD:     int32(binary.NativeEndian.Uint32(head[0:])),
			Mask:   Op(binary.NativeEndian.Uint32(head[4:])),
			Cookie: binary.NativeEndian.Uint32(head[8:]),
			Name:   name,
		})
	}
	return nil
}

// trim takes the padding off a name field: the kernel ends a name with NUL and
// fills up with more of them to a multiple of its header's size.
func trim(field []byte) ([]byte, error) {
	if len(field) == 0 {
		return nil, nil
	}
	end := bytes.IndexByte(field, 0)
	if end < 0 {
		return nil, errors.New("monitor: a name in an inotify record has no end")
	}
	if end > maxName {
		return nil, fmt.Errorf("monitor: a name in an inotify record has %d bytes, more than %d", end, maxName)
	}
	name := field[:end:end]
	if bytes.IndexByte(name, '/') >= 0 {
		return nil, errors.New("monitor: a name in an inotify record holds a slash")
	}
	for _, b := range field[end:] {
		if b != 0 {
			return nil, errors.New("monitor: the padding of an inotify record is not zero")
		}
	}
	return name, nil
}

// Append adds e to dst as the kernel would write it. It is for tests and
// emulations. The name must be one: at most 255 bytes, no slash, no NUL.
func Append(dst []byte, e Event) []byte {
	padded := 0
	if len(e.Name) > 0 {
		padded = (len(e.Name)/headerSize + 1) * headerSize
	}
	dst = binary.NativeEndian.AppendUint32(dst, uint32(e.WD))
	dst = binary.NativeEndian.AppendUint32(dst, uint32(e.Mask))
	dst = binary.NativeEndian.AppendUint32(dst, e.Cookie)
	dst = binary.NativeEndian.AppendUint32(dst, uint32(padded))
	dst = append(dst, e.Name...)
	for range padded - len(e.Name) {
		dst = append(dst, 0)
	}
	return dst
}

// Has says whether o has any of bits.
func (o Op) Has(bits Op) bool { return o&bits != 0 }

// String names the bits, lowest first, joined by "|"; unknown ones in hex.
func (o Op) String() string {
	var b strings.Builder
	for bit := Op(1); bit != 0; bit <<= 1 {
		if o&bit == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('|')
		}
		if word := bit.word(); word != "" {
			b.WriteString(word)
		} else {
			fmt.Fprintf(&b, "%#x", uint32(bit))
		}
	}
	if b.Len() == 0 {
		return "none"
	}
	return b.String()
}

// word names one bit as inotify(7) does, without the prefix IN_.
func (o Op) word() string {
	switch o {
	case Access:
		return "ACCESS"
	case Modify:
		return "MODIFY"
	case Attrib:
		return "ATTRIB"
	case CloseWrite:
		return "CLOSE_WRITE"
	case CloseNoWrite:
		return "CLOSE_NOWRITE"
	case Open:
		return "OPEN"
	case MovedFrom:
		return "MOVED_FROM"
	case MovedTo:
		return "MOVED_TO"
	case Create:
		return "CREATE"
	case Delete:
		return "DELETE"
	case DeleteSelf:
		return "DELETE_SELF"
	case MoveSelf:
		return "MOVE_SELF"
	case Unmount:
		return "UNMOUNT"
	case Overflow:
		return "Q_OVERFLOW"
	case Ignored:
		return "IGNORED"
	case OnlyDir:
		return "ONLYDIR"
	case DontFollow:
		return "DONT_FOLLOW"
	case ExclUnlink:
		return "EXCL_UNLINK"
	case IsDir:
		return "ISDIR"
	case Changed:
		return "CHANGED"
	}
	return ""
}

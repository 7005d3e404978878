package monitor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Rename is fanotify's word for both ends of a rename in one record
// (fanotify(7), FAN_RENAME). It is in no other event.
const Rename Op = 0x10000000

// Handle is a directory as fanotify names it: a struct file_handle as
// open_by_handle_at(2) takes it. It is valid until emit returns.
type Handle []byte

// Change is one record of a fanotify queue whose group reports directories,
// names and targets (FAN_REPORT_DFID_NAME_TARGET).
//
// Several bits of Mask may be set: the kernel merges what one process does to
// one name, and what came first is lost. Records of renames are merged with
// equal ones only.
type Change struct {
	Mask Op // inotify's words have the same values in fanotify
	PID  int32
	// Dir is nil when there is no name to tell: the number of a file's links has
	// changed. When Target (or, with Rename, NewDir) is nil, too, then the kernel
	// could not say what it had to.
	Dir  Handle
	Name []byte // empty: Dir itself
	// With Rename these are the new place, and the others the old one.
	NewDir  Handle
	NewName []byte
	Target  Handle // what Name is or was; nil when Dir itself is meant
}

// Where things are in struct fanotify_event_metadata, in the information
// records behind it, and in the struct file_handle of those (fanotify(7)).
const (
	metaSize   = 24
	metaVers   = 3
	noFD       = -1
	infoHeader = 4              // type, padding, length
	atHandle   = infoHeader + 8 // behind it, the file system's number
	atBytes    = atHandle + 8   // behind it, the handle's length and type
	maxHandle  = 128            // MAX_HANDLE_SZ
	infoAlign  = 4              // FANOTIFY_INFO_ALIGN
	maxInfo    = atBytes + maxHandle + maxName + infoAlign

	// MinChanges holds the largest single record.
	MinChanges = metaSize + 3*maxInfo
)

// Types of information records.
const (
	infoFID     = 1
	infoDirName = 2
	infoOldName = 10
	infoNewName = 12
)

var (
	errChangeShort = errors.New("monitor: a fanotify record is cut short")
	errChangeInfo  = errors.New("monitor: a fanotify record does not hold what belongs to its kind")
	errHandle      = errors.New("monitor: a handle in a fanotify record has no proper length")
	errChangeName  = errors.New("monitor: a name in a fanotify record is none")
)

// DecodeChanges calls emit for each record in buf, in order. An error means that
// the bytes do not come from such a group; what was emitted before it stands.
func DecodeChanges(buf []byte, emit func(Change)) error {
	for len(buf) > 0 {
		if len(buf) < metaSize {
			return errChangeShort
		}
		length := binary.NativeEndian.Uint32(buf)
		if length < metaSize || uint64(length) > uint64(len(buf)) {
			return errChangeShort
		}
		head, info := buf[:metaSize], buf[metaSize:length]
		mask := binary.NativeEndian.Uint64(head[8:])
		vers, size := head[4], binary.NativeEndian.Uint16(head[6:])
		fd := int32(binary.NativeEndian.Uint32(head[16:]))
		if vers != metaVers || size != metaSize || fd != noFD || mask == 0 || mask > math.MaxUint32 {
			return fmt.Errorf("monitor: a fanotify record of version %d, %d bytes, mask %#x, descriptor %d", vers, size, mask, fd)
		}
		c := Change{Mask: Op(mask), PID: int32(binary.NativeEndian.Uint32(head[20:]))}
		if err := c.fill(info); err != nil {
			return err
		}
		buf = buf[length:]
		emit(c)
	}
	return nil
}

// fill reads the information records. (One may be missing: the kernel leaves out
// a handle for which it had no memory.)
func (c *Change) fill(info []byte) error {
	for len(info) > 0 {
		if len(info) < atBytes {
			return errChangeShort
		}
		kind, length := info[0], int(binary.NativeEndian.Uint16(info[2:]))
		if length < atBytes || length > len(info) || length%infoAlign != 0 || info[1] != 0 {
			return errChangeShort
		}
		handle, rest, err := cutHandle(info[atHandle:length])
		if err != nil {
			return err
		}
		if err := c.add(kind, handle, rest); err != nil {
			return err
		}
		info = info[length:]
	}
	if c.Mask.Has(Overflow) && (c.Dir != nil || c.NewDir != nil || c.Target != nil) {
		return errChangeInfo
	}
	return nil
}

// add takes one information record: its handle and what follows.
func (c *Change) add(kind byte, handle Handle, rest []byte) (err error) {
	switch {
	case kind == infoFID && c.Target == nil:
		if len(rest) >= infoAlign || !zero(rest) {
			return errHandle
		}
		c.Target = handle
	case (kind == infoDirName || kind == infoOldName) && c.Dir == nil:
		if (kind == infoOldName) != c.Mask.Has(Rename) {
			return errChangeInfo
		}
		c.Dir = handle
		c.Name, err = cutName(rest)
	case kind == infoNewName && c.NewDir == nil && c.Mask.Has(Rename):
		c.NewDir = handle
		c.NewName, err = cutName(rest)
	default:
		return fmt.Errorf("monitor: an information record of type %d where none belongs", kind)
	}
	return err
}

// cutHandle takes a struct file_handle off the front.
func cutHandle(b []byte) (Handle, []byte, error) {
	size := binary.NativeEndian.Uint32(b)
	if size == 0 || size > maxHandle || int(size) > len(b)-8 {
		return nil, nil, errHandle
	}
	end := 8 + int(size)
	return Handle(b[:end:end]), b[end:], nil
}

// cutName takes the padding off a name; "." is the directory itself, and empty.
func cutName(field []byte) ([]byte, error) {
	end := bytes.IndexByte(field, 0)
	if end <= 0 || end > maxName || len(field)-end > infoAlign || !zero(field[end:]) {
		return nil, errChangeName
	}
	name := field[:end:end]
	if len(name) == 1 && name[0] == '.' {
		return nil, nil
	}
	if !isComponent(name) {
		return nil, errChangeName
	}
	return name, nil
}

func zero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

// AppendChange adds c to dst as the kernel would write it. It is for tests and
// emulations.
func AppendChange(dst []byte, c Change) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, metaVers, 0)
	dst = binary.NativeEndian.AppendUint16(dst, metaSize)
	dst = binary.NativeEndian.AppendUint64(dst, uint64(c.Mask))
	fd := int32(noFD)
	dst = binary.NativeEndian.AppendUint32(dst, uint32(fd))
	dst = binary.NativeEndian.AppendUint32(dst, uint32(c.PID))
	first := byte(infoDirName)
	if c.Mask.Has(Rename) {
		first = infoOldName
	}
	for _, part := range []struct {
		kind   byte
		handle Handle
		name   []byte
	}{{first, c.Dir, c.Name}, {infoNewName, c.NewDir, c.NewName}, {infoFID, c.Target, nil}} {
		if part.handle == nil {
			continue
		}
		if part.kind != infoFID && len(part.name) == 0 {
			part.name = []byte{'.'}
		}
		start := len(dst)
		dst = append(dst, part.kind, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8)
		dst = append(append(dst, part.handle...), part.name...)
		if part.kind != infoFID {
			dst = append(dst, 0)
		}
		for (len(dst)-start)%infoAlign != 0 {
			dst = append(dst, 0)
		}
		binary.NativeEndian.PutUint16(dst[start+2:], uint16(len(dst)-start))
	}
	binary.NativeEndian.PutUint32(dst[at:], uint32(len(dst)-at))
	return dst
}

// NewHandle makes a handle of its type and its opaque bytes.
func NewHandle(kind int32, data []byte) Handle {
	h := binary.NativeEndian.AppendUint32(nil, uint32(len(data)))
	return append(binary.NativeEndian.AppendUint32(h, uint32(kind)), data...)
}

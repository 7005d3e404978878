package handler

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Told is a path of which something is told: what happened to it, in bits of
// inotify(7), and whether all below it is meant.
type Told struct {
	Path      string // "" is the root
	Mask      uint32
	Recursive bool
}

// A list of what is told has two entries a path: "./=MASK", or "./=MASK,r", and
// then the path, "./PATH" or "." for the root. Each is what every list may have
// (ipc.CheckList), so that who passes it on need not know of it. A file may have
// such a name as the first of the two: only the place tells them apart.
const (
	toldMask      = "./="
	toldRecursive = ",r"
	toldPath      = "./"
	toldRoot      = "."
)

// ToldCost is not less than the bytes that AppendTold adds for a path.
func ToldCost(path string) int {
	return len(toldMask) + len("4294967295") + len(toldRecursive) + len(toldPath) + len(path) + 2
}

// AppendTold adds a path to a list.
func AppendTold(list []byte, t Told) []byte {
	list = strconv.AppendUint(append(list, toldMask...), uint64(t.Mask), 10)
	if t.Recursive {
		list = append(list, toldRecursive...)
	}
	list = append(list, 0)
	if t.Path == "" {
		return append(append(list, toldRoot...), 0)
	}
	return append(append(append(list, toldPath...), t.Path...), 0)
}

// ReadTold reads a list that ipc.CheckList has passed. It takes what AppendTold
// writes and nothing else.
func ReadTold(list []byte) ([]Told, error) {
	var out []Told
	for len(list) > 0 {
		head, rest, ok := bytes.Cut(list, []byte{0})
		name, rest, also := bytes.Cut(rest, []byte{0})
		if !ok || !also {
			return nil, errors.New("a list of what has happened ends in the middle")
		}
		t, err := readTold(string(head), string(name))
		if err != nil {
			return nil, err
		}
		out, list = append(out, t), rest
	}
	return out, nil
}

func readTold(head, name string) (t Told, err error) {
	digits, ok := strings.CutPrefix(head, toldMask)
	digits, t.Recursive = strings.CutSuffix(digits, toldRecursive)
	mask, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil || strconv.FormatUint(mask, 10) != digits {
		return Told{}, fmt.Errorf("not what has happened to a path: %.64q", head)
	}
	t.Mask = uint32(mask)
	if name == toldRoot {
		return t, nil
	}
	if t.Path, ok = strings.CutPrefix(name, toldPath); !ok || t.Path == "" {
		return Told{}, fmt.Errorf("not a path of a list: %.64q", name)
	}
	return t, nil
}

// Masks of which a list of what has happened is made; FoundFile is IN_CREATE, and
// a directory has IN_ISDIR as well.
const (
	MaskAttrib  = 0x4
	MaskWritten = 0x8 // IN_CLOSE_WRITE
	MaskCreate  = FoundFile
	MaskDelete  = 0x200
	MaskDir     = 0x40000000
)

// Entry is what a batch has of it. rsync's modes need a line that has all below for
// what was a directory and is gone, or is none now, and one for the path itself.
func (t Told) Entry(m Mode) Entry {
	e := Entry{Path: t.Path, Mask: t.Mask, New: File}
	switch {
	case t.Mask&MaskDelete != 0 && t.Mask&MaskCreate == 0:
		e.New = Absent
		e.Content = m.rsync()
	case t.Mask&MaskDir != 0:
		e.New = Dir
		e.Recursive = t.Recursive
	default:
		e.Content = m.rsync() && t.Recursive
	}
	return e
}

// Rsync says that lists are in rsync's language.
func (m Mode) Rsync() bool { return m.rsync() }

// Function says that no program is called, but a function.
func (m Mode) Function() bool { return m.function() }

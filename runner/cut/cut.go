// Package cut divides a list of paths among several rsyncs that run side by
// side on the same two trees, and makes one end of theirs.
//
// Trust: pure; part of the runner, in its jail. Paths are hostile.
//
// Invariants: the parts, one after the other, are the list; no entry of one part
// is a directory above an entry of another one, so that no two rsyncs make,
// replace or delete the same name. A directory that no part lists may be above
// entries of two: each rsync gives it the attributes that it has in the source,
// and sets its times after its own last change below it, so that whoever is
// last leaves them right. A part is never empty.
package cut

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
)

// List divides a list of entries that end with NUL, sorted by their bytes, into
// at most n parts of about as many entries each. Where it cannot be divided
// soundly there are fewer parts, most often one: the whole list. Precondition:
// every entry is "./" and a path (ipc.CheckList), so that "." is the one other.
func List(list []byte, n int) [][]byte {
	text := string(list)
	if n < 2 || !strings.HasSuffix(text, "\x00") {
		return [][]byte{list}
	}
	entries := strings.Split(text[:len(text)-1], "\x00")
	if !sound(entries) {
		return [][]byte{list}
	}
	free := places(entries)
	var parts [][]byte
	done, from := 0, 0 // entries and bytes before the next part
	for part := range n - 1 {
		at := nearest(free, len(entries)*(part+1)/n, len(entries)/(2*n))
		if at <= done {
			continue
		}
		to := from
		for _, e := range entries[done:at] {
			to += len(e) + 1
		}
		parts = append(parts, list[from:to:to])
		done, from = at, to
	}
	return append(parts, list[from:])
}

// sound says that the list is as the worker makes it. What is not need not be
// understood here: it is left whole.
func sound(entries []string) bool {
	for i, e := range entries {
		if e == "." || len(e) >= pipeBuf || i > 0 && entries[i-1] >= e {
			return false
		}
	}
	return true
}

// places says of each index whether a part may begin there: nothing before it is
// a directory above it or above what follows, and its directory is another one
// than that of the entry before it, because two rsyncs that make names in one
// directory wait for each other.
func places(entries []string) []bool {
	free := make([]bool, len(entries))
	first := len(entries) // the least index of what is above entries[i:]
	last, top := "", -1   // the directory that was looked at last
	for i := len(entries) - 1; i >= 0; i-- {
		if d := dir(entries[i]); d != last {
			last, top = d, topmost(entries, d)
		}
		if top >= 0 {
			first = min(first, top)
		}
		free[i] = i > 0 && first >= i && dir(entries[i-1]) != dir(entries[i])
	}
	return free
}

// topmost is the index of the first of d and the directories above it that is
// an entry, from the top; -1: none is.
func topmost(entries []string, d string) int {
	for i := 2; i < len(d); i++ { // what follows "./"
		if d[i] == '/' {
			if at, listed := slices.BinarySearch(entries, d[:i]); listed {
				return at
			}
		}
	}
	if at, listed := slices.BinarySearch(entries, d); listed {
		return at
	}
	return -1
}

// dir is the directory of an entry; of one in the root it is ".".
func dir(e string) string { return e[:max(0, strings.LastIndexByte(e, '/'))] }

// nearest is the index that is free and nearest to want, less than reach away;
// 0: there is none.
func nearest(free []bool, want, reach int) int {
	for off := range reach {
		for _, at := range [2]int{want - off, want + off} {
			if at > 0 && at < len(free) && free[at] {
				return at
			}
		}
	}
	return 0
}

// pipeBuf is PIPE_BUF of pipe(7): a write of so many bytes is whole or is not.
// (No entry that is longer is of use to rsync: see rsync.MaxRel.)
const pipeBuf = 4096

// Feed writes a part to a pipe, whole entries each time and as many as cannot be
// torn: should this process die in the middle, the command must not read half a
// path and take it for one that is missing. The "./" before a name that means
// nothing else is left out but for the first time (by which the root's own
// attributes come along): rsync takes two system calls for each byte of its list.
// Precondition: List made the part.
func Feed(to io.Writer, part []byte) error {
	chunk := make([]byte, 0, pipeBuf)
	write := func() error {
		if _, err := to.Write(chunk); err != nil {
			return fmt.Errorf("write the list: %w", err)
		}
		chunk = chunk[:0]
		return nil
	}
	for first := true; len(part) > 0; first = false {
		n := bytes.IndexByte(part, 0) + 1
		entry := part[:n]
		if part = part[n:]; !first && plain(entry[len("./")]) {
			entry = entry[len("./"):]
		}
		if len(chunk)+len(entry) > pipeBuf {
			if err := write(); err != nil {
				return err
			}
		}
		chunk = append(chunk, entry...)
	}
	return write()
}

// plain says that a path that begins with c is one to rsync too: no remark, no
// pattern, no option.
func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}

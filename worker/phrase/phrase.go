// Package phrase says things of a root in words, for its log.
//
// Trust: part of the worker. Names are hostile: they go through escape.
package phrase

import (
	"fmt"

	"golang.org/x/sys/unix"

	"lockstep/internal/escape"
	"lockstep/ipc"
)

// Dir is a directory below the root, or the root.
func Dir(rel string) string {
	if rel == "" {
		return "the root itself"
	}
	return escape.Name(rel)
}

// Status is why something was refused.
func Status(s ipc.Status) string {
	switch s {
	case ipc.StatusTimeout:
		return "the file system did not answer in time"
	case ipc.StatusBusy:
		return "too many requests wait for this file system"
	}
	if s < 1024 {
		return unix.Errno(s).Error()
	}
	return fmt.Sprintf("status %d", s)
}

// Busy says that a directory became busy, or is calm again.
func Busy(rel string, begins bool) string {
	if begins {
		return "too much happens in " + Dir(rel) + ": it is listed once a second instead of hearing of each change (busy_rate)"
	}
	return Dir(rel) + " is calm again: changes in it are heard of at once"
}

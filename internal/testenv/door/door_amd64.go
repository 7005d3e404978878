// Package door makes system calls that Go's own functions do not make.
//
// Trust: linked into tests only.
package door

// Int80 makes a call by i386's door, where numbers mean other calls, without
// arguments.
func Int80(nr uintptr) uintptr

// Vfork makes a child by vfork(2), which ends at once; it returns the child's
// process id, or a negative error.
func Vfork() uintptr

//go:build !amd64

// Package door makes system calls that Go's own functions do not make.
//
// Trust: linked into tests only.
package door

// enosys is what a kernel answers to a call that it does not have.
const enosys = ^uintptr(37)

// Int80 is amd64's alone.
func Int80(uintptr) uintptr { return enosys }

// Vfork is amd64's alone.
func Vfork() uintptr { return enosys }

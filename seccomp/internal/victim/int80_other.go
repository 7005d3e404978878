//go:build !amd64

package main

import (
	"errors"

	"lockstep/sandbox/lock"
)

// int80 is amd64's alone.
func int80(uintptr) uintptr {
	lock.Fail("int80", errors.New("not on this architecture"))
	return 0
}

//go:build !trap

package seccomp

import (
	"io"

	libseccomp "github.com/seccomp/libseccomp-golang"
)

const (
	killAction = libseccomp.ActKillProcess
	killName   = "kill the process"
)

// warnTrap has something to say in builds with the tag trap only.
func warnTrap(io.Writer) {}

//go:build trap

package seccomp

import (
	"fmt"
	"io"

	libseccomp "github.com/seccomp/libseccomp-golang"
)

// For debugging: a forbidden call raises a SIGSYS that a Go program answers
// with a traceback of the place. An attacker could handle the signal and go on,
// so such a build confines nobody.
const (
	killAction = libseccomp.ActTrap
	killName   = "TRAP (debug build)"
)

func warnTrap(w io.Writer) {
	fmt.Fprintln(w, "<3>DEBUG BUILD (tag trap): FORBIDDEN SYSTEM CALLS RAISE A SIGNAL INSTEAD OF KILLING. NEVER USE THIS ON A REAL SYSTEM.")
}

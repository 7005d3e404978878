// Package buildinfo carries the build id that all programs of one build share.
//
// Trust: linked into every program; it reads nothing but the command line.
package buildinfo

import (
	"fmt"
	"os"
)

// ID is set by the linker (-X lockstep/internal/buildinfo.ID=…). Programs with
// different ids refuse to work together.
var ID = "dev"

// Version is what `lockstep version` prints.
const Version = "0.1.0"

// Told answers `PROGRAM build-id`, by which the supervisor makes sure that it
// starts programs of its own build. Each main calls it first and ends if so.
func Told() bool {
	if len(os.Args) != 2 || os.Args[1] != "build-id" {
		return false
	}
	fmt.Println(ID)
	return true
}

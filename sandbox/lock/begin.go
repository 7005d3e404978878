package lock

import (
	"errors"
	"fmt"
	"os"

	"lockstep/internal/buildinfo"
)

// Begin is the first act of a confined program: it answers `PROGRAM build-id`
// and ends, or else gives the donated descriptors, of which the named ones must
// be there, and brings the runtime's poller into being, which no filter allows
// later. A failure ends the program.
func Begin(names ...string) map[string]int {
	if buildinfo.Told() {
		os.Exit(0)
	}
	fds, err := Donated()
	if err != nil {
		Fail("descriptors", err)
	}
	for _, name := range names {
		if _, ok := fds[name]; !ok {
			Fail("descriptors", errors.New(name+" was not donated"))
		}
	}
	if err := Poller(); err != nil {
		Fail("poller", err)
	}
	return fds
}

// Config reads a program's configuration, a sealed memfd, and makes sure that
// it was written for a program of this build. A failure ends the program.
func Config[T any](fd int, decode func([]byte) (T, error), build func(*T) string) T {
	data, err := Read(fd)
	if err != nil {
		Fail("configuration", err)
	}
	cfg, err := decode(data)
	if err != nil {
		Fail("configuration", err)
	}
	if id := build(&cfg); id != buildinfo.ID {
		Fail("configuration", fmt.Errorf("it is of build %q, this program is of build %q: install all programs of lockstep together", id, buildinfo.ID))
	}
	return cfg
}

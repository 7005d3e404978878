package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"lockstep/bench/meter"
)

// tree is one that is watched.
type tree struct {
	path string
	dirs int
	why  string // it has another number of them than was asked for
}

// spare are the open files of a program beside one for each directory.
const spare = 40

// above is how many directories makeTree makes beside n.
func above(n int) int { return (n+9999)/10000 + 1 }

// opened is a tree of which each directory can be held open, by us and by what we
// start: with all directories if that is possible, else with as many as can be.
func (t tree) opened() (tree, error) {
	limit, why, err := raiseFiles(t.dirs + above(t.dirs) + spare)
	if err != nil {
		return t, err
	}
	n := limit - spare
	n -= above(n)
	if n >= t.dirs {
		return t, nil
	}
	less := tree{path: filepath.Join(filepath.Dir(t.path), "src-opened"), dirs: n,
		why: fmt.Sprintf("%d directories and not %d, because it holds each one open, and %s", n, t.dirs, why)}
	if n <= 0 {
		return t, errors.New(why)
	}
	if _, err := os.Stat(less.path); err == nil {
		return less, nil
	}
	return less, makeTree(less.path, n)
}

// raiseFiles sets both limits of open files to a number, or to the highest that is
// allowed; then it says what forbids more.
func raiseFiles(want int) (limit int, why string, err error) {
	most := meter.Sysctl("fs.nr_open")
	why = fmt.Sprintf("fs.nr_open is %d", most)
	raised := min(uint64(want), uint64(max(most, 0)))
	var is unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &is); err != nil {
		return 0, "", err
	}
	set := unix.Rlimit{Cur: raised, Max: max(raised, is.Max)}
	if err = unix.Setrlimit(unix.RLIMIT_NOFILE, &set); errors.Is(err, unix.EPERM) { // above the hard limit: CAP_SYS_RESOURCE
		why = fmt.Sprintf("the hard limit of open files (RLIMIT_NOFILE) is %d here, which only CAP_SYS_RESOURCE raises", is.Max)
		set = unix.Rlimit{Cur: is.Max, Max: is.Max}
		err = unix.Setrlimit(unix.RLIMIT_NOFILE, &set)
	}
	if err != nil {
		return 0, "", fmt.Errorf("the limit of open files: %w", err)
	}
	return int(set.Cur), why, nil
}

package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"lockstep/internal/escape"
	"lockstep/seccomp"
	"lockstep/supervise/audit/facts"
	"lockstep/supervise/host"
	"lockstep/supervise/jail"
)

// images compares executables with the programs that are installed: byte for byte,
// each image once.
type images struct {
	known map[image]string
}

// image is a memory file, and the program that it is to be.
type image struct {
	dev, ino uint64
	program  string
}

func newImages() *images { return &images{known: map[image]string{}} }

func (m *images) close() {}

// differs says why a process's image is not a program of ours; "": it is.
func (m *images) differs(d facts.Dir, p facts.Process, program string) string {
	key := image{p.Exe.Dev, p.Exe.Ino, program}
	if why, known := m.known[key]; known {
		return why
	}
	why := compare(d, func() (*os.File, error) {
		path, err := host.Sibling(program)
		if err != nil {
			return nil, err
		}
		return os.Open(path)
	})
	m.known[key] = why
	return why
}

// own says why a supervisor's executable is not this program's.
func (m *images) own(d facts.Dir) string {
	return compare(d, func() (*os.File, error) { return os.Open("/proc/self/exe") })
}

func compare(d facts.Dir, installed func() (*os.File, error)) string {
	theirs, err := d.Image()
	if err != nil {
		return "the executable cannot be read: " + err.Error()
	}
	defer theirs.Close()
	ours, err := installed()
	if err != nil {
		return "the installed program cannot be read: " + escape.Name(err.Error())
	}
	defer ours.Close()
	if sameFile(theirs, ours) {
		return ""
	}
	same, err := equal(theirs, ours)
	if err != nil {
		return "the executable cannot be compared: " + err.Error()
	}
	if !same {
		return "it executes another build than the program that is installed; restart lockstep after an upgrade"
	}
	return ""
}

func sameFile(a, b *os.File) bool {
	x, err := a.Stat()
	if err != nil {
		return false
	}
	y, err := b.Stat()
	return err == nil && os.SameFile(x, y)
}

// equal compares two files.
func equal(a, b *os.File) (bool, error) {
	const piece = 1 << 20
	one, two := make([]byte, piece), make([]byte, piece)
	for {
		n, err := io.ReadFull(a, one)
		m, err2 := io.ReadFull(b, two)
		if n != m || !bytes.Equal(one[:n], two[:m]) {
			return false, nil
		}
		ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		switch {
		case ended && (errors.Is(err2, io.EOF) || errors.Is(err2, io.ErrUnexpectedEOF)):
			return true, nil
		case err != nil && !ended:
			return false, err
		case err2 != nil:
			return false, err2
		}
	}
}

// compiled are the programs of the tables, by the names of their memory files.
func compiled() (map[string][]byte, error) {
	all := map[string][]byte{}
	for _, role := range jail.AsRoot().Filters {
		f, err := seccomp.Compile(seccomp.Table(role, runtime.GOARCH))
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(f)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		all["lockstep-filter-"+string(role)] = data
	}
	return all, nil
}

// heldFilters compares the filters that a supervisor holds, which it hands to each
// process that it starts, with what the tables compile to. What the kernel has of a
// running process could only be had by stopping it.
func (a *auditor) heldFilters(d facts.Dir) (what string, wrong []string) {
	seen := map[string]bool{}
	err := d.EachFD(func(name, to string) {
		memory, ok := strings.CutPrefix(strings.TrimSuffix(to, " (deleted)"), "/memfd:")
		want, known := a.filters[memory]
		if !ok || !known {
			return
		}
		seen[memory] = true
		if why := a.filter(d, path.Join("fd", name), want); why != "" {
			wrong = append(wrong, memory+": "+why)
		}
	})
	if err != nil {
		wrong = append(wrong, "its descriptors cannot be read: "+err.Error())
	}
	for name := range a.filters {
		if !seen[name] {
			wrong = append(wrong, name+": the supervisor does not hold it")
		}
	}
	return fmt.Sprintf("%d, sealed, each what its table compiles to", len(a.filters)), wrong
}

func (a *auditor) filter(d facts.Dir, name string, want []byte) string {
	f, err := d.Held(name)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
	if err != nil || !(facts.Exe{Seals: seals}).Sealed() {
		return "it is not sealed"
	}
	data, err := io.ReadAll(io.NewSectionReader(f, 0, int64(len(want))+1))
	switch {
	case err != nil:
		return err.Error()
	case !bytes.Equal(data, want):
		return "it is not what the table compiles to"
	}
	return ""
}

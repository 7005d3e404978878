// Package lock is stage two of confinement: what a confined program does to
// itself, once, before it serves.
//
// Trust: linked into helper, worker and runner; its input comes from the
// supervisor and stage one. Imports: the standard library, x/sys and
// internal/sys only.
//
// Invariants: every step that fails is an error, and Enter is the last step: a
// program that got nil from it has its filter in every thread. Descriptors and
// the poller must be ready before Enter, since no filter allows epoll_ctl,
// epoll_create1 or eventfd2 to the worker.
package lock

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// fdsVar names the environment variable that tells which descriptor is which.
	fdsVar = "LOCKSTEP_FDS"
	// exitConfine is the exit code when a step of confinement failed.
	exitConfine = 71
	// maxSealed bounds what Read takes (bytes).
	maxSealed = 64 << 20
	// seals are those without which a memfd could still change.
	seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
)

// Donated tells the descriptors that stage one left open for this program, by
// name. Each is checked to be open and set close-on-exec; the variable that
// named them is removed from the environment.
func Donated() (map[string]int, error) {
	list, ok := os.LookupEnv(fdsVar)
	if !ok {
		return nil, fmt.Errorf("%s is not set: this program is started by lockstep only", fdsVar)
	}
	if err := os.Unsetenv(fdsVar); err != nil {
		return nil, fmt.Errorf("unset %s: %w", fdsVar, err)
	}
	fds, err := parseFDs(list)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", fdsVar, err)
	}
	for name, fd := range fds {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			return nil, fmt.Errorf("descriptor %d (%s) was not donated: %w", fd, name, err)
		}
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return nil, fmt.Errorf("descriptor %d (%s): set close-on-exec: %w", fd, name, err)
		}
	}
	return fds, nil
}

// parseFDs reads "name=fd,name=fd": no name and no descriptor twice, none of
// the standard three.
func parseFDs(list string) (map[string]int, error) {
	fds := make(map[string]int)
	seen := make(map[int]bool)
	for item := range strings.SplitSeq(list, ",") {
		name, number, ok := strings.Cut(item, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%q is not name=descriptor", item)
		}
		fd, err := strconv.ParseUint(number, 10, 16)
		if err != nil || strconv.FormatUint(fd, 10) != number {
			return nil, fmt.Errorf("%q: the descriptor is not a number from 3 to 65535", item)
		}
		if fd < 3 {
			return nil, fmt.Errorf("%q: descriptors 0 to 2 have fixed uses", item)
		}
		if _, twice := fds[name]; twice {
			return nil, fmt.Errorf("%q: the name occurs twice", item)
		}
		if seen[int(fd)] {
			return nil, fmt.Errorf("%q: the descriptor occurs twice", item)
		}
		fds[name], seen[int(fd)] = int(fd), true
	}
	return fds, nil
}

// File makes a descriptor non-blocking and registers it with the runtime's
// poller, so that reads and writes need no further set-up call.
//
// The caller must keep the file reachable for as long as the program runs: the
// garbage collector closes a lost one, and the filter kills for that close.
func File(fd int, name string) (*os.File, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("descriptor %d (%s): set non-blocking: %w", fd, name, err)
	}
	file := os.NewFile(uintptr(fd), name)
	if file == nil {
		return nil, fmt.Errorf("descriptor %d (%s): not a descriptor", fd, name)
	}
	// NewFile hides a failed registration and falls back to blocking calls; a
	// deadline can be set on registered files only.
	if err := file.SetDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("descriptor %d (%s): not registered with the poller: %w", fd, name, err)
	}
	return file, nil
}

// Poller forces the runtime's epoll instance and its eventfd into being; the
// runtime makes them at the first use otherwise, which no filter allows.
func Poller() error {
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start the poller: %w", err)
	}
	if err := r.SetDeadline(time.Time{}); err != nil {
		return fmt.Errorf("start the poller: %w", errors.Join(err, r.Close(), w.Close()))
	}
	if err := errors.Join(r.Close(), w.Close()); err != nil {
		return fmt.Errorf("start the poller: %w", err)
	}
	return nil
}

// Read returns the whole of a sealed memfd, whatever its position. A
// descriptor that is not a memfd with all four seals (see memfd_create(2)), is
// empty, or is larger than 64 MiB is an error. It stays open.
func Read(fd int) ([]byte, error) {
	have, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err != nil {
		return nil, fmt.Errorf("descriptor %d is no memfd: %w", fd, err)
	}
	if have&seals != seals {
		return nil, fmt.Errorf("descriptor %d is not sealed: seals %#x, want %#x", fd, have, seals)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("descriptor %d: fstat: %w", fd, err)
	}
	if st.Size <= 0 || st.Size > maxSealed {
		return nil, fmt.Errorf("descriptor %d: size of %d bytes is not within 1 to %d", fd, st.Size, maxSealed)
	}
	data := make([]byte, st.Size)
	for at := 0; at < len(data); {
		n, err := unix.Pread(fd, data[at:], int64(at))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("descriptor %d: read: %w", fd, err)
		}
		if n == 0 {
			return nil, fmt.Errorf("descriptor %d: read ended after %d of %d bytes", fd, at, len(data))
		}
		at += n
	}
	return data, nil
}

// Fail ends the program because a step of confinement failed: it writes one
// line for the supervisor and exits with 71.
func Fail(step string, err error) {
	line := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, fmt.Sprintf("confinement failed: %s: %v", step, err))
	// There is nobody else to tell when this write fails; the exit code says it.
	_, _ = os.Stderr.WriteString("<3>" + line + "\n")
	os.Exit(exitConfine)
}

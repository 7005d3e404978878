package sandbox

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"lockstep/internal/escape"
	"lockstep/sandbox/lock"
)

// Exit codes of a process whose stage one failed.
const (
	exitFailed  = 71 // a step of confinement failed
	exitChanged = 75 // a bound directory is no longer what it was
)

// stage is stage one's state.
type stage struct {
	role          string
	fds           map[string]int
	spec          *Spec
	image, parent int
	joins         []int
	trees         []int // detached copies of Spec.Binds, in their order
	forProgram    table
}

// StageOne is the main of the hidden role: it builds the jail around its own
// process and becomes the program in it. It never returns.
func StageOne() {
	s := &stage{role: "?"}
	if len(os.Args) == 3 {
		s.role = os.Args[2]
	}
	step, err := s.run()
	line := fmt.Sprintf("stage one of %s: %s: %v", s.role, step, err)
	// When the pipe is gone there is nobody to tell; the exit code remains.
	_, _ = os.Stderr.WriteString("<3>" + escape.Name(line) + "\n")
	if errors.Is(err, errChanged) {
		os.Exit(exitChanged)
	}
	os.Exit(exitFailed)
}

// run does the steps, from most to least privilege, and returns the one that
// failed; the last one does not return when it succeeds.
func (s *stage) run() (string, error) {
	// What is to be done; the environment and the descriptors say nothing else.
	if err := s.read(); err != nil {
		return "read the specification", err
	}
	name, err := s.do([]step{
		// Control groups first: all that follows is then accounted to the leaf,
		// and is killed with it. (A v2 leaf it was born into.)
		{"join the control groups", byRoot, s.join},

		// The device filter is proven while the host's /dev is still in sight.
		{"prove the device filter", byRoot, s.probeDevices},

		// Mounts need CAP_SYS_ADMIN, and no task under Landlock may mount: so
		// the root is complete before rights are dropped. Sources are opened
		// before the new root covers the host's.
		{"leave the host's mounts", byRoot, s.leaveHost},
		{"bind", byRoot, s.cloneSources},
		{"mount the root", byRoot, s.mountRoot},
		{"fill the root", byRoot, s.fillRoot},
		{"attach", byRoot, s.attachBinds},
		{"enter the root", byRoot, s.enterRoot},

		// Inside, so that the descriptors belong to the jail's mounts: with one
		// of the host's, ".." would lead out. (Without a jail it does: Landlock, and
		// the code that looks up below it alone, are then what holds.)
		{"open", byBoth, s.openDirs},

		// After the opens: a limit for the program must not hinder its jail.
		{"limit", byBoth, s.limit},

		// Ids, capabilities, Landlock, descriptors, execve: on one thread.
		{"become the program", byBoth, s.become},
	})
	if err == nil {
		name, err = "become the program", errors.New("execveat returned without an error")
	}
	return name, err
}

// column says for which specifications a step is taken: those of a supervisor
// that is root, or of one that is not (Spec.Unprivileged).
type column uint8

const (
	byRoot column = 1 << iota
	byUser
	byBoth = byRoot | byUser
)

type step struct {
	name string
	in   column
	do   func() error
}

// do takes the steps of the specification's column, and returns the one that
// failed.
func (s *stage) do(steps []step) (string, error) {
	mine := byRoot
	if s.spec.Unprivileged {
		mine = byUser
	}
	for _, one := range steps {
		if one.in&mine == 0 {
			continue
		}
		if err := one.do(); err != nil {
			return one.name, err
		}
	}
	return "", nil
}

// read takes stock of the descriptors and reads the Spec.
func (s *stage) read() error {
	// Modes of what is made in the root are exact, and the program's default.
	unix.Umask(0o022)
	fds, err := lock.Donated()
	if err != nil {
		return err
	}
	for _, name := range []string{nameSelf, nameImage, nameSpec, nameParent} {
		if _, ok := fds[name]; !ok {
			return fmt.Errorf("descriptor %q was not donated", name)
		}
	}
	data, err := lock.Read(fds[nameSpec])
	if err != nil {
		return err
	}
	if s.spec, err = decodeSpec(data); err != nil {
		return err
	}
	s.fds, s.image, s.parent = fds, fds[nameImage], fds[nameParent]
	for i := 0; ; i++ {
		fd, ok := fds[nameJoin+strconv.Itoa(i)]
		if !ok {
			break
		}
		s.joins = append(s.joins, fd)
	}
	return s.sortTable()
}

// sortTable makes the program's descriptor table: all that is not stage one's
// own, which must lie without a gap from 3 on.
func (s *stage) sortTable() error {
	names := make([]string, 0, len(s.fds))
	for name := range s.fds {
		if !isOwn(name) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return s.fds[a] - s.fds[b] })
	for i, name := range names {
		if s.fds[name] != 3+i {
			return fmt.Errorf("descriptor %q is %d, want %d", name, s.fds[name], 3+i)
		}
	}
	for _, o := range s.spec.Opens {
		if _, ok := s.fds[o.Name]; !ok || isOwn(o.Name) {
			return fmt.Errorf("no place is kept for descriptor %q", o.Name)
		}
	}
	s.forProgram.names = names
	return nil
}

// join enters the v1 groups: "0" is the writer, with all its threads.
func (s *stage) join() error {
	for _, fd := range s.joins {
		if _, err := unix.Write(fd, []byte("0")); err != nil {
			return err
		}
	}
	return nil
}

// probeDevices opens devices to see the filter at work.
func (s *stage) probeDevices() error {
	switch s.spec.DeviceProbe {
	case ProbeSkip:
		return nil
	case ProbeNone:
		return mustRefuse("/dev/null")
	case ProbeBasic:
		if err := openDevice("/dev/null"); err != nil {
			return fmt.Errorf("open /dev/null: %w; it must open", err)
		}
		return mustRefuse("/dev/full")
	}
	return fmt.Errorf("device probe %d is unknown", s.spec.DeviceProbe)
}

// mustRefuse wants EPERM, which is the filter's answer and no other's to root.
func mustRefuse(device string) error {
	err := openDevice(device)
	if errors.Is(err, unix.EPERM) {
		return nil
	}
	if err == nil {
		return fmt.Errorf("%s was opened: no device filter is in force", device)
	}
	return fmt.Errorf("open %s: %w, want EPERM", device, err)
}

// openDevice opens a device for reading and closes it.
func openDevice(device string) error {
	fd, err := unix.Open(device, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// limit sets the resource limits by prlimit(2): the Go runtime, which has
// raised the limit of open files, does not learn of it and cannot undo it. Who
// is not root can raise none: one that is lower stays.
func (s *stage) limit() error {
	for _, r := range s.spec.Rlimits {
		if s.spec.Unprivileged {
			var now unix.Rlimit
			if err := unix.Prlimit(0, r.Resource, nil, &now); err != nil {
				return fmt.Errorf("resource %d: %w", r.Resource, err)
			}
			r.Soft, r.Hard = min(r.Soft, now.Max), min(r.Hard, now.Max)
		}
		if err := unix.Prlimit(0, r.Resource, &unix.Rlimit{Cur: r.Soft, Max: r.Hard}, nil); err != nil {
			return fmt.Errorf("resource %d to %d, %d: %w", r.Resource, r.Soft, r.Hard, err)
		}
	}
	return nil
}

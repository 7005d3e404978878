package sandbox

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"

	"lockstep/sandbox/landlock"
	"lockstep/sandbox/rights"
)

// become turns one thread into the program. Capabilities, ids, no_new_privs
// and Landlock are a thread's own, and libcap's way of changing all threads
// (psx) hangs or kills without a fresh /proc. So one locked thread drops its
// rights and calls execve, which ends all others and makes it the process.
func (s *stage) become() error {
	program, err := newExec(s.image, s.spec.Argv, append(s.spec.Env, fdsVar+"="+s.forProgram.list()))
	if err != nil {
		return err
	}
	ruleset, err := landlock.Ruleset(s.rules(), s.spec.Unrestricted, s.spec.Connect...)
	if err != nil && !(s.spec.AllowNoLandlock && errors.Is(err, landlock.ErrNone)) {
		return err
	}
	who := rights.Program{UID: s.spec.UID, GID: s.spec.GID, Caps: s.spec.Caps}
	_, err = cap.FuncLauncher(func(any) error {
		name, err := s.do([]step{
			{"ids and capabilities", byRoot, who.Drop},
			{"check of ids and capabilities", byRoot, who.Check},
			{"capabilities", byUser, who.Renounce},
			{"check that there are none", byUser, who.CheckNone},
			{"death signal", byBoth, s.dieWithParent},
			{"no_new_privs", byBoth, func() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }},
			{"landlock", byBoth, func() error {
				if ruleset < 0 {
					return nil // allowed above
				}
				return landlock.Restrict(ruleset)
			}},
			{"descriptors", byBoth, s.keepDonated},
			{"execveat", byBoth, program.exec},
		})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}).Launch(nil)
	return err
}

// rules are the specification's, and one for what was opened: by descriptor,
// since a path may lead elsewhere by now.
func (s *stage) rules() []landlock.Rule {
	rules := slices.Clone(s.spec.Landlock)
	for _, o := range s.spec.Opens {
		if o.Access != 0 {
			rules = append(rules, landlock.Rule{FD: s.fds[o.Name], Path: o.Path, Access: o.Access})
		}
	}
	return rules
}

// dieWithParent asks again for SIGKILL at the parent's death: a change of ids
// has cleared it (prctl(2), PR_SET_PDEATHSIG). A parent that died before sends
// none, so it is looked for afterwards: not by getppid, which is 0 in a new
// pid namespace, but by the supervisor's pidfd, readable once it has ended.
func (s *stage) dieWithParent() error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	fds := []unix.PollFd{{Fd: int32(s.parent), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("poll: %w", err)
		}
		if n != 0 {
			return errors.New("the supervisor has ended")
		}
		return nil
	}
}

// keepDonated leaves exactly 0 to 2, the donations and the Opens open across
// execve. The rest goes there and not before: the Go runtime still uses its own.
func (s *stage) keepDonated() error {
	first := 3 + len(s.forProgram.names)
	for fd := range first {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return fmt.Errorf("descriptor %d: %w", fd, err)
		}
	}
	return unix.CloseRange(uint(first), math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
}

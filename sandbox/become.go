package sandbox

import (
	"errors"
	"fmt"
	"math"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"

	"lockstep/sandbox/landlock"
)

const (
	// lockedBits are root without powers, ids that change no capability, both
	// locked, and KEEP_CAPS locked off; ambientBits add that nothing is raised
	// into the ambient set any more (capabilities(7), securebits).
	lockedBits = cap.SecbitNoRoot | cap.SecbitNoRootLocked | cap.SecbitNoSetUIDFixup |
		cap.SecbitNoSetUIDFixupLocked | cap.SecbitKeepCapsLocked
	ambientBits = lockedBits | cap.SecbitNoCapAmbientRaise | cap.SecbitNoCapAmbientRaiseLocked
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
	ruleset, err := landlock.Ruleset(s.spec.Landlock, s.spec.Unrestricted, s.spec.Connect...)
	if err != nil && !(s.spec.AllowNoLandlock && errors.Is(err, landlock.ErrNone)) {
		return err
	}
	_, err = cap.FuncLauncher(func(any) error {
		for _, step := range []struct {
			name string
			do   func() error
		}{
			{"ids and capabilities", s.dropRights},
			{"check of ids and capabilities", s.checkRights},
			{"death signal", s.dieWithParent},
			{"no_new_privs", func() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }},
			{"landlock", func() error {
				if ruleset < 0 {
					return nil // allowed above
				}
				return landlock.Restrict(ruleset)
			}},
			{"descriptors", s.keepDonated},
			{"execveat", program.exec},
		} {
			if err := step.do(); err != nil {
				return fmt.Errorf("%s: %w", step.name, err)
			}
		}
		return nil
	}).Launch(nil)
	return err
}

// dropRights gives the thread the program's ids and capabilities and no more.
// The order: what needs CAP_SETPCAP, CAP_SETUID or CAP_SETGID comes before they
// go; the securebits that keep capabilities over a change of ids come before
// it; the one that forbids ambient capabilities comes after they are raised.
func (s *stage) dropRights() error {
	keep, drop := s.caps()
	if err := cap.DropBound(drop...); err != nil {
		return fmt.Errorf("bounding set: %w", err)
	}
	if err := lockedBits.Set(); err != nil {
		return fmt.Errorf("securebits: %w", err)
	}
	// Raw calls: those of package syscall change all threads.
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); e != 0 {
		return fmt.Errorf("setgroups: %w", e)
	}
	gid, uid := uintptr(s.spec.GID), uintptr(s.spec.UID)
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid); e != 0 {
		return fmt.Errorf("setresgid: %w", e)
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); e != 0 {
		return fmt.Errorf("setresuid: %w", e)
	}
	if err := cap.ResetAmbient(); err != nil {
		return fmt.Errorf("ambient set: %w", err)
	}
	if err := setCaps(keep, cap.SETPCAP); err != nil {
		return err
	}
	if len(keep) > 0 {
		if err := cap.SetAmbient(true, keep...); err != nil {
			return fmt.Errorf("ambient set: %w", err)
		}
	}
	if err := ambientBits.Set(); err != nil {
		return fmt.Errorf("securebits: %w", err)
	}
	return setCaps(keep)
}

// setCaps makes keep the inheritable set, and keep and more the others.
func setCaps(keep []cap.Value, more ...cap.Value) error {
	set := cap.NewSet()
	for _, flag := range []cap.Flag{cap.Permitted, cap.Effective, cap.Inheritable} {
		vals := append([]cap.Value(nil), keep...)
		if flag != cap.Inheritable {
			vals = append(vals, more...)
		}
		if len(vals) == 0 {
			continue
		}
		if err := set.SetFlag(flag, true, vals...); err != nil {
			return fmt.Errorf("capabilities: %w", err)
		}
	}
	if err := set.SetProc(); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	return nil
}

// caps splits the capabilities the kernel knows into those the program keeps
// and the others.
func (s *stage) caps() (keep, drop []cap.Value) {
	for c := range cap.MaxBits() {
		if s.spec.Caps&(1<<c) != 0 {
			keep = append(keep, c)
		} else {
			drop = append(drop, c)
		}
	}
	return keep, drop
}

// checkRights reads back what dropRights has set: of ids and capabilities no
// return value is believed.
func (s *stage) checkRights() error {
	set := cap.GetProc()
	for c := range cap.MaxBits() {
		want := s.spec.Caps&(1<<c) != 0
		for _, flag := range []cap.Flag{cap.Permitted, cap.Effective, cap.Inheritable} {
			if have, err := set.GetFlag(flag, c); err != nil || have != want {
				return fmt.Errorf("%v is %t in set %v, want %t (%w)", c, have, flag, want, err)
			}
		}
		if have, err := cap.GetBound(c); err != nil || have != want {
			return fmt.Errorf("%v is %t in the bounding set, want %t (%w)", c, have, want, err)
		}
		if have, err := cap.GetAmbient(c); err != nil || have != want {
			return fmt.Errorf("%v is %t in the ambient set, want %t (%w)", c, have, want, err)
		}
	}
	if have := cap.GetSecbits(); have != ambientBits {
		return fmt.Errorf("securebits are %#x, want %#x", uint(have), uint(ambientBits))
	}
	ruid, euid, suid := unix.Getresuid()
	rgid, egid, sgid := unix.Getresgid()
	if u := s.spec.UID; ruid != u || euid != u || suid != u {
		return fmt.Errorf("uids are %d, %d, %d, want %d", ruid, euid, suid, u)
	}
	if g := s.spec.GID; rgid != g || egid != g || sgid != g {
		return fmt.Errorf("gids are %d, %d, %d, want %d", rgid, egid, sgid, g)
	}
	return nil
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

// Package rights gives a thread the ids and capabilities of a confined program,
// or makes sure that it has none to give up.
//
// Trust: linked into stage one; its input comes from the supervisor.
//
// Invariants: all calls are the calling thread's own, which must be locked; what
// was set is read back.
package rights

import (
	"fmt"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"
)

const (
	// lockedBits are root without powers, ids that change no capability, both
	// locked, and KEEP_CAPS locked off; ambientBits add that nothing is raised
	// into the ambient set any more (capabilities(7), securebits).
	lockedBits = cap.SecbitNoRoot | cap.SecbitNoRootLocked | cap.SecbitNoSetUIDFixup |
		cap.SecbitNoSetUIDFixupLocked | cap.SecbitKeepCapsLocked
	ambientBits = lockedBits | cap.SecbitNoCapAmbientRaise | cap.SecbitNoCapAmbientRaiseLocked
)

// Program is who a program is, and what it may do.
type Program struct {
	UID, GID int
	Caps     uint64 // bit numbers of capabilities(7)
}

// Drop gives the calling thread the program's ids and capabilities and no more.
// The order: what needs CAP_SETPCAP, CAP_SETUID or CAP_SETGID comes before they
// go; the securebits that keep capabilities over a change of ids come before
// it; the one that forbids ambient capabilities comes after they are raised.
func (p Program) Drop() error {
	keep, drop := p.split()
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
	gid, uid := uintptr(p.GID), uintptr(p.UID)
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

// split splits the capabilities the kernel knows into those the program keeps
// and the others.
func (p Program) split() (keep, drop []cap.Value) {
	for c := range cap.MaxBits() {
		if p.Caps&(1<<c) != 0 {
			keep = append(keep, c)
		} else {
			drop = append(drop, c)
		}
	}
	return keep, drop
}

// Check reads back what Drop has set: of ids and capabilities no return value is
// believed.
func (p Program) Check() error {
	set := cap.GetProc()
	for c := range cap.MaxBits() {
		want := p.Caps&(1<<c) != 0
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
	return p.checkIDs()
}

func (p Program) checkIDs() error {
	ruid, euid, suid := unix.Getresuid()
	rgid, egid, sgid := unix.Getresgid()
	if u := p.UID; ruid != u || euid != u || suid != u {
		return fmt.Errorf("uids are %d, %d, %d, want %d", ruid, euid, suid, u)
	}
	if g := p.GID; rgid != g || egid != g || sgid != g {
		return fmt.Errorf("gids are %d, %d, %d, want %d", rgid, egid, sgid, g)
	}
	return nil
}

// Renounce is Drop for a thread that was started without privilege: it empties
// the sets that anybody may empty. The bounding set and the securebits are not
// its own to change; with no_new_privs, nothing that it executes can gain by
// them.
func (p Program) Renounce() error {
	if p.Caps != 0 {
		return fmt.Errorf("capabilities %#x were asked for, where there are none to give", p.Caps)
	}
	if err := cap.ResetAmbient(); err != nil {
		return fmt.Errorf("ambient set: %w", err)
	}
	return setCaps(nil)
}

// CheckNone is Check after Renounce: the ids are those of who started lockstep,
// and no set but the bounding one holds anything.
func (p Program) CheckNone() error {
	set := cap.GetProc()
	for c := range cap.MaxBits() {
		for _, flag := range []cap.Flag{cap.Permitted, cap.Effective, cap.Inheritable} {
			if have, err := set.GetFlag(flag, c); err != nil || have {
				return fmt.Errorf("%v is %t in set %v, want false (%w)", c, have, flag, err)
			}
		}
		if have, err := cap.GetAmbient(c); err != nil || have {
			return fmt.Errorf("%v is %t in the ambient set, want false (%w)", c, have, err)
		}
	}
	return p.checkIDs()
}

package seccomp

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	libseccomp "github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"
)

// insnSize is the size of struct sock_filter in bytes; maxInsns is the most
// that the kernel takes (BPF_MAXINSNS).
const (
	insnSize = 8
	maxInsns = 4096
)

// Compile has libseccomp make a filter's program and returns it as a sealed
// memfd: an array of struct sock_filter, positioned at its start. The caller
// closes it.
func Compile(f Filter) (*os.File, error) {
	warnTrap(os.Stderr)
	f, err := less(f)
	if err != nil {
		return nil, err
	}
	file, err := compile(f)
	if err != nil {
		return nil, fmt.Errorf("compile the %s filter for %s: %w", f.Role, f.Arch, err)
	}
	return file, nil
}

func compile(f Filter) (*os.File, error) {
	lib, err := build(f)
	if err != nil {
		return nil, err
	}
	defer lib.Release()
	fd, err := unix.MemfdCreate("lockstep-filter-"+string(f.Role), unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	file := os.NewFile(uintptr(fd), "filter-"+string(f.Role))
	if err := export(lib, file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// export writes the program to the memfd, and seals it.
func export(lib *libseccomp.ScmpFilter, file *os.File) error {
	if err := lib.ExportBPF(file); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	// Fd of ExportBPF has made the file blocking; a memfd always is.
	st, err := file.Stat()
	if err != nil {
		return err
	}
	if n := st.Size(); n == 0 || n%insnSize != 0 || n/insnSize > maxInsns {
		return fmt.Errorf("libseccomp wrote %d bytes, which are not 1 to %d instructions", n, maxInsns)
	}
	if _, err := unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS,
		unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE); err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return nil
}

// build gives libseccomp the rules. The library emits the check of the
// architecture first; calls of another one, and the x32 numbers of amd64, get
// the bad-architecture action, which kills one thread only unless it is set.
func build(f Filter) (*libseccomp.ScmpFilter, error) {
	if len(f.Allow) == 0 {
		return nil, errors.New("there is no such table")
	}
	arch, err := libArch(f.Arch)
	if err != nil {
		return nil, err
	}
	lib, err := libseccomp.NewFilter(libAction(f.Default))
	if err != nil {
		return nil, fmt.Errorf("libseccomp: %w", err)
	}
	if err := fill(lib, arch, f); err != nil {
		lib.Release()
		return nil, err
	}
	return lib, nil
}

func fill(lib *libseccomp.ScmpFilter, arch libseccomp.ScmpArch, f Filter) error {
	if err := lib.SetBadArchAction(libAction(Kill)); err != nil {
		return fmt.Errorf("libseccomp: bad-architecture action: %w", err)
	}
	native, err := libseccomp.GetNativeArch()
	if err != nil {
		return fmt.Errorf("libseccomp: %w", err)
	}
	if native != arch {
		if err := lib.AddArch(arch); err != nil {
			return fmt.Errorf("libseccomp: add architecture: %w", err)
		}
		if err := lib.RemoveArch(native); err != nil {
			return fmt.Errorf("libseccomp: remove architecture: %w", err)
		}
	}
	if err := addRules(lib, f.Arch, libAction(Allow), f.Allow); err != nil {
		return err
	}
	return addRules(lib, f.Arch, libAction(Kill), f.Deny)
}

func addRules(lib *libseccomp.ScmpFilter, arch string, action libseccomp.ScmpAction, calls []Call) error {
	for _, c := range calls {
		if _, err := number(c.Name, arch); err != nil {
			return err
		}
		// Rules are given by the number of the architecture that this program
		// runs on (a negative one stands for a name that it lacks); libseccomp
		// translates by name.
		nr, err := libseccomp.GetSyscallFromName(c.Name)
		if err != nil {
			return fmt.Errorf("system call %s: %w", c.Name, err)
		}
		if err := addRule(lib, nr, action, c.If); err != nil {
			return fmt.Errorf("system call %s: %w", c.Name, err)
		}
	}
	return nil
}

// addRule adds one rule exactly as it stands, or fails.
func addRule(lib *libseccomp.ScmpFilter, nr libseccomp.ScmpSyscall, action libseccomp.ScmpAction, conds []Cond) error {
	if len(conds) == 0 {
		return lib.AddRuleExact(nr, action)
	}
	out := make([]libseccomp.ScmpCondition, 0, len(conds))
	for _, c := range conds {
		var cond libseccomp.ScmpCondition
		var err error
		switch {
		case c.Not:
			cond, err = libseccomp.MakeCondition(c.Arg, libseccomp.CompareNotEqual, c.Value)
		case c.Mask == ^uint64(0):
			cond, err = libseccomp.MakeCondition(c.Arg, libseccomp.CompareEqual, c.Value)
		default:
			cond, err = libseccomp.MakeCondition(c.Arg, libseccomp.CompareMaskedEqual, c.Mask, c.Value)
		}
		if err != nil {
			return err
		}
		out = append(out, cond)
	}
	return lib.AddRuleConditionalExact(nr, action, out)
}

// number is a call's number on an architecture.
func number(name, arch string) (int, error) {
	a, err := libArch(arch)
	if err != nil {
		return 0, err
	}
	nr, err := libseccomp.GetSyscallFromNameByArch(name, a)
	if err != nil || nr < 0 {
		return 0, fmt.Errorf("system call %s: not known to libseccomp on %s", name, arch)
	}
	return int(nr), nil
}

func libArch(arch string) (libseccomp.ScmpArch, error) {
	switch arch {
	case AMD64:
		return libseccomp.ArchAMD64, nil
	case ARM64:
		return libseccomp.ArchARM64, nil
	}
	return libseccomp.ArchInvalid, fmt.Errorf("no tables for architecture %q", arch)
}

func libAction(a Action) libseccomp.ScmpAction {
	switch a {
	case Allow:
		return libseccomp.ActAllow
	case NoSys:
		return libseccomp.ActErrno.SetReturnCode(int16(syscall.ENOSYS))
	default:
		return killAction
	}
}

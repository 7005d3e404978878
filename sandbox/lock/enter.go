package lock

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"lockstep/internal/sys"
)

// insnSize is the size of struct sock_filter (<linux/filter.h>): code 2, jt 1,
// jf 1, k 4 bytes, in the machine's byte order.
const insnSize = 8

// Allowance names a step that may fail because the kernel does not have it. The
// supervisor, which has looked, names it in allowVar; the default is none.
type Allowance string

const allowVar = "LOCKSTEP_ALLOW"

// AllowNoMDWE: kernels before 6.3 have no PR_SET_MDWE. The worker's and the
// helper's filters refuse executable mappings by themselves.
const AllowNoMDWE Allowance = "mdwe"

// Enter confines the process for good and is the last step before it serves:
// not dumpable, no memory that is or becomes writable and executable,
// no_new_privs asserted, and the filter that filterFD holds (a sealed memfd of
// struct sock_filter) in every thread. The descriptor is closed before, since
// the filter may refuse close. On an error the process must end (see Fail).
func Enter(filterFD int, allow ...Allowance) error {
	data, err := Read(filterFD)
	if err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	filter, err := parseFilter(data)
	if err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	if err := unix.Close(filterFD); err != nil {
		return fmt.Errorf("filter: close: %w", err)
	}
	// execveat(2) of a memfd leaves "memfd:…" as the name that ps(1) and the
	// kernel's records show.
	if err := sys.SetName(filepath.Base(os.Args[0])); err != nil {
		return err
	}
	if word := os.Getenv(allowVar); word != "" {
		allow = append(allow, Allowance(word))
	}
	return confine(filter, allow)
}

// parseFilter turns the memfd's bytes into instructions. What they do is the
// kernel's to check (it refuses bad jumps and codes), and the supervisor's to
// have meant.
func parseFilter(data []byte) ([]unix.SockFilter, error) {
	if len(data) == 0 || len(data)%insnSize != 0 || len(data)/insnSize > sys.MaxFilter {
		return nil, fmt.Errorf("%d bytes are not 1 to %d instructions", len(data), sys.MaxFilter)
	}
	filter := make([]unix.SockFilter, 0, len(data)/insnSize)
	for at := 0; at < len(data); at += insnSize {
		filter = append(filter, unix.SockFilter{
			Code: binary.NativeEndian.Uint16(data[at:]),
			Jt:   data[at+2],
			Jf:   data[at+3],
			K:    binary.NativeEndian.Uint32(data[at+4:]),
		})
	}
	return filter, nil
}

// refuseExecGain sets PR_MDWE_REFUSE_EXEC_GAIN (PR_SET_MDWE(2const)): from now
// on no mapping is made both writable and executable, and none becomes
// executable. It is inherited by fork and execve.
func refuseExecGain(allow []Allowance) error {
	err := unix.Prctl(unix.PR_SET_MDWE, unix.PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)
	if err == nil {
		return nil
	}
	missing := errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP)
	if missing && slices.Contains(allow, AllowNoMDWE) {
		return nil
	}
	return fmt.Errorf("PR_SET_MDWE (Linux 6.3 has it): %w", err)
}

// assertNoNewPrivs makes sure that the calling thread has no_new_privs, without
// which seccomp(2) refuses a process that lacks CAP_SYS_ADMIN. Stage one has
// set it, and it survives execve; it is set here when it is not.
func assertNoNewPrivs() error {
	set, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err != nil {
		return fmt.Errorf("PR_GET_NO_NEW_PRIVS: %w", err)
	}
	if set == 1 {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("PR_SET_NO_NEW_PRIVS: %w", err)
	}
	set, err = unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err != nil {
		return fmt.Errorf("PR_GET_NO_NEW_PRIVS: %w", err)
	}
	if set != 1 {
		return fmt.Errorf("no_new_privs is %d after it was set", set)
	}
	return nil
}

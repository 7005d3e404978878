// Package record reads what the kernel writes down when a filter ends a process.
//
// Trust: linked into tests only.
package record

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// auditSeccomp is the type of the kernel's records of seccomp kills
// (AUDIT_SECCOMP of <linux/audit.h>); group 1 of netlink's audit protocol
// carries a copy of each (AUDIT_NLGRP_READLOG). Unlike the copies in the kernel's
// log, these are not limited in rate.
const (
	auditSeccomp = 1326
	auditGroup   = 1
)

// Log reads the kernel's records.
type Log struct{ fd int }

// Open begins to listen, until the test's end.
func Open(t testing.TB) *Log {
	t.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_AUDIT)
	if err != nil {
		t.Fatalf("audit socket: %v", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: auditGroup}); err != nil {
		t.Fatalf("audit socket: %v", err)
	}
	// Other tests' records come as well, while this one does something else.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20); err != nil {
		t.Fatalf("audit socket: %v", err)
	}
	tv := unix.NsecToTimeval(int64(5 * time.Second))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		t.Fatalf("audit socket: %v", err)
	}
	return &Log{fd}
}

// Expect waits for the record of a process's death, which must name the call by
// its architecture and number. Records of other processes are passed over.
func (l *Log) Expect(pid int, arch uint32, nr int32) error {
	record := regexp.MustCompile(`pid=(\d+) .*sig=(\d+) arch=([0-9a-f]+) syscall=(-?\d+)`)
	want := fmt.Sprintf("pid=%d sig=%d arch=%x syscall=%d", pid, unix.SIGSYS, arch, nr)
	buf := make([]byte, 16<<10)
	for {
		n, _, err := unix.Recvfrom(l.fd, buf, 0)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ENOBUFS):
			continue
		case err != nil:
			return fmt.Errorf("no record of the death (%s): %w", want, err)
		case n < unix.SizeofNlMsghdr || uint16(buf[4])|uint16(buf[5])<<8 != auditSeccomp:
			continue
		}
		found := record.FindStringSubmatch(string(buf[unix.SizeofNlMsghdr:n]))
		if found == nil || found[1] != fmt.Sprint(pid) {
			continue
		}
		if got := fmt.Sprintf("pid=%s sig=%s arch=%s syscall=%s", found[1], found[2], found[3], found[4]); !strings.EqualFold(got, want) {
			return fmt.Errorf("the kernel's record says %s, want %s", got, want)
		}
		return nil
	}
}

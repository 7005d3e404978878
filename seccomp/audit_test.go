package seccomp

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/seccomp/bpfsim"
)

// auditSeccomp is the type of the kernel's records of seccomp kills
// (AUDIT_SECCOMP of <linux/audit.h>); group 1 of netlink's audit protocol
// carries a copy of each (AUDIT_NLGRP_READLOG).
const (
	auditSeccomp = 1326
	auditGroup   = 1
)

// auditLog reads the kernel's records.
type auditLog struct{ fd int }

func openAudit(t *testing.T) *auditLog {
	t.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_AUDIT)
	if err != nil {
		t.Fatalf("audit socket: %v", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: auditGroup}); err != nil {
		t.Fatalf("audit socket: %v", err)
	}
	tv := unix.NsecToTimeval(int64(5 * time.Second))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		t.Fatalf("audit socket: %v", err)
	}
	return &auditLog{fd}
}

var record = regexp.MustCompile(`pid=(\d+) .*sig=(\d+) arch=([0-9a-f]+) syscall=(\d+)`)

// expect waits for the record of a process's death, which must name the call.
func (l *auditLog) expect(t *testing.T, pid int, d bpfsim.Data) {
	t.Helper()
	want := fmt.Sprintf("pid=%d sig=%d arch=%x syscall=%d", pid, unix.SIGSYS, d.Arch, d.NR)
	buf := make([]byte, 16<<10)
	for {
		n, _, err := unix.Recvfrom(l.fd, buf, 0)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ENOBUFS):
			continue
		case err != nil:
			t.Fatalf("no record of the death (%s): %v", want, err)
		case n < unix.SizeofNlMsghdr || uint16(buf[4])|uint16(buf[5])<<8 != auditSeccomp:
			continue
		}
		found := record.FindStringSubmatch(string(buf[unix.SizeofNlMsghdr:n]))
		if found == nil || found[1] != fmt.Sprint(pid) {
			continue
		}
		if got := fmt.Sprintf("pid=%s sig=%s arch=%s syscall=%s", found[1], found[2], found[3], found[4]); !strings.EqualFold(got, want) {
			t.Fatalf("the kernel's record says %s, want %s", got, want)
		}
		return
	}
}

// data is the attack as the filter sees it.
func (a attack) data(t *testing.T, arch string) bpfsim.Data {
	d := bpfsim.Data{NR: nr(t, a.name, arch), Arch: auditArch[arch]}
	copy(d.Args[:], a.args)
	return d
}

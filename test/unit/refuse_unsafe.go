package unit

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// refuseIP attaches to a group of cgroup v2 a program that drops every packet, in
// and out: IPAddressDeny=any. It goes with the group.
func refuseIP(group string) error {
	// r0 = 0; exit
	program := []uint64{0x00000000_0000_00_b7, 0x00000000_0000_00_95}
	license := []byte("GPL\x00")
	load := struct {
		kind, count      uint32
		program, license uint64
		_                [96]byte
	}{kind: unix.BPF_PROG_TYPE_CGROUP_SKB, count: uint32(len(program)),
		program: uint64(uintptr(unsafe.Pointer(&program[0]))), license: uint64(uintptr(unsafe.Pointer(&license[0])))}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&load)), unsafe.Sizeof(load))
	runtime.KeepAlive(program)
	runtime.KeepAlive(license)
	if errno != 0 {
		return fmt.Errorf("bpf: load: %w", errno)
	}
	defer unix.Close(int(fd))
	dir, err := os.Open(group)
	if err != nil {
		return err
	}
	for _, direction := range []uint32{unix.BPF_CGROUP_INET_INGRESS, unix.BPF_CGROUP_INET_EGRESS} {
		attach := struct{ group, program, direction, flags uint32 }{uint32(dir.Fd()), uint32(fd), direction, unix.BPF_F_ALLOW_MULTI}
		_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_ATTACH, uintptr(unsafe.Pointer(&attach)), unsafe.Sizeof(attach))
		if errno != 0 {
			return errors.Join(fmt.Errorf("bpf: attach: %w", errno), dir.Close())
		}
	}
	return dir.Close()
}

package main

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/sys"
	"lockstep/sandbox/lock"
)

// roleCalls makes each call of the role's own table.
func (p *prepared) roleCalls(role string) {
	switch role {
	case "worker", "user-worker":
		p.unwatch()
	case "helper":
		p.requests()
	case "resolver":
		p.resolve()
	case "dnotify":
		p.watch()
	case "gate":
		p.clients()
	}
}

func (p *prepared) unwatch() {
	for _, wd := range p.watches {
		if _, err := unix.InotifyRmWatch(p.inotify, wd); err != nil {
			lock.Fail("inotify_rm_watch", err)
		}
	}
}

// resolve does what the resolver does with an event.
func (p *prepared) resolve() {
	fd, err := unix.OpenByHandleAt(p.dir, p.handle, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		lock.Fail("open_by_handle_at", err)
	}
	if err := unix.Fchdir(fd); err != nil {
		lock.Fail("fchdir", err)
	}
	if _, err := unix.Getcwd(make([]byte, 4096)); err != nil {
		lock.Fail("getcwd", err)
	}
	if err := unix.Close(fd); err != nil {
		lock.Fail("close", err)
	}
	if _, err := unix.IoctlGetInt(p.inotify, unix.TIOCINQ); err != nil {
		lock.Fail("ioctl", err)
	}
}

// clients does what the gate does with a connection.
func (p *prepared) clients() {
	fd, _, err := unix.Accept4(p.listener, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	if err != nil {
		lock.Fail("accept4", err)
	}
	if _, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED); err != nil {
		lock.Fail("SO_PEERCRED", err)
	}
	if _, err := sys.PeerGroups(fd, make([]uint32, 64)); err != nil {
		lock.Fail("SO_PEERGROUPS", err)
	}
	conn := os.NewFile(uintptr(fd), "client") // F_GETFL, EPOLL_CTL_ADD
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		lock.Fail("poller", err)
	}
	if _, err := conn.Write([]byte("x")); err != nil {
		lock.Fail("write", err)
	}
	if err := conn.Close(); err != nil {
		lock.Fail("close", err)
	}
}

// requests does what the helper does for others.
func (p *prepared) requests() {
	for _, flags := range []int{unix.MSG_NOSIGNAL, unix.MSG_NOSIGNAL | unix.MSG_DONTWAIT} {
		if err := unix.Sendmsg(p.sockets[0], []byte("x"), nil, nil, flags); err != nil {
			lock.Fail("sendmsg", err)
		}
	}
	if _, _, _, _, err := unix.Recvmsg(p.sockets[1], make([]byte, 8), nil, unix.MSG_CMSG_CLOEXEC); err != nil {
		lock.Fail("recvmsg", err)
	}
	p.verbs()
	list, err := unix.MemfdCreate("list", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_NOEXEC_SEAL)
	if err != nil {
		lock.Fail("memfd_create", err)
	}
	if _, err := unix.FcntlInt(uintptr(list), unix.F_ADD_SEALS, unix.F_SEAL_WRITE); err != nil {
		lock.Fail("F_ADD_SEALS", err)
	}
	if err := unix.Close(list); err != nil {
		lock.Fail("close", err)
	}
}

// verbs does what the helper does with a directory.
func (p *prepared) verbs() {
	fd, err := unix.Openat2(p.dir, "usr", &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		lock.Fail("openat2", err)
	}
	if err := unix.Fchdir(fd); err != nil {
		lock.Fail("fchdir", err)
	}
	if _, err := unix.InotifyAddWatch(p.inotify, ".", unix.IN_CREATE); err != nil {
		lock.Fail("inotify_add_watch", err)
	}
	if _, err := unix.Getdents(fd, make([]byte, 4096)); err != nil {
		lock.Fail("getdents64", err)
	}
	var st unix.Statx_t
	for _, what := range []struct {
		name  string
		flags int
	}{{"bin", 0}, {"", unix.AT_EMPTY_PATH}} {
		flags := what.flags | unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
		if err := unix.Statx(fd, what.name, flags, unix.STATX_BASIC_STATS, &st); err != nil {
			lock.Fail("statx", err)
		}
	}
	if st.Mode == 0 {
		os.Exit(6)
	}
	if err := unix.Close(fd); err != nil {
		lock.Fail("close", err)
	}
}

// watch does what the resolver does with a directory that it is to watch by
// dnotify.
func (p *prepared) watch() {
	fd, err := unix.Openat2(p.dir, "usr", &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		lock.Fail("openat2", err)
	}
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_INO, &st); err != nil {
		lock.Fail("statx", err)
	}
	if e := sys.SetOwnerThread(fd, unix.Gettid()); e != 0 {
		lock.Fail("F_SETOWN_EX", e)
	}
	for cmd, arg := range map[int]int{unix.F_SETSIG: 40, unix.F_NOTIFY: 0x8000003e} { // as seccomp/dnotify.go has them
		if _, err := unix.FcntlInt(uintptr(fd), cmd, arg); err != nil {
			lock.Fail("fcntl", err)
		}
	}
	if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil {
		lock.Fail("lseek", err)
	}
	if _, err := unix.Getdents(fd, make([]byte, 4096)); err != nil {
		lock.Fail("getdents64", err)
	}
	if _, err := unix.Ppoll([]unix.PollFd{{Fd: int32(fd)}}, &unix.Timespec{}, nil); err != nil {
		lock.Fail("ppoll", err)
	}
	if err := unix.Close(fd); err != nil {
		lock.Fail("close", err)
	}
}

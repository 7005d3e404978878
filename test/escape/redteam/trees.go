package redteam

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// src and dst are below the trees that a jail shows.
func src(name string) late { return func(e *Env) any { return e.Source + "/" + name } }
func dst(name string) late { return func(e *Env) any { return e.Target + "/" + name } }

// how is the argument of openat2.
func how(flags uint64) late { return data(flags, uint64(0), uint64(0)) }
func made() late            { return data(uint64(unix.O_CREAT|unix.O_WRONLY), uint64(0o600), uint64(0)) }

// Trees are acts on the tree that is read, which has a file, a program, a device (/dev/full) and
// a link to a secret in it (Plant).
func Trees() []Act {
	open := func(path, with late) func(*Env) syscall.Errno { return call(unix.SYS_OPENAT2, cwd, path, with, 24) }
	return []Act{
		{Name: "write to a file of the source", Check: 75, Call: "openat2", Do: open(src("file"), how(unix.O_WRONLY))},
		{Name: "make a file in the source", Check: 75, Call: "openat2", Do: open(src("new"), made())},
		{Name: "remove a file of the source", Check: 75, Call: "unlinkat", Do: call(unix.SYS_UNLINKAT, cwd, src("file"), 0)},
		{Name: "make a device in the source", Check: 75, Call: "mknodat", Do: call(unix.SYS_MKNODAT, cwd, src("mem"), unix.S_IFCHR|0o600, 0x101)},
		{Name: "open a device of the source", Check: 75, Call: "openat2", Do: open(src("device"), how(unix.O_RDONLY))},
		{Name: "execute a file of the source", Check: 75, Call: "execve", Do: call(unix.SYS_EXECVE, src("program"), argv("x"), argv()), Twin: executed},
		{Name: "follow a link out of the source", Check: 58, Call: "openat2", Do: open(src("link"), how(unix.O_RDONLY))},
		{Name: "climb out of the source", Check: 75, Call: "openat2", Do: open(src("../../../../../../../etc/shadow"), how(unix.O_RDONLY))},
	}
}

// Contents are acts on what is in the files of the tree that is read.
func Contents() []Act {
	return []Act{
		{Name: "read a file of the source", Check: 49, Call: "openat2", Do: call(unix.SYS_OPENAT2, cwd, src("file"), how(unix.O_RDONLY), 24)},
	}
}

// Targets are acts on the tree that is written.
func Targets() []Act {
	program := then(opened(unix.SYS_OPENAT, cwd, dst("ours"), unix.O_CREAT|unix.O_TRUNC|unix.O_WRONLY, 0o755), call(unix.SYS_WRITE, fd(), exits(), 4096), call(unix.SYS_CLOSE, fd()))
	return []Act{
		{Name: "execute what it wrote to the target", Check: 75, Call: "execve", Prepare: prepared(program), Do: call(unix.SYS_EXECVE, dst("ours"), argv("x"), argv()), Twin: executed},
		{Name: "map code that it wrote to the target", Check: 75, Call: "mmap", Prepare: prepared(program, opened(unix.SYS_OPENAT, cwd, dst("ours"), unix.O_RDONLY)),
			Do: call(unix.SYS_MMAP, 0, pageSize, rx, unix.MAP_PRIVATE, fd(), 0)},
		{Name: "make a device in the target", Check: 67, Call: "mknodat", Do: call(unix.SYS_MKNODAT, cwd, dst("mem"), unix.S_IFCHR|0o600, 0x101)},
		{Name: "open a device in the target", Check: 67, Call: "openat2", Do: call(unix.SYS_OPENAT2, cwd, dst("device"), how(unix.O_RDONLY), 24)},
		{Name: "give a file capabilities", Check: 66, Call: "setxattr", Do: call(unix.SYS_SETXATTR, dst("file"), "security.capability", data(uint32(0x02000001), uint32(0xff), uint64(0), uint32(0)), 20, 0)},
		{Name: "link a file of the source into the target", Check: 75, Call: "linkat", Do: call(unix.SYS_LINKAT, cwd, src("file"), cwd, dst("linked"), 0)},
	}
}

// Plant makes what these acts attack in a tree of the host's.
func Plant(dir string) error {
	program, _ := exits()(nil).([]byte)
	return errors.Join(
		os.WriteFile(dir+"/file", []byte("content\n"), 0o644),
		os.WriteFile(dir+"/program", program, 0o755),
		unix.Mknod(dir+"/device", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 7))),
		os.Symlink(shadow, dir+"/link"),
	)
}

// Commands are acts that the real rsync and ssh are made to do. That one was done is
// seen by what it leaves.
func Commands() []Act {
	rsync := func(args ...late) func(*Env) syscall.Errno { return started("/usr/bin/rsync", args...) }
	word := func(s string) late { return func(*Env) any { return s } }
	return []Act{
		{Name: "rsync copies a secret", Check: 75, Call: "clone", Do: leaves(dst("shadow"), rsync(word("-a"), word(shadow), dst("")))},
		{Name: "rsync copies what a link leads to", Check: 58, Call: "clone", Do: leaves(dst("copied"), rsync(word("-aL"), src("link"), dst("copied")))},
		{Name: "rsync starts a program", Check: 73, Call: "clone", Do: leaves(dst("ran"), rsync(word("-e"), func(e *Env) any { return "/usr/bin/sh -c 'touch " + e.Target + "/ran'" }, src(""), word("x:y")))},
		{Name: "rsync writes to the source", Check: 75, Call: "clone", Do: leaves(src("ours"), rsync(word("-a"), dst("file"), src("ours")))},
		{Name: "rsync removes what it copied", Check: 75, Call: "clone", Do: loses(src("program"), rsync(word("-a"), word("--remove-source-files"), src("program"), dst("moved")))},
		{Name: "rsync makes a device", Check: 67, Call: "clone", Do: leaves(dst("made"), rsync(word("-a"), word("--devices"), src("device"), dst("made")))},
	}
}

// Remotely are those of ssh.
func Remotely() []Act {
	word := func(s string) late { return func(*Env) any { return s } }
	return []Act{
		{Name: "ssh starts a program", Check: 83, Call: "clone", Do: leaves(in("ran"), started("/usr/bin/ssh", word("-F"), word("none"), word("-o"),
			func(e *Env) any { return "ProxyCommand=/usr/bin/touch " + e.Dir + "/ran" }, word("x")))},
		{Name: "rsync sends a file of the host", Check: 75, Call: "clone", Do: leaves(in("shadow"), started("/usr/bin/rsync", word("-a"), word(shadow), in("shadow")))},
	}
}

// notDone is the answer of an act of a command's that left no trace.
const notDone = syscall.Errno(1000)

func leaves(what late, do func(*Env) syscall.Errno) func(*Env) syscall.Errno {
	return func(e *Env) syscall.Errno {
		if errno := do(e); errno != 0 {
			return errno
		}
		return e.there(what)
	}
}

func loses(what late, do func(*Env) syscall.Errno) func(*Env) syscall.Errno {
	return func(e *Env) syscall.Errno {
		if errno := do(e); errno != 0 {
			return errno
		}
		if e.there(what) != 0 {
			return 0
		}
		return notDone
	}
}

// there says whether a path is, itself and not what it leads to.
func (e *Env) there(what late) syscall.Errno {
	path, _ := what(e).(string)
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return notDone
	}
	return 0
}

// started has a real program run to its end, as the runner starts one. How it ends is
// not asked: what it did is.
func started(program string, args ...late) func(*Env) syscall.Errno {
	return func(e *Env) syscall.Errno {
		words := []string{program}
		for _, a := range args {
			w, _ := a(e).(string)
			words = append(words, w)
		}
		pid, err := syscall.ForkExec(program, words, &syscall.ProcAttr{Env: []string{"PATH=/usr/bin", "LANG=C"}, Files: []uintptr{0, 2, 2}})
		if err != nil {
			errno, _ := err.(syscall.Errno)
			return errno
		}
		for {
			var ws syscall.WaitStatus
			if _, err := syscall.Wait4(pid, &ws, 0, nil); err != syscall.EINTR {
				return 0
			}
		}
	}
}

// Command probe says, from inside a jail, what it finds and what it can do: one
// line of JSON on descriptor 1. Then it waits until its descriptor "hold", if
// it has one, is closed at the other end. Its arguments are acts, KIND:PATH.
package main

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Report is what the probe says; the tests have the same type.
type Report struct {
	Args, Env []string
	Pid, Ppid int
	UIDs      [3]int
	GIDs      [3]int
	Groups    []int
	Securebits,
	NoNewPrivs int
	Umask  int
	NoFile uint64
	Cwd    string
	Root   []string          // names in /
	Acts   map[string]string // act: "ok" or the errno's name
}

func main() {
	r := Report{Args: os.Args, Env: os.Environ(), Pid: os.Getpid(), Ppid: os.Getppid(), Acts: map[string]string{}}
	r.UIDs[0], r.UIDs[1], r.UIDs[2] = unix.Getresuid()
	r.GIDs[0], r.GIDs[1], r.GIDs[2] = unix.Getresgid()
	r.Groups, _ = os.Getgroups()
	r.Securebits, _ = unix.PrctlRetInt(unix.PR_GET_SECUREBITS, 0, 0, 0, 0)
	r.NoNewPrivs, _ = unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	r.Umask = unix.Umask(0)
	var limit unix.Rlimit
	_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	r.NoFile = limit.Max
	r.Cwd, _ = os.Getwd()
	for _, act := range os.Args[1:] {
		kind, path, _ := strings.Cut(act, ":")
		r.Acts[act] = errno(do(kind, path))
	}
	entries, _ := os.ReadDir("/")
	for _, e := range entries {
		r.Root = append(r.Root, e.Name())
	}
	line, _ := json.Marshal(r)
	_, _ = os.Stdout.Write(append(line, '\n'))
	hold := -1
	for item := range strings.SplitSeq(os.Getenv("LOCKSTEP_FDS"), ",") {
		if name, fd, _ := strings.Cut(item, "="); name == "hold" {
			hold, _ = strconv.Atoi(fd)
		}
	}
	if hold >= 0 {
		_, _ = unix.Read(hold, make([]byte, 1))
	}
}

// do tries one act.
func do(kind, path string) error {
	switch kind {
	case "read":
		_, err := os.ReadFile(path)
		return err
	case "list":
		_, err := os.ReadDir(path)
		return err
	case "stat":
		_, err := os.Lstat(path)
		return err
	case "write":
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		return f.Close()
	case "mkdir":
		return os.Mkdir(path, 0o700)
	case "null": // make a node like /dev/null
		return unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3)))
	case "open": // open a device
		f, err := os.OpenFile(path, os.O_RDONLY, 0)
		if err != nil {
			return err
		}
		return f.Close()
	case "exec":
		pid, err := syscall.ForkExec(path, []string{path}, &syscall.ProcAttr{})
		if err != nil {
			return err
		}
		_, err = syscall.Wait4(pid, nil, 0, nil)
		return err
	case "listdir-fd": // the names of a donated directory, and a file in it
		fd, _ := strconv.Atoi(path)
		_, err := unix.ReadDirent(fd, make([]byte, 4096))
		return err
	case "kill0": // a signal to a process outside
		pid, _ := strconv.Atoi(path)
		return unix.Kill(pid, 0)
	case "chown":
		return os.Lchown(path, 1, 1)
	case "chmod":
		return os.Chmod(path, 0o777)
	case "mount":
		return unix.Mount("none", path, "tmpfs", 0, "")
	case "dial":
		c, err := net.Dial("tcp4", path)
		if err != nil {
			return err
		}
		return c.Close()
	}
	return errors.New("unknown act")
}

func errno(err error) string {
	if err == nil {
		return "ok"
	}
	var e syscall.Errno
	if errors.As(err, &e) {
		return unix.ErrnoName(e)
	}
	return err.Error()
}

// Command probe stands in ssh's place and says, on its standard error, what it
// finds and what it can do there: one line of JSON. Then it waits for the end of
// its input. The acts are lines of the file that would be ssh's identity.
package main

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Report is what the probe says; the tests have the same type.
type Report struct {
	Args, Env []string
	FDs       []int
	UID       int
	Caps      [2]unix.CapUserData
	Acts      map[string]string // act: "ok" or the errno's name
}

func main() {
	r := Report{Args: os.Args, Env: os.Environ(), Acts: map[string]string{}}
	r.UID = unix.Getuid()
	for fd := range 1024 {
		// The runtime's own poller is no file of any type.
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != 0 {
			r.FDs = append(r.FDs, fd)
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &r.Caps[0]); err != nil {
		r.Acts["capget"] = err.Error()
	}
	file := "/lockstep/identity"
	if twin := os.Getenv("PROBE_ACTS"); twin != "" {
		file = twin
	}
	acts, err := os.ReadFile(file)
	r.Acts["acts"] = errno(err)
	ready := "" // where to tell that the report is out
	for _, act := range strings.Fields(string(acts)) {
		kind, object, _ := strings.Cut(act, ":")
		if kind == "ready" {
			ready = object
			continue
		}
		r.Acts[act] = errno(do(kind, object))
	}
	line, _ := json.Marshal(r)
	_, _ = os.Stderr.Write(append([]byte("REPORT "), append(line, '\n')...))
	if ready == "" {
		return
	}
	_ = do("tcp", ready)
	buf := make([]byte, 4096)
	for {
		if n, err := unix.Read(0, buf); err == unix.EAGAIN {
			_, _ = unix.Poll([]unix.PollFd{{Fd: 0, Events: unix.POLLIN}}, -1)
		} else if n <= 0 {
			return
		}
	}
}

// do tries one act.
func do(kind, object string) error {
	switch kind {
	case "read":
		_, err := os.ReadFile(object)
		return err
	case "list":
		_, err := os.ReadDir(object)
		return err
	case "write":
		f, err := os.OpenFile(object, os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		return f.Close()
	case "exec":
		pid, err := syscall.ForkExec(object, []string{object}, &syscall.ProcAttr{})
		if err != nil {
			return err
		}
		_, err = syscall.Wait4(pid, nil, 0, nil)
		return err
	case "tcp":
		return withSocket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_TCP, func(fd int) error {
			return unix.Connect(fd, address(object))
		})
	case "fastopen": // connects by sending
		return withSocket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_TCP, func(fd int) error {
			return unix.Sendto(fd, []byte("x"), unix.MSG_FASTOPEN, address(object))
		})
	case "listen":
		return withSocket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_TCP, func(fd int) error {
			return errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 1))
		})
	case "udp":
		return withSocket(unix.AF_INET, unix.SOCK_DGRAM, 0, nil)
	case "unix":
		return withSocket(unix.AF_UNIX, unix.SOCK_STREAM, 0, nil)
	case "stream":
		return withPair(unix.SOCK_STREAM, nil)
	case "datagram": // a socket of the pair is connected again
		return withPair(unix.SOCK_DGRAM, &unix.SockaddrUnix{Name: object})
	case "netlink":
		return withSocket(unix.AF_NETLINK, unix.SOCK_RAW, 0, nil)
	case "mptcp":
		return withSocket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP, nil)
	}
	return errors.New("unknown act")
}

func withSocket(family, kind, protocol int, use func(fd int) error) error {
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if use == nil {
		return nil
	}
	return use(fd)
}

// withPair makes a pair and sends a byte, to another socket if one is named.
func withPair(kind int, to unix.Sockaddr) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	if to != nil {
		err = unix.Connect(pair[0], to)
	}
	if err == nil {
		_, err = unix.Write(pair[0], []byte("x"))
	}
	return err
}

func address(s string) unix.Sockaddr {
	a := netip.MustParseAddrPort(s)
	return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
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

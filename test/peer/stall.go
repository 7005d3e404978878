package peer

import (
	"io"
	"net"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// What a server says first.
const (
	SSHBanner   = "SSH-2.0-OpenSSH_9.2p1\r\n"
	RsyncBanner = "@RSYNCD: 31.0\n"
)

// Stalled is a server that answers no more.
type Stalled struct {
	addr string

	mu    sync.Mutex
	conns []net.Conn // guarded by mu
}

// Stall starts a server that accepts, says a banner, and then nothing more.
func Stall(t testing.TB, banner string) *Stalled {
	t.Helper()
	addr := address("127.0.0.1", freePort(t, "127.0.0.1"))
	l, err := net.Listen("tcp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &Stalled{addr: addr}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			all.Go(func() {
				_, _ = io.WriteString(c, banner)
				_, _ = io.Copy(io.Discard, c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.mu.Lock()
		for _, c := range s.conns {
			_ = c.Close()
		}
		s.mu.Unlock()
		all.Wait()
	})
	return s
}

// Addr is host:port.
func (s *Stalled) Addr() string { return s.addr }

// Port is its port.
func (s *Stalled) Port() uint16 { return portOf(s.addr) }

// Accepted is how many connections came so far.
func (s *Stalled) Accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// AwaitAccepted waits until n connections have come.
func (s *Stalled) AwaitAccepted(t testing.TB, n int) {
	t.Helper()
	until(t, "connection to the stalled peer", func() bool { return s.Accepted() >= n })
}

// Deaf takes a port of 127.0.0.1 on which nobody answers: not even the
// connection comes about, as with a host that is switched off.
func Deaf(t testing.TB) (port uint16) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, fd)
	port = freePort(t, "127.0.0.1")
	addr := &unix.SockaddrInet4{Port: int(port), Addr: [4]byte{127, 0, 0, 1}}
	if err := unix.Bind(fd, addr); err != nil {
		t.Fatal(err)
	}
	// A full queue of connections that nobody accepts: the kernel answers no
	// more of them.
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		closeAtEnd(t, c)
		if err := unix.Connect(c, addr); err != nil && err != unix.EINPROGRESS {
			t.Fatal(err)
		}
	}
	return port
}

func closeAtEnd(t testing.TB, fd int) {
	t.Cleanup(func() {
		if err := unix.Close(fd); err != nil {
			t.Error(err)
		}
	})
}

// ClosedPort is a port of 127.0.0.1 that refuses connections.
func ClosedPort(t testing.TB) uint16 {
	t.Helper()
	return freePort(t, "127.0.0.1")
}

func portOf(addr string) uint16 {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return 0
	}
	return uint16(n)
}

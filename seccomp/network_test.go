package seccomp

import (
	"fmt"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
)

// TestRemoteSockets: a remote target's runner makes TCP sockets, and no other but
// pairs of streams; a local one's makes those pairs alone. What a C library tries
// besides is refused and not deadly. The unconfined twin gets what the kernel has.
func TestRemoteSockets(t *testing.T) {
	testenv.NeedRoot(t)
	v := buildVictims(t)
	for _, role := range []Role{Runner, Remote} {
		t.Run(string(role), func(t *testing.T) { sockets(t, Table(role, runtime.GOARCH), v) })
	}
}

func sockets(t *testing.T, f Filter, v victims) {
	const mptcp, fastOpen = 262, 0x20000000
	noSys := fmt.Sprintf("ATTEMPT\nRETURNED %d %d\n", ^uintptr(0), int(unix.ENOSYS))
	for _, c := range []struct {
		name    string
		attempt attack
		allowed bool
		twin    string // what an unconfined process gets; "": whatever
	}{
		{"TCP", attack{"socket", []uint64{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_TCP}}, true, ""},
		{"TCP with flags", attack{"socket", []uint64{unix.AF_INET, unix.SOCK_STREAM | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK, unix.IPPROTO_TCP}}, true, ""},
		{"TCP by IPv6", attack{"socket", []uint64{unix.AF_INET6, unix.SOCK_STREAM, unix.IPPROTO_TCP}}, true, ""},
		{"UDP", attack{"socket", []uint64{unix.AF_INET, unix.SOCK_DGRAM, 0}}, false, "ok"},
		{"UDP by IPv6", attack{"socket", []uint64{unix.AF_INET6, unix.SOCK_DGRAM, 0}}, false, "ok"},
		{"raw", attack{"socket", []uint64{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP}}, false, "ok"},
		{"MPTCP", attack{"socket", []uint64{unix.AF_INET, unix.SOCK_STREAM, mptcp}}, false, ""},
		{"SCTP", attack{"socket", []uint64{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP}}, false, ""},
		{"netlink", attack{"socket", []uint64{unix.AF_NETLINK, unix.SOCK_RAW, 0}}, false, "ok"},
		{"unix", attack{"socket", []uint64{unix.AF_UNIX, unix.SOCK_STREAM, 0}}, false, "ok"},
		{"stream pair", attack{"socketpair", []uint64{unix.AF_UNIX, unix.SOCK_STREAM, 0}}, true, "ok"},
		{"stream pair with flags", attack{"socketpair", []uint64{unix.AF_UNIX, unix.SOCK_STREAM | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK, 0}}, true, "ok"},
		{"datagram pair", attack{"socketpair", []uint64{unix.AF_UNIX, unix.SOCK_DGRAM, 0}}, false, "ok"},
		{"datagram pair with flags", attack{"socketpair", []uint64{unix.AF_UNIX, unix.SOCK_DGRAM | unix.SOCK_CLOEXEC, 0}}, false, "ok"},
		{"datagram pair by another name", attack{"socketpair", []uint64{unix.AF_UNIX, unix.SOCK_RAW, 0}}, false, "ok"},
		{"packet pair", attack{"socketpair", []uint64{unix.AF_UNIX, unix.SOCK_SEQPACKET, 0}}, false, "ok"},
		{"connect by sending", attack{"sendto", []uint64{1, 0, 0, fastOpen}}, false, ""},
		{"connect by sending a message", attack{"sendmsg", []uint64{1, 0, fastOpen}}, false, ""},
		{"connect by sending messages", attack{"sendmmsg", []uint64{1, 0, 0, fastOpen}}, false, ""},
		{"other options", attack{"setsockopt", []uint64{1, unix.IPPROTO_TCP, unix.TCP_ULP, 0, 0}}, false, ""},
	} {
		if f.Role == Runner && c.attempt.name != "socketpair" {
			continue // it kills
		}
		words, least := c.attempt.words(t), 3
		if c.attempt.name == "socketpair" {
			words, least = append(words, "buffer"), 0
		}
		o := run(t, f, nil, v.confined, words...)
		if c.allowed == (o.out == noSys) || c.allowed && least == 0 && o.out != "ATTEMPT\nRETURNED 0 0\n" || o.status.ExitStatus() != 0 {
			t.Errorf("%s: %v, want it allowed: %v", c.name, o, c.allowed)
		}
		if c.twin == "" {
			continue
		}
		var fd, errno int
		o = run(t, f, nil, v.twin, words...)
		if n, err := fmt.Sscanf(o.out, "ATTEMPT\nRETURNED %d %d\n", &fd, &errno); n != 2 || err != nil || errno != 0 || fd < least {
			t.Errorf("%s: the twin: %v", c.name, o)
		}
	}
}

// TestHandlerSockets: a handler with a network is a client of TCP and UDP, and asks for
// this host's addresses; there is no socket of another protocol, and none that waits.
func TestHandlerSockets(t *testing.T) {
	testenv.NeedRoot(t)
	v := buildVictims(t)
	const mptcp = 262
	noSys := fmt.Sprintf("ATTEMPT\nRETURNED %d %d\n", ^uintptr(0), int(unix.ENOSYS))
	for _, c := range []struct {
		name    string
		attempt attack
		network bool // allowed with one
		twin    bool // an unconfined process can
	}{
		{"TCP", attack{"socket", []uint64{unix.AF_INET, unix.SOCK_STREAM | unix.SOCK_CLOEXEC, 0}}, true, true},
		{"TCP by name", attack{"socket", []uint64{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_TCP}}, true, true},
		{"UDP", attack{"socket", []uint64{unix.AF_INET, unix.SOCK_DGRAM | unix.SOCK_NONBLOCK, 0}}, true, true},
		{"addresses", attack{"socket", []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}}, true, true},
		{"other netlink", attack{"socket", []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_KOBJECT_UEVENT}}, false, true},
		{"raw", attack{"socket", []uint64{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP}}, false, true},
		{"MPTCP", attack{"socket", []uint64{unix.AF_INET, unix.SOCK_STREAM, mptcp}}, false, false},
		{"UDP-Lite", attack{"socket", []uint64{unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_UDPLITE}}, false, false},
		{"unix", attack{"socket", []uint64{unix.AF_UNIX, unix.SOCK_STREAM, 0}}, false, true},
		{"unix datagrams", attack{"socket", []uint64{unix.AF_UNIX, unix.SOCK_DGRAM, 0}}, false, true},
		{"listen", attack{"listen", []uint64{1, 1}}, false, false},
		{"accept", attack{"accept4", []uint64{1, 0, 0, 0}}, false, false},
		{"other options", attack{"setsockopt", []uint64{1, unix.IPPROTO_TCP, unix.TCP_ULP, 0, 0}}, false, false},
		{"an interface's number", attack{"ioctl", []uint64{1, unix.SIOCGIFINDEX, 0}}, true, false},
		{"all interfaces", attack{"ioctl", []uint64{1, unix.SIOCGIFCONF, 0}}, false, false},
		{"an interface's address", attack{"ioctl", []uint64{1, unix.SIOCSIFADDR, 0}}, false, false},
		{"an interface up or down", attack{"ioctl", []uint64{1, unix.SIOCSIFFLAGS, 0}}, false, false},
		{"filters", attack{"setsockopt", []uint64{1, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, 0, 0}}, false, false},
	} {
		o := run(t, Table(HandlerNetwork, runtime.GOARCH), nil, v.confined, c.attempt.words(t)...)
		if c.network == (o.out == noSys) || o.status.ExitStatus() != 0 {
			t.Errorf("%s: %v, want it allowed: %v", c.name, o, c.network)
		}
		// Without a network a socket of the network ends it, and all else is not there.
		if o = run(t, Table(Handler, runtime.GOARCH), nil, v.confined, c.attempt.words(t)...); !o.sigsys() && o.out != noSys {
			t.Errorf("without a network: %s: %v", c.name, o)
		}
		if !c.twin {
			continue
		}
		var fd, errno int
		o = run(t, Table(HandlerNetwork, runtime.GOARCH), nil, v.twin, c.attempt.words(t)...)
		if n, err := fmt.Sscanf(o.out, "ATTEMPT\nRETURNED %d %d\n", &fd, &errno); n != 2 || err != nil || errno != 0 || fd < 3 {
			t.Errorf("%s: the twin: %v", c.name, o)
		}
	}
}

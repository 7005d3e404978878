package runner

import (
	"errors"
	"io"
	"os"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/ipc"
	"lockstep/ipc/polled"
	"lockstep/ipc/wire"
)

func connect(t *testing.T) (*Socket, *os.File) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "runner"), os.NewFile(uintptr(pair[1]), "helper")
	t.Cleanup(func() { _ = ours.Close(); _ = theirs.Close() })
	s, err := NewSocket(ours)
	if err != nil {
		t.Fatal(err)
	}
	return s, theirs
}

func send(t *testing.T, to *os.File, packet []byte, passed int) {
	t.Helper()
	raw, err := to.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := polled.Send(raw, packet, passed); err != nil {
		t.Fatal(err)
	}
}

func encode(t *testing.T, m ipc.Message) []byte {
	t.Helper()
	packet, err := ipc.Append(nil, 0, m)
	if err != nil {
		t.Fatal(err)
	}
	return packet
}

func TestSocket(t *testing.T) {
	s, helper := connect(t)
	list := sealed(t, "x", allSeals)
	defer list.Close()
	send(t, helper, encode(t, &ipc.RunStart{Job: 3, Kind: ipc.JobAttr}), int(list.Fd()))
	send(t, helper, encode(t, &ipc.RunStop{Job: 3}), -1)
	msg, got, err := s.Receive()
	if err != nil || got == nil || !reflect.DeepEqual(msg, &ipc.RunStart{Job: 3, Kind: ipc.JobAttr}) {
		t.Errorf("%+v %v %v", msg, got, err)
	}
	if err := got.Close(); err != nil {
		t.Error(err)
	}
	msg, got, err = s.Receive()
	if err != nil || got != nil || !reflect.DeepEqual(msg, &ipc.RunStop{Job: 3}) {
		t.Errorf("%+v %v %v", msg, got, err)
	}
	want := ipc.RunExited{Job: 3, End: ipc.EndExited, Code: 23, Tail: []byte("tail")}
	if err := s.Send(want); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, ipc.MaxPacket)
	n, err := helper.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	header, payload, err := ipc.ParseHeader(buf[:n])
	if err != nil || header.Type != ipc.TypeRunExited {
		t.Fatalf("%+v %v", header, err)
	}
	if exited, err := wire.Decode[ipc.RunExited](payload); err != nil || !reflect.DeepEqual(exited, want) {
		t.Errorf("%+v %v", exited, err)
	}
	if err := helper.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
	if err := s.Send(want); !errors.Is(err, unix.EPIPE) {
		t.Errorf("to nobody: %v", err)
	}
}

func TestSocketViolations(t *testing.T) {
	start := encode(t, &ipc.RunStart{Job: 1, Kind: ipc.JobList})
	for name, c := range map[string]struct {
		packet []byte
		passed bool
	}{
		"start without a list": {start, false},
		"stop with one":        {encode(t, &ipc.RunStop{Job: 1}), true},
		"another message":      {encode(t, &ipc.CtlShutdown{}), false},
		"another with a list":  {encode(t, &ipc.CtlShutdown{}), true},
		"cut short":            {start[:len(start)-1], true},
		"too long":             {append(append([]byte{}, start...), 0), true},
		"no header":            {start[:3], false},
	} {
		t.Run(name, func(t *testing.T) {
			s, helper := connect(t)
			passed := -1
			list := sealed(t, "", allSeals)
			defer list.Close()
			if c.passed {
				passed = int(list.Fd())
			}
			send(t, helper, c.packet, passed)
			msg, got, err := s.Receive()
			if err == nil || errors.Is(err, io.EOF) || got != nil {
				t.Errorf("%+v %v %v", msg, got, err)
			}
			if n := descriptors(t, list); n != 1 {
				t.Errorf("%d descriptors of the list, want our own alone: a stray one was left open", n)
			}
		})
	}
}

// descriptors says how many descriptors of one file this process has. To count
// all that are open would be wrong: finalizers of files that earlier tests have
// dropped close theirs at any moment.
func descriptors(t *testing.T, of *os.File) int {
	t.Helper()
	want, err := of.Stat()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		// An error: it was closed since.
		if got, err := os.Stat("/proc/self/fd/" + e.Name()); err == nil && os.SameFile(got, want) {
			n++
		}
	}
	return n
}

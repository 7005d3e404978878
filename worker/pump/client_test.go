package pump

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/ipc"
)

// peer is the helper's end of a client's socket.
func peer(t *testing.T) (*Client, *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	conn, far := os.NewFile(uintptr(fds[0]), "conn"), os.NewFile(uintptr(fds[1]), "far")
	t.Cleanup(func() { _ = far.Close(); _ = conn.Close() })
	return NewClient(conn), far
}

func deliver(t *testing.T, far *os.File, seq uint32, m ipc.Message) {
	t.Helper()
	pkt, err := ipc.Append(nil, seq, m)
	if err == nil {
		_, err = far.Write(pkt)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Every message that the helper sends is taken, in order, and is the engine's own
// although the buffer serves again.
func TestAnswersAreDecoded(t *testing.T) {
	c, far := peer(t)
	sent := []ipc.Message{
		&ipc.HelloAnswer{Config: []byte("c")},
		&ipc.WatchAnswer{Dirs: []ipc.Dir{{WD: 7, Entries: []ipc.Entry{{Kind: ipc.KindFile, Name: "name"}}}}},
		&ipc.StatAnswer{Stats: []ipc.PathStat{{Ino: 3}}},
		&ipc.StartAnswer{Job: 9}, &ipc.StopAnswer{Status: ipc.StatusGone}, &ipc.DrainAnswer{},
		&ipc.Exited{Job: 9, End: ipc.EndExited, Tail: []byte("tail")}, &ipc.Shutdown{},
	}
	for i, m := range sent {
		deliver(t, far, uint32(i), m)
	}
	for i, want := range sent {
		select {
		case a := <-c.Answers():
			if a.Seq != uint32(i) || !a.Final || !reflect.DeepEqual(a.Message, want) {
				t.Errorf("%+v, want number %d: %+v", a, i, want)
			}
		case err := <-c.Errs():
			t.Fatal(err)
		case <-time.After(10 * time.Second):
			t.Fatal("nothing came")
		}
	}
}

// What no helper sends ends the conversation.
func TestStrangePacketsEndIt(t *testing.T) {
	request, err := ipc.Append(nil, 1, &ipc.Drain{})
	if err != nil {
		t.Fatal(err)
	}
	for what, pkt := range map[string][]byte{
		"unknown type 14": request, "packet of 3 bytes": request[:3], "too large": make([]byte, ipc.MaxPacket+1),
	} {
		c, far := peer(t)
		if _, err := far.Write(pkt); err != nil {
			t.Fatal(err)
		}
		select {
		case a := <-c.Answers():
			t.Errorf("%s: taken as %+v", what, a)
		case err := <-c.Errs():
			if !strings.Contains(err.Error(), what) {
				t.Errorf("%v, want %s", err, what)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("nothing came")
		}
	}
}

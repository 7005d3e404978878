package generation

import (
	"errors"
	"io"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/sys"
	"lockstep/ipc"
	"lockstep/ipc/wire"
	"lockstep/supervise/proc"
)

// The helper's end of a runner's socket is handed over once; what is sent to it
// before there is a runner waits, and the end of the place is the runner's.
func TestPlace(t *testing.T) {
	control, helper, err := proc.Pair("control")
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	defer helper.Close()
	g := &Generation{control: control}
	const id = ipc.TargetID(7)
	for range 2 { // the second time it is there already
		if err := g.Place(id); err != nil {
			t.Fatal(err)
		}
	}
	buf, oob := make([]byte, ipc.MaxPacket), make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := unix.Recvmsg(int(helper.Fd()), buf, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	header, payload, err := ipc.ParseHeader(buf[:n])
	if err != nil || header.Type != ipc.TypeCtlRunner {
		t.Fatalf("message of type %d: %v", header.Type, err)
	}
	if m, err := wire.Decode[ipc.CtlRunner](payload); err != nil || m.Target != id {
		t.Fatalf("%+v %v", m, err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%v %v", messages, err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		t.Fatalf("%v %v", fds, err)
	}
	defer unix.Close(fds[0])
	if n, _, err := unix.Recvfrom(int(helper.Fd()), buf, unix.MSG_DONTWAIT); err != unix.EAGAIN {
		t.Errorf("the place was handed over twice: %d bytes, %v", n, err)
	}

	if err := sys.SendPacket(fds[0], []byte("a job"), -1, unix.MSG_DONTWAIT); err != nil {
		t.Fatal(err)
	}
	if n, err := g.places[id].Read(buf); err != nil || string(buf[:n]) != "a job" {
		t.Errorf("the place has %q %v", buf[:n], err)
	}
	if err := errors.Join(g.Leave(id), g.Leave(id)); err != nil {
		t.Error(err)
	}
	if n, err := unix.Read(fds[0], buf); n != 0 || err != nil {
		t.Errorf("after the end of the place: %d bytes, %v; want %v", n, err, io.EOF)
	}
}

// A place is its generation's, and ends with it.
func TestPlaceEnds(t *testing.T) {
	control, helper, err := proc.Pair("control")
	if err != nil {
		t.Fatal(err)
	}
	defer helper.Close()
	g := &Generation{control: control}
	if err := g.Place(1); err != nil {
		t.Fatal(err)
	}
	place := g.places[1]
	if err := g.end(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := place.Stat(); err == nil || len(g.places) != 0 {
		t.Errorf("the place outlives its generation: %v", err)
	}
}

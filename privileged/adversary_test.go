package privileged

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/sys"
	"lockstep/internal/testenv"
	"lockstep/ipc"
)

// packet is a valid packet to spoil.
func packet(t *testing.T, seq uint32, m ipc.Message) []byte {
	t.Helper()
	pkt, err := ipc.Append(nil, seq, m)
	must(t, err)
	return pkt
}

// rawRel is a Stat with a path that the encoder would refuse.
func rawRel(seq uint32, rel string) []byte {
	b := binary.LittleEndian.AppendUint16(nil, uint16(ipc.TypeStat))
	b = binary.LittleEndian.AppendUint16(b, 1)
	b = binary.LittleEndian.AppendUint32(b, seq)
	b = binary.LittleEndian.AppendUint16(b, uint16(theRoot))
	b = binary.LittleEndian.AppendUint32(b, 1)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(rel)))
	return append(b, rel...)
}

// TestViolations sends what no honest worker can send. Each is the end of the
// helper, and the log names it.
func TestViolations(t *testing.T) {
	good := func(t *testing.T) []byte { return packet(t, 2, &ipc.Stat{Root: theRoot, Rels: []string{"a"}}) }
	spoil := func(at int, v byte) func(*testing.T) []byte {
		return func(t *testing.T) []byte { p := good(t); p[at] = v; return p }
	}
	rel := func(s string) func(*testing.T) []byte {
		return func(*testing.T) []byte { return rawRel(2, s) }
	}
	msg := func(m ipc.Message) func(*testing.T) []byte {
		return func(t *testing.T) []byte { return packet(t, 2, m) }
	}
	cases := []struct {
		name string
		pkt  func(*testing.T) []byte
		why  string
	}{
		{"no header", func(*testing.T) []byte { return []byte{1} }, "packet of 1 bytes"},
		{"truncated", func(t *testing.T) []byte { return good(t)[:12] }, "request Stat: ipc.Stat: cut short"},
		{"trailing byte", func(t *testing.T) []byte { return append(good(t), 0) }, "request Stat: ipc.Stat: trailing bytes"},
		{"oversized", func(t *testing.T) []byte { return make([]byte, ipc.MaxPacket+1) }, "packet was cut"},
		{"unknown flag", spoil(2, 3), "unknown flags"},
		{"not final", spoil(2, 0), "without its flag"},
		{"replay", spoil(4, 1), "number 1 instead of 2"},
		{"gap", spoil(4, 3), "number 3 instead of 2"},
		{"unknown type", spoil(0, 16), "unknown type 16"},
		{"answer as request", msg(&ipc.StatAnswer{}), "unknown type 7"},
		{"supervisor's message", msg(&ipc.CtlShutdown{}), "unknown type 304"},
		{"second Hello", msg(&ipc.Hello{Version: ipc.Version, Build: theBuild}), "request Hello is not permitted now"},
		{"Data without Start", msg(&ipc.Data{Bytes: []byte("x")}), "request Data is not permitted now"},
		{"unknown root", msg(&ipc.Stat{Root: 1}), "unknown root 1"},
		{"unknown target", msg(&ipc.Start{Target: 1, Kind: ipc.JobList}), "unknown target 1"},
		{"job never minted", msg(&ipc.Stop{Job: 1}), "job 1 was never started"},
		{"absolute", rel("/etc"), "not a path below a root"},
		{"parent", rel("a/../../b"), "not a path below a root"},
		{"parent alone", rel(".."), "not a path below a root"},
		{"dot", rel("a/./b"), "not a path below a root"},
		{"dot alone", rel("."), "not a path below a root"},
		{"empty component", rel("a//b"), "not a path below a root"},
		{"slash at the end", rel("a/"), "not a path below a root"},
		{"NUL", rel("a\x00b"), "not a path below a root"},
		{"too long", rel(strings.Repeat("a", ipc.MaxRel+1)), "too long"},
		{"too many", func(t *testing.T) []byte { p := good(t); p[10], p[11] = 1, 1; return p }, "too long"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.connect()
			r.hello()
			r.raw(c.pkt(t), -1)
			r.violated(c.why)
		})
	}
}

func TestViolationsOfHello(t *testing.T) {
	for name, m := range map[string]*ipc.Hello{
		"version": {Version: ipc.Version + 1, Build: theBuild},
		"build":   {Version: ipc.Version, Build: "another"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.connect()
			r.ask(m)
			r.violated("request Hello: version")
		})
	}
}

// TestViolationsOfLists sends lists that a runner must never see.
func TestViolationsOfLists(t *testing.T) {
	for _, c := range []struct {
		kind ipc.JobKind
		list string
	}{
		{ipc.JobList, "a\x00"}, {ipc.JobList, "./a"}, {ipc.JobList, "./../a\x00"}, {ipc.JobList, "./a/./b\x00"},
		{ipc.JobList, "./\x00"}, {ipc.JobList, "/etc/shadow\x00"}, {ipc.JobList, "\x00"}, {ipc.JobAttr, "#a\x00"},
		{ipc.JobAttr, "- /a\x00"}, {ipc.JobInitial, "./a\x00"}, {ipc.JobInitial, ". /etc/shadow\x00"},
		{ipc.JobInitial, "merge /etc/shadow\x00"}, {ipc.JobPrune, "+ ../a\x00"}, {ipc.JobPrune, "!\x00"},
		{ipc.JobPrune, "- /a/../b\x00"}, {ipc.JobPrune, "-! /a\x00"},
	} {
		t.Run(c.list, func(t *testing.T) {
			r := newRig(t)
			runner := r.runner()
			r.connect()
			r.hello()
			r.start(c.kind, c.list)
			r.violated("not an entry of a list")
			if _, _, err := unix.Recvfrom(runner, make([]byte, 1), unix.MSG_DONTWAIT); err != unix.EAGAIN {
				t.Errorf("the runner got something: %v", err)
			}
			closeFD(t, runner)
		})
	}
}

func TestViolationsDuringAList(t *testing.T) {
	for name, c := range map[string]struct {
		m   ipc.Message
		why string
	}{
		"other request": {&ipc.Stat{Root: theRoot}, "request Stat is not permitted now"},
		"too much":      {&ipc.Data{Bytes: make([]byte, 11)}, "more than was announced"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.connect()
			r.hello()
			r.ask(&ipc.Start{Target: theTarget, Kind: ipc.JobList, Size: 10})
			r.ask(c.m)
			r.violated(c.why)
		})
	}
}

func TestStrayDescriptors(t *testing.T) {
	stray := func(t *testing.T) (*os.File, *os.File) {
		rd, wr, err := os.Pipe()
		must(t, err)
		return rd, wr
	}
	t.Run("worker", func(t *testing.T) {
		r := newRig(t)
		r.connect()
		rd, wr := stray(t)
		r.raw(packet(t, 1, &ipc.Hello{Version: ipc.Version, Build: theBuild}), int(wr.Fd()))
		r.violated("a descriptor where none belongs")
		must(t, wr.Close())
		// End of file: nobody else holds the writing end.
		if n, err := rd.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("read %d, %v", n, err)
		}
		must(t, rd.Close())
	})
	t.Run("two", func(t *testing.T) {
		r := newRig(t)
		r.connect()
		rd, wr := stray(t)
		pkt := packet(t, 1, &ipc.Hello{Version: ipc.Version, Build: theBuild})
		must(t, unix.Sendmsg(r.worker, pkt, unix.UnixRights(int(wr.Fd()), int(wr.Fd())), nil, 0))
		r.violated("2 descriptors in one packet")
		must(t, wr.Close())
		if n, err := rd.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("read %d, %v", n, err)
		}
		must(t, rd.Close())
	})
	t.Run("runner", func(t *testing.T) {
		r := newRig(t)
		runner := r.runner()
		r.connect()
		r.hello()
		a := r.started(r.start(ipc.JobList, ".\x00"))
		rd, wr := stray(t)
		must(t, sys.SendPacket(runner, packet(t, 0, &ipc.RunEnd{Exited: ipc.Exited{Job: a.Job, End: ipc.EndExited}}), int(wr.Fd()), 0))
		if x := r.exited(); x.End != ipc.EndLost {
			t.Errorf("%+v", x)
		}
		must(t, wr.Close())
		if n, err := rd.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("read %d, %v", n, err)
		}
		must(t, rd.Close())
		closeFD(t, runner)
	})
}

// TestCredentials has another process, which has inherited the socket, send a
// valid packet.
func TestCredentials(t *testing.T) {
	python := testenv.NeedTool(t, "python3")
	r := newRig(t)
	r.connect()
	f := os.NewFile(uintptr(mustDup(t, r.worker)), "worker")
	cmd := exec.Command(python, "-c", "import os,sys; os.write(3, sys.stdin.buffer.read())")
	cmd.ExtraFiles = []*os.File{f}
	cmd.Stdin = bytes.NewReader(packet(t, 1, &ipc.Hello{Version: ipc.Version, Build: theBuild}))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	must(t, f.Close())
	r.violated("packet from another process")
}

func mustDup(t *testing.T, fd int) int {
	t.Helper()
	n, err := unix.Dup(fd)
	must(t, err)
	return n
}

// TestWithoutCredentials: a socket without SO_PASSCRED shows no sender.
func TestWithoutCredentials(t *testing.T) {
	r := newRig(t)
	ours, theirs := pair(t)
	r.worker = ours
	r.order(&ipc.CtlWorker{PID: uint32(os.Getpid()), UID: uint32(os.Getuid())}, theirs)
	closeFD(t, theirs)
	r.ask(&ipc.Hello{Version: ipc.Version, Build: theBuild})
	r.violated("packet from another process")
}

func TestWrongUser(t *testing.T) {
	r := newRig(t)
	ours, theirs := pair(t)
	must(t, unix.SetsockoptInt(theirs, unix.SOL_SOCKET, unix.SO_PASSCRED, 1))
	r.worker = ours
	r.order(&ipc.CtlWorker{PID: uint32(os.Getpid()), UID: uint32(os.Getuid()) + 1}, theirs)
	closeFD(t, theirs)
	r.ask(&ipc.Hello{Version: ipc.Version, Build: theBuild})
	r.violated("packet from another process")
}

// TestSupervisorsMistakes: a supervisor is trusted, and may still be wrong.
func TestSupervisorsMistakes(t *testing.T) {
	for name, f := range map[string]func(*rig){
		"second worker":     func(r *rig) { r.connect(); first := r.worker; r.connect(); r.t.Cleanup(func() { closeFD(r.t, first) }) },
		"no descriptor":     func(r *rig) { r.order(&ipc.CtlWorker{PID: 1}, -1) },
		"stray descriptor":  func(r *rig) { r.order(&ipc.CtlShutdown{}, r.inotify) },
		"unknown target":    func(r *rig) { r.order(&ipc.CtlRunner{Target: 1}, r.inotify) },
		"a worker's packet": func(r *rig) { r.order(&ipc.Drain{}, r.inotify) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			f(r)
			if code := r.exit(); code != ExitInternal || !strings.HasPrefix(r.log.String(), "<3>the supervisor's packet: ") {
				t.Errorf("exit code %d:\n%s", code, r.log.String())
			}
			closeFD(t, r.control)
		})
	}
}

package privileged

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/ipc"
)

// mute is a helper whose roots have no thread, so that a conversation of any form
// costs little: what is asked of the root waits in its queue.
func mute(t testing.TB) (h *Helper, told int) {
	t.Helper()
	ours, theirs := pair(t)
	if err := unix.SetNonblock(ours, true); err != nil {
		t.Fatal(err)
	}
	h = &Helper{
		cfg: ipc.HelperConfig{Build: theBuild, Deadline: time.Hour}, log: io.Discard, table: requests(), state: greeting, workerFD: -1,
		roots: map[ipc.RootID]*root{}, jobs: map[ipc.JobID]*job{}, end: make(chan error, 1), done: make(chan struct{}),
		targets: map[ipc.TargetID]*target{theTarget: {name: "copy", runner: &runner{fd: theirs}}},
		worker:  ipc.CtlWorker{PID: 5, UID: 6},
	}
	h.roots[theRoot] = &root{h: h, queue: make(chan *task, maxQueue)}
	h.timer = time.AfterFunc(time.Hour, h.expire)
	t.Cleanup(func() {
		h.timer.Stop()
		closeFD(t, ours)
		closeFD(t, theirs)
	})
	return h, ours
}

// conversation is what the fuzzer's bytes mean: for each packet a byte for its type,
// one for what is false of its header, the length of its payload, and that.
func conversation(b []byte, each func(typ ipc.Type, spoilt byte, payload []byte) bool) {
	for len(b) >= 4 {
		n := min(int(binary.LittleEndian.Uint16(b[2:])), len(b)-4)
		if !each(ipc.Type(b[0]), b[1], b[4:4+n]) {
			return
		}
		b = b[4+n:]
	}
}

// FuzzConversation has the helper hear any conversation, as far as it goes: nothing
// panics, a violation is never a fault of the helper's own and is the end, numbers
// follow each other, and what is kept is bounded after each packet.
func FuzzConversation(f *testing.F) {
	f.Add(seedOf(&ipc.Hello{Version: ipc.Version, Build: theBuild}, &ipc.Stat{Root: theRoot, Rels: []string{"a", "b/c"}},
		&ipc.Watch{Root: theRoot, Watch: true, Rels: []string{"", "d"}}, &ipc.Start{Target: theTarget, Kind: ipc.JobList, Size: 8},
		&ipc.Data{Bytes: []byte("./a\x00")}, &ipc.Data{Bytes: []byte("./b\x00")}, &ipc.Stop{Job: 1}, &ipc.Drain{}))
	f.Add(seedOf(&ipc.Hello{Version: ipc.Version, Build: theBuild}, &ipc.Start{Target: theTarget, Kind: ipc.JobInitial}, &ipc.Start{Target: theTarget, Kind: ipc.JobPrune, Size: 5},
		&ipc.Data{Bytes: []byte("- /a\x00")}, &ipc.Start{Target: theTarget, Kind: ipc.JobAttr, Size: 2}, &ipc.Data{Bytes: []byte(".\x00")}, &ipc.Stop{Job: 2}))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, told := mute(t)
		conversation(b, func(typ ipc.Type, spoilt byte, payload []byte) bool {
			p := ipc.Packet{Header: ipc.Header{Type: typ, Seq: h.seq + 1, Final: true}, Payload: payload, FD: -1, Cred: &syscall.Ucred{Pid: 5, Uid: 6}}
			switch spoilt {
			case 1:
				p.Header.Seq++
			case 2:
				p.Header.Final = false
			case 3:
				p.Cred.Pid++
			case 4:
				p.Cred = nil
			case 5:
				p.Header.Type += 256
			}
			before := h.seq
			_, err := h.request(p, nil)
			check(t, h, told, spoilt, err, before)
			return err == nil
		})
	})
}

// check is what holds after each packet.
func check(t *testing.T, h *Helper, told int, spoilt byte, err error, before uint32) {
	t.Helper()
	var own fault
	switch {
	case errors.As(err, &own):
		t.Fatalf("a fault of the helper's own: %v", err)
	case err == nil && (h.seq != before+1 || spoilt >= 1 && spoilt <= 5):
		t.Fatalf("a packet that is spoilt in way %d is taken; number %d follows %d", spoilt, h.seq, before)
	case h.start != nil && (len(h.start.list) >= int(h.start.Size) && err == nil || h.start.Size > ipc.MaxList):
		t.Fatalf("%d bytes of a list of %d are kept", len(h.start.list), h.start.Size)
	case h.targets[theTarget].jobs > ipc.MaxJobs || len(h.jobs) != h.targets[theTarget].jobs:
		t.Fatalf("%d jobs, of which a target has %d", len(h.jobs), h.targets[theTarget].jobs)
	case h.roots[theRoot].load.Load() > maxQueue:
		t.Fatalf("%d tasks wait", h.roots[theRoot].load.Load())
	}
	for { // what the runner is told, it reads
		p, err := ipc.Receive(told, make([]byte, 4096))
		if errors.Is(err, unix.EAGAIN) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.FD >= 0 {
			f := os.NewFile(uintptr(p.FD), "list")
			data, err := io.ReadAll(io.NewSectionReader(f, 0, ipc.MaxList))
			if f.Close() != nil || err != nil || ipc.CheckList(data) != nil && ipc.CheckRules(data) != nil {
				t.Fatalf("a runner was sent %q, %v", data, err)
			}
		}
	}
}

// seedOf is a conversation of such messages.
func seedOf(all ...ipc.Message) []byte {
	var b []byte
	for _, m := range all {
		pkt, err := ipc.Append(nil, 0, m)
		if err != nil {
			panic(err)
		}
		_, payload, err := ipc.ParseHeader(pkt)
		if err != nil {
			panic(err)
		}
		b = append(b, byte(m.Type()), 0)
		b = binary.LittleEndian.AppendUint16(b, uint16(len(payload)))
		b = append(b, payload...)
	}
	return b
}

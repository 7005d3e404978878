package privileged

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"lockstep/ipc"
)

// every is one valid message of each type that there is.
func every() []ipc.Message {
	return []ipc.Message{
		&ipc.Hello{Version: ipc.Version, Build: theBuild}, &ipc.HelloAnswer{},
		&ipc.Watch{Root: theRoot}, &ipc.WatchAnswer{},
		&ipc.Stat{Root: theRoot}, &ipc.StatAnswer{},
		&ipc.Start{Target: theTarget, Kind: ipc.JobList, Size: 2}, &ipc.StartAnswer{Status: ipc.StatusBusy},
		&ipc.Data{Bytes: []byte(".\x00")},
		&ipc.Stop{Job: 1}, &ipc.StopAnswer{},
		&ipc.Drain{}, &ipc.DrainAnswer{},
		&ipc.Exited{Job: 1, End: ipc.EndExited}, &ipc.Shutdown{},
		&ipc.RunStart{Job: 1, Kind: ipc.JobList}, &ipc.RunStop{Job: 1},
		&ipc.RunEnd{Exited: ipc.Exited{Job: 1, End: ipc.EndExited}},
		&ipc.CtlWorker{PID: 1, UID: 1}, &ipc.CtlRunner{Target: theTarget}, &ipc.CtlShutdown{},
	}
}

// silent is a helper whose Serve does not run, so that a test can put it into
// any state and hand it packets.
func silent(t *testing.T) *Helper {
	t.Helper()
	fd := open(t, t.TempDir())
	h, err := New(ipc.HelperConfig{
		Build:    theBuild,
		Roots:    []ipc.HelperRoot{{Root: ipc.Root{ID: theRoot, Name: "tree"}, FD: fd}},
		Targets:  []ipc.Target{{ID: theTarget, Root: theRoot, Name: "copy"}},
		Deadline: 1 << 40,
	}, -1, os.Stderr) // no watch is placed
	must(t, err)
	h.worker = ipc.CtlWorker{PID: 5, UID: 6}
	h.lastJob = 1 // so that a Stop can name one
	t.Cleanup(func() {
		close(h.done)
		closeFD(t, fd)
	})
	return h
}

// present hands the packet of m to the helper as the worker's next.
func present(t *testing.T, h *Helper, m ipc.Message) error {
	t.Helper()
	pkt, err := ipc.Append(nil, h.seq+1, m)
	must(t, err)
	header, payload, err := ipc.ParseHeader(pkt)
	must(t, err)
	_, err = h.request(ipc.Packet{Header: header, Payload: payload, FD: -1, Cred: &syscall.Ucred{Pid: 5, Uid: 6}}, nil)
	return err
}

// TestPermits asks for every type in every state. The table's change is the
// surface's change, and has to show in the golden file.
func TestPermits(t *testing.T) {
	states := []struct {
		name  string
		state state
		list  bool // a list is being received
	}{{"greeting", greeting, false}, {"running", running, false}, {"running, list", running, true},
		{"draining", draining, false}, {"draining, list", draining, true}}
	var b strings.Builder
	for _, m := range every() {
		for _, s := range states {
			h := silent(t)
			h.state = s.state
			if s.list {
				h.start = &start{Start: ipc.Start{Target: theTarget, Kind: ipc.JobList, Size: 2}, seq: 1}
			}
			verdict := "permitted"
			if err := present(t, h, m); err != nil {
				verdict = err.Error()
			}
			fmt.Fprintf(&b, "%-12s %-14s %s\n", strings.TrimPrefix(fmt.Sprintf("%T", m), "*ipc."), s.name, verdict)
		}
	}
	const golden = "testdata/permits.golden"
	if os.Getenv("LOCKSTEP_UPDATE") == "1" {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(golden, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	must(t, err)
	if string(want) != b.String() {
		t.Errorf("the permits are not those of %s (LOCKSTEP_UPDATE=1 writes it):\n%s", golden, b.String())
	}
}

// TestEveryTypeIsTried keeps every complete: a type that has a number below 400
// and is not in it must be unknown to the table.
func TestEveryTypeIsTried(t *testing.T) {
	var tried []ipc.Type
	for _, m := range every() {
		tried = append(tried, m.Type())
	}
	for typ := range requests() {
		if !slices.Contains(tried, typ) {
			t.Errorf("type %d is permitted and not tried", typ)
		}
	}
	h := silent(t)
	h.state = running
	for typ := ipc.Type(0); typ < 400; typ++ {
		if slices.Contains(tried, typ) {
			continue
		}
		_, err := h.request(ipc.Packet{Header: ipc.Header{Type: typ, Seq: h.seq + 1, Final: true}, FD: -1, Cred: &syscall.Ucred{Pid: 5, Uid: 6}}, nil)
		if err == nil || !strings.Contains(err.Error(), "unknown type") {
			t.Errorf("type %d: %v", typ, err)
		}
	}
}

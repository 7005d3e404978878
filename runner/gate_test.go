package runner

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/ipc"
	"lockstep/ipc/settings"
)

// gated is a runner that must ask, and the other end of its gate.
func gated(t *testing.T) (*Runner, *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs, ours := os.NewFile(uintptr(fds[0]), "gate"), os.NewFile(uintptr(fds[1]), "gate")
	r := &Runner{cfg: settings.Runner{}}
	r.Gate(theirs)
	t.Cleanup(func() {
		if err := ours.Close(); err != nil {
			t.Error(err)
		}
		_ = theirs.Close()
	})
	return r, ours
}

func hear(t *testing.T, gate *os.File, want byte) {
	t.Helper()
	if err := gate.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	word := make([]byte, 2)
	if n, err := gate.Read(word); err != nil || n != 1 || word[0] != want {
		t.Fatalf("heard %q %v, want %q", word[:n], err, want)
	}
}

func grant(t *testing.T, gate *os.File, word byte) {
	t.Helper()
	if _, err := gate.Write([]byte{word}); err != nil {
		t.Fatal(err)
	}
}

// Nothing is started before there is leave for it, and the leave goes back.
func TestGate(t *testing.T) {
	r, gate := gated(t)
	for kind, words := range map[ipc.JobKind][2]byte{ipc.JobInitial: {wantPass, leavePass}, ipc.JobList: {wantCommand, leaveCommand}} {
		began, end := make(chan struct{}), make(chan ipc.RunExited, 1)
		j := newJob(r, &ipc.RunStart{Job: 7, Kind: kind}, nil)
		go func() {
			end <- j.throughGate(func() ipc.RunExited {
				close(began)
				return ipc.RunExited{End: ipc.EndExited, Code: 3}
			})
		}()
		hear(t, gate, words[0])
		select {
		case <-began:
			t.Fatal("it did not wait")
		default:
		}
		grant(t, gate, words[1])
		if out := <-end; out.End != ipc.EndExited || out.Code != 3 {
			t.Errorf("%+v", out)
		}
		hear(t, gate, gateDone)
	}
}

// A job that is stopped while it waits ends at once and is never begun. Its
// leave is the next job's, or goes back when it comes: however many are stopped,
// one is asked for.
func TestGateOfAStoppedJob(t *testing.T) {
	r, gate := gated(t)
	for i, stop := range []func(*job){(*job).stop, (*job).abort, (*job).stop} {
		j := newJob(r, &ipc.RunStart{Job: 7, Kind: ipc.JobList}, nil)
		end := make(chan ipc.RunExited, 1)
		go func() {
			end <- j.throughGate(func() ipc.RunExited {
				t.Error("it was begun")
				return ipc.RunExited{}
			})
		}()
		if i == 0 {
			hear(t, gate, wantCommand)
		}
		stop(j)
		if out := <-end; out.End != ipc.EndStopped {
			t.Errorf("%+v", out)
		}
	}
	grant(t, gate, leaveCommand)
	hear(t, gate, gateDone)
}

// When the session ends, what waits ends too, and nothing more begins.
func TestGateShut(t *testing.T) {
	r, gate := gated(t)
	try := func(end chan<- ipc.RunExited) {
		j := newJob(r, &ipc.RunStart{Job: 7, Kind: ipc.JobInitial}, nil)
		end <- j.throughGate(func() ipc.RunExited {
			t.Error("it was begun")
			return ipc.RunExited{}
		})
	}
	end := make(chan ipc.RunExited, 2)
	go try(end)
	hear(t, gate, wantPass)
	grant(t, gate, leaveNone)
	if out := <-end; out.End != ipc.EndStopped {
		t.Errorf("%+v", out)
	}
	try(end)
	if out := <-end; out.End != ipc.EndStopped {
		t.Errorf("%+v", out)
	}
}

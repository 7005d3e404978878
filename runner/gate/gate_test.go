package gate

import (
	"crypto/sha256"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/memfd"
	"lockstep/ipc"
	"lockstep/ipc/wire"
	"lockstep/ipc/witness"
)

// job is one that can be stopped.
type job struct {
	Job
	stopped, aborted chan struct{}
}

func newJob(kind ipc.JobKind) *job {
	j := &job{Job: Job{ID: 7, Kind: kind}, stopped: make(chan struct{}), aborted: make(chan struct{})}
	j.Stopped, j.Aborted = j.stopped, j.aborted
	return j
}

func (j *job) stop()  { close(j.stopped) }
func (j *job) abort() { close(j.aborted) }

// through is Through, of which no error is expected.
func through(t *testing.T, g *Gate, j *job, work func() ipc.RunExited) ipc.RunExited {
	out, err := g.Through(j.Job, work)
	if err != nil {
		t.Error(err)
	}
	return out
}

// gated is a gate that must ask, and the other end of it.
func gated(t *testing.T) (*Gate, *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs, ours := os.NewFile(uintptr(fds[0]), "gate"), os.NewFile(uintptr(fds[1]), "gate")
	g := &Gate{}
	g.Open(theirs)
	t.Cleanup(func() {
		if err := ours.Close(); err != nil {
			t.Error(err)
		}
		_ = theirs.Close()
	})
	return g, ours
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
	g, gate := gated(t)
	for kind, words := range map[ipc.JobKind][2]byte{ipc.JobInitial: {wantPass, leavePass}, ipc.JobList: {wantCommand, leaveCommand}} {
		began, end := make(chan struct{}), make(chan ipc.RunExited, 1)
		j := newJob(kind)
		go func() {
			end <- through(t, g, j, func() ipc.RunExited {
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
	g, gate := gated(t)
	for i, stop := range []func(*job){(*job).stop, (*job).abort, (*job).stop} {
		j := newJob(ipc.JobList)
		end := make(chan ipc.RunExited, 1)
		go func() {
			end <- through(t, g, j, func() ipc.RunExited {
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
	g, gate := gated(t)
	try := func(end chan<- ipc.RunExited) {
		j := newJob(ipc.JobInitial)
		end <- through(t, g, j, func() ipc.RunExited {
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

// list is the list of a job, with three entries.
func list(t *testing.T) *os.File {
	t.Helper()
	f, err := memfd.Sealed("list", []byte("./a\x00./b\x00./c/d\x00"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func told(t *testing.T, gate *os.File) witness.Packet {
	t.Helper()
	if err := gate.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, witness.MaxPacket)
	n, err := gate.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	p, err := wire.Decode[witness.Packet](data[:n])
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Where there is a trail, nothing begins before its record is written, and its end is told.
func TestWitness(t *testing.T) {
	g, gate := gated(t)
	g.Witness = true
	for _, how := range []string{"go", "stopped", "shut"} {
		j := newJob(ipc.JobList)
		j.List = list(t)
		began, end := make(chan struct{}, 1), make(chan ipc.RunExited, 1)
		go func() {
			end <- through(t, g, j, func() ipc.RunExited {
				began <- struct{}{}
				return ipc.RunExited{End: ipc.EndExited, Code: 23}
			})
		}()
		hear(t, gate, wantCommand)
		grant(t, gate, leaveCommand)
		p := told(t, gate)
		if want := sha256.Sum256([]byte("./a\x00./b\x00./c/d\x00")); p.Begin == nil || p.Begin.Sum != want || p.Begin.Entries != 3 || p.Begin.Bytes != 14 || p.Begin.Job != 7 || p.Begin.Kind != ipc.JobList {
			t.Fatalf("%s: %+v", how, p.Begin)
		}
		want := witness.End{Job: 7, How: ipc.EndStopped}
		switch how {
		case "go":
			select {
			case <-began:
				t.Fatal("it began before its record was written")
			default:
			}
			grant(t, gate, witness.Go)
			want = witness.End{Job: 7, How: ipc.EndExited, Code: 23}
		case "stopped":
			j.stop()
		case "shut":
			grant(t, gate, leaveNone)
		}
		p = told(t, gate)
		if p.End != nil {
			p.End.Micros = 0
		}
		if p.End == nil || *p.End != want {
			t.Errorf("%s: %+v, want %+v", how, p.End, want)
		}
		if out := <-end; out.End != want.How || how != "go" && len(began) > 0 {
			t.Errorf("%s: %+v", how, out)
		}
		hear(t, gate, gateDone)
		if how == "stopped" { // the answer comes when nobody waits for it
			grant(t, gate, witness.Go)
		}
	}
}

package control

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/ipc/control"
	"lockstep/ipc/wire"
	"lockstep/supervise/proc"
)

func at(dir string) Place {
	return Place{Path: filepath.Join(dir, "socket"), Mode: 0o660, UID: os.Getuid(), GID: os.Getgid()}
}

// The socket has its mode before anybody can connect, and is gone at the end; one
// that a killed process left is replaced, and nothing else.
func TestSocket(t *testing.T) {
	c := at(t.TempDir())
	s, err := listen(c)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(c.Path)
	if err != nil || info.Mode() != os.ModeSocket|0o660 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := listen(c); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second one: %v", err)
	}
	conn, err := net.Dial("unix", c.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := s.wait(); err != nil {
		t.Error(err)
	}
	if err := s.file.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := s.wait(); err == nil {
		t.Error("nothing ends the wait")
	}
	// Killed: the name stays.
	if err := s.file.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = listen(c); err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(c.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the end: %v", err)
	}
}

func TestNotOurs(t *testing.T) {
	for _, kind := range []string{"file", "directory", "link", "dead link", "fifo"} {
		c := at(t.TempDir())
		var err error
		switch kind {
		case "file":
			err = os.WriteFile(c.Path, []byte("x"), 0o600)
		case "directory":
			err = os.Mkdir(c.Path, 0o700)
		case "link":
			err = os.Symlink("/etc/passwd", c.Path)
		case "dead link":
			err = os.Symlink(filepath.Dir(c.Path)+"/elsewhere", c.Path)
		case "fifo":
			err = unix.Mkfifo(c.Path, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		before, err := os.Lstat(c.Path)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := listen(c); err == nil {
			t.Errorf("%s was replaced", kind)
			_ = s.close()
		}
		if after, err := os.Lstat(c.Path); err != nil || !os.SameFile(before, after) {
			t.Errorf("%s is another: %v", kind, err)
		}
	}
	// One that has taken our place since is not removed.
	c := at(t.TempDir())
	s, err := listen(c)
	if err == nil {
		err = errors.Join(os.Remove(c.Path), os.WriteFile(c.Path, nil, 0o600))
	}
	if err = errors.Join(err, s.close()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(c.Path); err != nil {
		t.Error(err)
	}
}

// talk has hear listen to a gate of the test's.
func talk(t *testing.T, answer func(Request)) (gate *os.File, broken chan error) {
	t.Helper()
	ours, theirs, err := proc.Pair("gate")
	if err != nil {
		t.Fatal(err)
	}
	gate = os.NewFile(uintptr(dup(t, theirs)), "gate")
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}
	c := &Control{Options: Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Syncs: []string{"a", "b"}}, Requests: make(chan Request)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	broken = make(chan error, 1)
	go func() {
		for {
			select {
			case q := <-c.Requests:
				answer(q)
			case <-c.ctx.Done():
				return
			}
		}
	}()
	go func() {
		_, err := c.hear(ours, c.Syncs)
		_ = ours.Close()
		broken <- err
	}()
	t.Cleanup(func() {
		c.cancel()
		_ = gate.Close()
	})
	return gate, broken
}

func dup(t *testing.T, f *os.File) int {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func packet(t *testing.T, r control.Request) []byte {
	t.Helper()
	data, err := wire.Append(nil, &r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// An answer comes whole, in packets, with the number of its request.
func TestAnswers(t *testing.T) {
	long := strings.Repeat("x", 3*control.MaxText+1)
	gate, broken := talk(t, func(q Request) {
		switch q.Command {
		case control.Status:
			q.Reply([]byte(long), nil)
		case control.Info:
			q.Reply(make([]byte, control.MaxAnswer+1), nil)
		default:
			q.Reply(nil, errors.New("no"))
		}
	})
	want := func(number uint32, c control.Command, end uint8, text string) {
		t.Helper()
		if _, err := gate.Write(packet(t, control.Request{Number: number, Command: c})); err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		buf := make([]byte, control.AnswerSize)
		for {
			n, err := gate.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			a, err := wire.Decode[control.Answer](buf[:n])
			if err != nil || a.Number != number {
				t.Fatalf("%+v, %v", a, err)
			}
			got.Write(a.Text)
			if a.End != control.More {
				if a.End != end || got.String() != text {
					t.Errorf("%d, %d bytes", a.End, got.Len())
				}
				return
			}
		}
	}
	want(1, control.Status, control.Done, long)
	want(2, control.Info, control.Refused, "the answer would be too long; ask for one sync")
	want(3, control.Resync, control.Refused, "no")
	if err := gate.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-broken; err != nil {
		t.Errorf("a gate that ended: %v", err)
	}
}

// Whatever is not the next request is a violation, and nothing of it is done.
func TestViolations(t *testing.T) {
	good := packet(t, control.Request{Number: 1, Command: control.Status})
	change := func(at int, v byte) []byte {
		out := append([]byte(nil), good...)
		out[at] = v
		return out
	}
	for name, data := range map[string][]byte{
		"short": good[:15], "long": append(append([]byte(nil), good...), 0), "text": []byte(`{"v":1,"comma`), "number": change(0, 2), "number zero": change(0, 0),
		"command zero": change(8, 0), "command unknown": change(8, 200), "sync unknown": change(10, 3), "rest": change(12, 1),
		"sync of quit": binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(
			binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, 1), 0), uint16(control.Quit)), 1), 0),
	} {
		gate, broken := talk(t, func(Request) { t.Errorf("%s: was asked", name) })
		if _, err := gate.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := <-broken; err == nil {
			t.Errorf("%s is no violation", name)
		}
	}
}

// A gate that is told that there is nothing more, and keeps its end open, is not
// waited for: neither when lockstep ends nor when another one is to know other syncs.
func TestDeafGateIsNotWaitedFor(t *testing.T) {
	ours, theirs, err := proc.Pair("gate")
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close() // which nobody closes before
	c := &Control{Options: Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))}, conn: ours}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	defer c.cancel()
	broken := make(chan error, 1)
	go func() {
		_, err := c.hear(ours, nil)
		broken <- err
	}()
	c.Rename([]string{"a"})
	select {
	case err := <-broken:
		if err == nil || !strings.Contains(err.Error(), "did not end") {
			t.Errorf("%v", err)
		}
	case <-time.After(10 * endTime):
		t.Fatal("it is waited for")
	}
	if err := ours.Close(); err != nil {
		t.Error(err)
	}
}

// A gate is heard a limited number of times a second.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Control{ctx: context.Background()}
		begun := time.Now()
		for range 1000 {
			c.pace(control.Status, time.Now())
		}
		if took := time.Since(begun); took < (1000-2*burst)*every || took > 1000*every {
			t.Errorf("1000 requests in %v", took)
		}
		begun = time.Now()
		for range 100 {
			c.pace(control.Resync, time.Now())
		}
		if took := time.Since(begun); took < 99*change*every {
			t.Errorf("100 that change something in %v", took)
		}
		time.Sleep(time.Minute)
		begun = time.Now()
		for range burst {
			c.pace(control.Status, time.Now())
		}
		if took := time.Since(begun); took > every {
			t.Errorf("%d after a rest: %v", burst, took)
		}
	})
}

// The socket belongs to whom the configuration names.
func TestSocketOwner(t *testing.T) {
	testenv.NeedRoot(t)
	c := at(t.TempDir())
	c.UID, c.GID, c.Mode = 61190, 61191, 0o600
	s, err := listen(c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if s.ours.Uid != 61190 || s.ours.Gid != 61191 || s.ours.Mode != unix.S_IFSOCK|0o600 {
		t.Errorf("%+v", s.ours)
	}
}

package gate

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/ipc/control"
	"lockstep/ipc/line"
	"lockstep/ipc/wire"
)

// stage is a gate between a real listening socket and a supervisor of the test's.
type stage struct {
	t     *testing.T
	path  string
	ours  *os.File // the supervisor's end
	ended chan error
	log   *testenv.Buffer
}

// patient are limits that no test meets by chance.
func patient() Limits { return Limits{Line: time.Minute, Idle: time.Minute, Linger: time.Minute} }

func begin(t *testing.T, cfg control.Config, l Limits) *stage {
	t.Helper()
	s := &stage{t: t, path: filepath.Join(t.TempDir(), "socket"), ended: make(chan error, 1), log: &testenv.Buffer{}}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: s.path})
	}
	if err == nil {
		err = unix.Listen(fd, 16)
	}
	if err != nil {
		t.Fatal(err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.ours = os.NewFile(uintptr(pair[0]), "supervisor")
	e := Ends{Clients: os.NewFile(uintptr(fd), "clients"), Supervisor: os.NewFile(uintptr(pair[1]), "gate"), Log: s.log, Config: cfg}
	go func() { s.ended <- Run(e, l) }()
	t.Cleanup(func() {
		_ = s.ours.Close()
		if err := s.end(); err != nil {
			t.Errorf("the gate ended by %v", err)
		}
		_, _ = e.Clients.Close(), e.Supervisor.Close()
	})
	return s
}

// end waits for the gate's end.
func (s *stage) end() error {
	s.t.Helper()
	select {
	case err := <-s.ended:
		s.ended <- err
		return err
	case <-time.After(30 * time.Second):
		s.t.Fatal("the gate does not end")
		return nil
	}
}

// supervise answers requests as f says until the gate has gone.
func (s *stage) supervise(f func(r control.Request) []control.Answer) {
	go func() {
		buf := make([]byte, control.RequestSize+1)
		for number := uint32(1); ; number++ {
			n, err := s.ours.Read(buf)
			if err != nil || n == 0 {
				return
			}
			r, err := wire.Decode[control.Request](buf[:n])
			if err != nil || r.Number != number {
				s.t.Errorf("request %+v, %v, after %d", r, err, number-1)
				return
			}
			for _, a := range f(r) {
				a.Number = r.Number
				data, err := wire.Append(nil, &a)
				if err == nil {
					_, err = s.ours.Write(data)
				}
				if err != nil && !errors.Is(err, os.ErrClosed) {
					s.t.Error(err)
					return
				}
			}
		}
	}()
}

// echo answers with the request.
func echo(r control.Request) []control.Answer {
	text, _ := json.Marshal(r)
	return []control.Answer{{End: control.More, Text: text[:5]}, {End: control.Done, Text: text[5:]}}
}

// person is a client of the test's.
type person struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func (s *stage) connect() *person {
	s.t.Helper()
	conn, err := net.Dial("unix", s.path)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	return &person{s.t, conn, bufio.NewReader(conn)}
}

func (p *person) say(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p, text); err != nil {
		p.t.Fatal(err)
	}
}

// hear reads an answer: its code, or "" and its result.
func (p *person) hear() (code, result string) {
	p.t.Helper()
	text, err := p.in.ReadString('\n')
	if err != nil {
		p.t.Fatalf("no answer: %q, %v", text, err)
	}
	var a line.Answer
	if err := json.Unmarshal([]byte(text), &a); err != nil || a.V != line.Version || a.OK == (a.Error != nil) {
		p.t.Fatalf("answer %q, %v", text, err)
	}
	if a.Error != nil {
		return a.Error.Code, a.Error.Message
	}
	return "", string(a.Result)
}

// gone wants the end of the connection.
func (p *person) gone() {
	p.t.Helper()
	if text, err := io.ReadAll(p.in); len(text) > 0 || err != nil && !errors.Is(err, unix.ECONNRESET) {
		p.t.Errorf("not the end: %q, %v", text, err)
	}
}

const asksStatus = `{"v":1,"command":"status"}` + "\n"

// Each line has its answer, in order, however the lines are cut, and the supervisor
// hears numbers.
func TestAsks(t *testing.T) {
	s := begin(t, control.Config{Syncs: []string{"www", "mail"}}, patient())
	s.supervise(echo)
	p := s.connect()
	p.say(asksStatus + `{"v":1,"command":"resync","sync":"mail"}` + "\n" + `{"v":1,"comm`)
	want := func(c control.Command, sync uint16) {
		t.Helper()
		code, result := p.hear()
		var r control.Request
		if err := json.Unmarshal([]byte(result), &r); code != "" || err != nil || r.Command != c || r.Sync != sync || r.UID != uint32(os.Getuid()) {
			t.Errorf("%s %s, %v", code, result, err)
		}
	}
	want(control.Status, 0)
	want(control.Resync, 2)
	p.say(`and":"quit"}` + "\n")
	want(control.Quit, 0)
	if err := p.Conn.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	p.gone()
}

// What is no request has an answer that says so, and nothing of it reaches the
// supervisor.
func TestIsNoRequest(t *testing.T) {
	s := begin(t, control.Config{Syncs: []string{"www"}}, patient())
	s.supervise(func(r control.Request) []control.Answer {
		t.Errorf("the supervisor was asked %+v", r)
		return nil
	})
	p := s.connect()
	for _, c := range []struct{ text, code string }{
		{"", line.CodeBad}, {"\x00\xff", line.CodeBad}, {"null", line.CodeBad}, {`"status"`, line.CodeBad}, {"[]", line.CodeBad},
		{"0 200 :version", line.CodeBad}, {"GET / HTTP/1.1\r", line.CodeBad},
		{`{"v":1,"command":"status"} {}`, line.CodeBad}, {`{"v":1,"command":"status","dir":"/etc"}`, line.CodeBad},
		{`{"v":1,"command":["status"]}`, line.CodeBad}, {strings.Repeat("[", 4000), line.CodeBad},
		{`{"v":2,"command":"status"}`, line.CodeVersion}, {`{"command":"status"}`, line.CodeVersion},
		{`{"v":1,"command":"exec"}`, line.CodeUnknown}, {`{"v":1}`, line.CodeUnknown}, {`{"v":1,"command":"status","sync":"none"}`, line.CodeUnknown},
		{`{"v":1,"command":"quit","sync":"www"}`, line.CodeBad}, {`{"v":1,"command":"set"}`, line.CodeRefused},
	} {
		p.say(c.text + "\n")
		if code, why := p.hear(); code != c.code || why == "" {
			t.Errorf("%.40q: %s: %s, want %s", c.text, code, why, c.code)
		}
	}
}

// A line that is too long, has no end, or does not come in time ends its client.
func TestBadLines(t *testing.T) {
	s := begin(t, control.Config{}, patient())
	s.supervise(echo)
	p := s.connect()
	p.say(strings.Repeat("x", line.MaxRequest))
	if code, _ := p.hear(); code != line.CodeBad {
		t.Errorf("too long: %s", code)
	}
	p.gone()
	p = s.connect()
	p.say(`{"v":1`)
	if err := p.Conn.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if code, _ := p.hear(); code != line.CodeBad {
		t.Errorf("half a line: %s", code)
	}
	p.gone()
}

func TestSlowAndIdle(t *testing.T) {
	l := patient()
	l.Line = 20 * time.Millisecond
	s := begin(t, control.Config{}, l)
	s.supervise(echo)
	slow := s.connect()
	slow.say("{")
	if code, _ := slow.hear(); code != line.CodeBad {
		t.Errorf("slow: %s", code)
	}
	slow.gone()

	l = patient()
	l.Idle = 20 * time.Millisecond
	s = begin(t, control.Config{}, l)
	idle := s.connect()
	idle.gone()
}

// A client that does not read its answers is let go, and keeps nobody waiting.
func TestDoesNotRead(t *testing.T) {
	l := patient()
	l.Line = 2 * time.Second // the others must read theirs
	s := begin(t, control.Config{}, l)
	long := bytes.Repeat([]byte("1"), control.MaxText)
	s.supervise(func(control.Request) []control.Answer {
		var all []control.Answer
		for range 31 {
			all = append(all, control.Answer{End: control.More, Text: long})
		}
		return append(all, control.Answer{End: control.Done, Text: long})
	})
	deaf := s.connect()
	deaf.say(asksStatus)
	for range 3 {
		p := s.connect()
		p.say(asksStatus)
		if code, result := p.hear(); code != "" || len(result) != 32*len(long) {
			t.Errorf("%s, %d bytes", code, len(result))
		}
	}
	// It is let go: then what there is to read is not the whole answer.
	raw, err := deaf.Conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	if e := raw.Control(func(fd uintptr) {
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}, 30_000)
	}); e != nil || err != nil || n == 0 {
		t.Errorf("it is not let go: %v, %v", e, err)
	}
	text, err := io.ReadAll(deaf.in)
	if bytes.HasSuffix(text, []byte("\n")) || len(text) >= 32*len(long) {
		t.Errorf("it was waited for: %d bytes, %v", len(text), err)
	}
}

// The ninth client is told so, and comes in when one has gone.
func TestNinthClient(t *testing.T) {
	s := begin(t, control.Config{}, patient())
	s.supervise(echo)
	var all []*person
	for range MaxClients {
		p := s.connect()
		p.say(asksStatus)
		p.hear()
		all = append(all, p)
	}
	ninth := s.connect()
	if code, _ := ninth.hear(); code != line.CodeBusy {
		t.Errorf("the ninth: %q", code)
	}
	ninth.gone()
	_ = all[0].Close()
	for end := time.Now().Add(30 * time.Second); ; {
		p := s.connect()
		_, _ = io.WriteString(p, asksStatus) // it may be refused before
		code, _ := p.hear()
		if code == "" {
			break
		}
		if code != line.CodeBusy || time.Now().After(end) {
			t.Fatalf("after one has gone: %q", code)
		}
	}
	all[1].say(asksStatus)
	if code, _ := all[1].hear(); code != "" {
		t.Errorf("another: %q", code)
	}
}

// Who is not permitted is not read from. (What is permitted is another's ids: the
// test may be root.)
func TestPermitted(t *testing.T) {
	me, mine := uint32(os.Getuid()), uint32(os.Getgid())
	groups, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	g := &Gate{Ends: Ends{Log: io.Discard}}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	may := func(c control.Config) bool {
		g.Config = c
		_, err := g.who(pair[0])
		return err == nil
	}
	if got := may(control.Config{UIDs: []uint32{me + 1}, GIDs: []uint32{1 << 30}}); got != (me == 0) {
		t.Errorf("nobody's: %v", got)
	}
	if !may(control.Config{UIDs: []uint32{me}}) || !may(control.Config{GIDs: []uint32{mine}}) {
		t.Error("my own ids")
	}
	for _, gid := range groups {
		if !may(control.Config{GIDs: []uint32{uint32(gid)}}) {
			t.Errorf("my group %d", gid)
		}
	}
}

// The supervisor's refusal is told, and an answer that is none as well.
func TestSupervisorRefuses(t *testing.T) {
	s := begin(t, control.Config{}, patient())
	s.supervise(func(r control.Request) []control.Answer {
		return []control.Answer{{End: control.Refused, Text: []byte("not \x1b now")}}
	})
	p := s.connect()
	p.say(asksStatus)
	if code, why := p.hear(); code != line.CodeRefused || why != "not \x1b now" {
		t.Errorf("%s: %q", code, why)
	}
}

// When the supervisor ends the conversation, the answers that are there are written
// first, who asks later is told, and the gate ends.
func TestEnding(t *testing.T) {
	s := begin(t, control.Config{}, patient())
	p, other := s.connect(), s.connect()
	other.say("?\n{\"v\":1") // the answer to the first line shows that the beginning of the next is read
	if code, _ := other.hear(); code != line.CodeBad {
		t.Fatalf("no line: %s", code)
	}
	p.say(asksStatus)
	buf := make([]byte, control.RequestSize+1)
	n, err := s.ours.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	r, err := wire.Decode[control.Request](buf[:n])
	if err != nil {
		t.Fatal(err)
	}
	data, err := wire.Append(nil, &control.Answer{Number: r.Number, End: control.Done, Text: []byte("7")})
	if err == nil {
		_, err = s.ours.Write(data)
	}
	raw, e := s.ours.SyscallConn()
	if err = errors.Join(err, e); err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { err = unix.Shutdown(int(fd), unix.SHUT_WR) }); err != nil {
		t.Fatal(err)
	}
	if code, result := p.hear(); code != "" || result != "7" {
		t.Errorf("%s %s", code, result)
	}
	p.gone()
	if code, _ := other.hear(); code != line.CodeEnding {
		t.Errorf("one that was writing: %s", code)
	}
	if err := s.end(); err != nil {
		t.Error(err)
	}
}

// Without a client it ends after a while; with one it does not.
func TestLingers(t *testing.T) {
	l := patient()
	l.Linger = 20 * time.Millisecond
	s := begin(t, control.Config{}, l)
	s.supervise(echo)
	p := s.connect()
	p.say(asksStatus)
	p.hear()
	time.Sleep(5 * l.Linger) // nothing happens, which is no event
	p.say(asksStatus)
	if code, _ := p.hear(); code != "" {
		t.Errorf("while a client is there: %s", code)
	}
	_ = p.Close()
	if err := s.end(); err != nil {
		t.Error(err)
	}
}

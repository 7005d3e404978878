package logd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep/console"
)

// daemon is one that takes messages; all that it does not read waits in the kernel.
func daemon(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// next is the next message.
func next(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<20)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

// stderr is what is told there.
type stderr struct {
	mu   sync.Mutex
	text bytes.Buffer
	news chan struct{}
}

func newStderr() *stderr { return &stderr{news: make(chan struct{}, 1000)} }

func (s *stderr) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.news <- struct{}{}
	return s.text.Write(p)
}

func (s *stderr) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// sink is one to a daemon of the test's.
func sink(t *testing.T, path string, told *stderr, format func(console.Record, int) []byte) (*slog.Logger, *Sink) {
	t.Helper()
	s := &Sink{path: path, format: format}
	if err := s.open(console.NewLogger(told, false, true)); err != nil {
		t.Fatal(err)
	}
	return console.NewRecords(s.Send, false), s
}

// One record is one message, in the form of syslog(3), and none has anything that a
// terminal would obey.
func TestSyslog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	conn, told := daemon(t, path), newStderr()
	log, s := sink(t, path, told, syslogPacket)
	log.Info("ready", "dirs", 3)
	log.With(console.RoleKey, "runner").Warn("a\nb\x1b[31m")
	log.Error("bad", "path", strings.Repeat("\xff", 4096))
	for _, want := range []string{`<30>T lockstep[P]: ready dirs=3`, `<28>T lockstep[P]: warning: runner: a\x0ab\x1b[31m`,
		`<27>T lockstep[P]: error: bad path=` + strings.Repeat(`\xff`, 4096)} {
		got := next(t, conn)
		plain := regexp.MustCompile(`^(<\d+>)[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d `).ReplaceAllString(got, "${1}T ")
		if plain = strings.Replace(plain, fmt.Sprintf("[%d]", os.Getpid()), "[P]", 1); plain != want {
			t.Errorf("%.200q, want %.200q", plain, want)
		}
	}
	if err := s.Close(); err != nil || told.String() != "" {
		t.Errorf("%v %q", err, told)
	}
}

func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	conn, told := daemon(t, path), newStderr()
	log, s := sink(t, path, told, journalPacket)
	log.With("sync", "www").Warn("hm", "max-jobs", 3, "name", "x\ny")
	want := fmt.Sprintf("MESSAGE=warning: hm sync=www max-jobs=3 name=x\\x0ay\nPRIORITY=4\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=lockstep\nSYSLOG_PID=%d\nLOCKSTEP_SYNC=www\nLOCKSTEP_MAX_JOBS=3\nLOCKSTEP_NAME=x\\x0ay\n", os.Getpid())
	if got := next(t, conn); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if err := s.Close(); err != nil || told.String() != "" {
		t.Errorf("%v %q", err, told)
	}
}

// fields reads the journal's protocol as its daemon does.
func fields(packet []byte) (map[string]string, error) {
	out := map[string]string{}
	for len(packet) > 0 {
		line, rest, ok := bytes.Cut(packet, []byte("\n"))
		if !ok {
			return nil, errors.New("a field without an end")
		}
		if name, value, is := strings.Cut(string(line), "="); is {
			out[name], packet = value, rest
			continue
		}
		if len(rest) < 8 {
			return nil, errors.New("a length without an end")
		}
		n := binary.LittleEndian.Uint64(rest)
		if rest = rest[8:]; n >= uint64(len(rest)) || rest[n] != '\n' {
			return nil, errors.New("a value without an end")
		}
		out[string(line)], packet = string(rest[:n]), rest[n+1:]
	}
	return out, nil
}

// No value can be taken for another field, or end a message early.
func FuzzJournalFields(f *testing.F) {
	for _, s := range []string{"", "a", "a\nPRIORITY=0", "\n", "=", "x\n\x03\x00\x00\x00\x00\x00\x00\x00abc\n"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		r := console.Record{Text: text, Level: slog.LevelWarn, Fields: []console.Field{{Key: "some key", Value: value}}}
		got, err := fields(journalPacket(r, 7))
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"MESSAGE": cut(text), "PRIORITY": "4", "SYSLOG_FACILITY": "3", "SYSLOG_IDENTIFIER": "lockstep", "SYSLOG_PID": "7", "LOCKSTEP_SOME_KEY": cut(value)}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}

func TestCut(t *testing.T) {
	if short := strings.Repeat("x", maxText); cut(short) != short {
		t.Error("cut without need")
	}
	if got := cut(strings.Repeat("ü", maxText)); got != strings.Repeat("ü", maxText/2)+" […cut]" {
		t.Errorf("%d bytes", len(got))
	}
	if got := cut("x" + strings.Repeat("ü", maxText)); got != "x"+strings.Repeat("ü", maxText/2-1)+" […cut]" {
		t.Errorf("%d bytes", len(got))
	}
}

// Nobody waits for a daemon that does not read: what it does not take is kept within
// a bound, counted beyond it, and told when it reads again, there and here.
func TestDaemonDoesNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	conn, told := daemon(t, path), newStderr()
	log, s := sink(t, path, told, syslogPacket)
	text := strings.Repeat("x", 10_000)
	const many = 1000 // ten times what is kept
	for i := range many {
		log.Info(text, "n", i)
	}
	s.mu.Lock()
	kept := s.bytes
	s.mu.Unlock()
	if kept > maxQueued {
		t.Errorf("%d bytes are kept", kept)
	}
	if n := strings.Count(told.String(), "does not take messages"); n != 1 {
		t.Errorf("told %d times: %s", n, told)
	}
	came, lost := 0, 0
	for came+lost < many { // each of them is here, or counted
		m := next(t, conn)
		if strings.Contains(m, "xxx") {
			came++
			continue
		}
		var n int
		_, said, _ := strings.Cut(m, "messages were lost before this one ")
		if _, err := fmt.Sscanf(said, "socket="+path+" lost=%d", &n); err != nil || !strings.Contains(told.String(), said) {
			t.Fatalf("%v: %q\n%s", err, m, told)
		}
		lost += n
	}
	if lost < many/2 || came+lost != many {
		t.Errorf("%d messages came, %d are lost", came, lost)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// A daemon that is started again gets what comes then; what came while there was none
// is counted.
func TestDaemonComesAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	conn, told := daemon(t, path), newStderr()
	log, s := sink(t, path, told, syslogPacket)
	log.Info("one")
	next(t, conn)
	if err := errors.Join(conn.Close(), os.Remove(path)); err != nil {
		t.Fatal(err)
	}
	log.Info("two")
	<-told.news // it is lost, and told
	again := daemon(t, path)
	log.Info("three")
	if got := next(t, again); !strings.HasSuffix(got, ": three") {
		t.Errorf("%q", got)
	}
	if got := next(t, again); !strings.Contains(got, "messages were lost before this one socket="+path+" lost=1 ") {
		t.Errorf("%q", got)
	}
	// One that was started in its place without a pause loses nothing.
	if err := errors.Join(again.Close(), os.Remove(path)); err != nil {
		t.Fatal(err)
	}
	last := daemon(t, path)
	log.Info("four")
	if got := next(t, last); !strings.HasSuffix(got, ": four") {
		t.Errorf("%q", got)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// The end waits for what is under way, for a short time only, and counts the rest.
func TestClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	conn, told := daemon(t, path), newStderr()
	log, s := sink(t, path, told, syslogPacket)
	log.Info("last words")
	if err := s.Close(); err != nil || told.String() != "" {
		t.Errorf("%v %s", err, told)
	}
	if got := next(t, conn); !strings.HasSuffix(got, "last words") {
		t.Errorf("%q", got)
	}
	log.Info("after that")
	if !strings.Contains(told.String(), "lost=1") {
		t.Errorf("%s", told)
	}
	log, s = sink(t, path, told, syslogPacket)
	for range 2000 { // more than the kernel keeps for a daemon
		log.Info("x")
	}
	start := time.Now()
	if err := s.Close(); err != nil || time.Since(start) > farewell+time.Minute {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	if !strings.Contains(told.String(), "messages were lost") {
		t.Errorf("%s", told)
	}
}

// Without a daemon there is no start, and a person is told what to do; of the
// standard error nothing is asked.
func TestOpen(t *testing.T) {
	told := newStderr()
	here := console.NewLogger(told, false, true)
	s := &Sink{path: filepath.Join(t.TempDir(), "none")}
	if err := s.open(here); !errors.Is(err, os.ErrNotExist) || strings.Contains(err.Error(), s.path) {
		t.Errorf("%v", err)
	}
	log, none, err := Open(Stderr, here, false)
	if log != here || none != nil || err != nil || none.Close() != nil {
		t.Errorf("%v %v", none, err)
	}
	for _, to := range []string{Syslog, Journal} {
		log, s, err := Open(to, here, false)
		if err == nil { // there is one here
			if log == here || s.Close() != nil {
				t.Error(to)
			}
			continue
		}
		if log != here || s != nil || !strings.Contains(err.Error(), `start one, or write log_to = "stderr"`) || strings.Count(err.Error(), "socket")+strings.Count(err.Error(), "/dev/log") == 0 {
			t.Errorf("%s: %v", to, err)
		}
	}
}

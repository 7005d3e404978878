package plugin

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/plugin/frame"
)

// programs is where the host and the modules are.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "lockstep-plugin-")
	if err != nil {
		return "", err
	}
	host := exec.Command("go", "build", "-trimpath", "-buildmode=pie", "-o", filepath.Join(dir, "host"), "lockstep/cmd/lockstep-plugin")
	host.Env = append(os.Environ(), "CGO_ENABLED=1", "GOFLAGS=")
	commands := []*exec.Cmd{host}
	for name, source := range map[string]string{
		"copy.so": "../examples/so/copy.c", "mirror.so": "../examples/rsyncso/mirror.c", "faults.so": "testdata/faults.c",
	} {
		commands = append(commands, exec.Command("gcc", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC",
			"-I", "../include", "-o", filepath.Join(dir, name), source))
	}
	for _, c := range commands {
		if text, err := c.CombinedOutput(); err != nil {
			return dir, fmt.Errorf("%v: %w\n%s", c, err, text)
		}
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	if os.Getenv(confinedHost) != "" {
		becomeHost()
	}
	code := m.Run()
	if dir, _ := programs(); dir != "" {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// program is the path of the host or of a module.
func program(t *testing.T, name string) string {
	t.Helper()
	testenv.NeedTool(t, "gcc")
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// patience is more than any call needs that is to succeed.
const patience = 5 * time.Minute

// tried is a plugin whose output is read, and which must leave no process
// behind.
type tried struct {
	*Plugin
	t      *testing.T
	cfg    Config
	lines  *bufio.Reader
	reader *os.File
	files  []*os.File
}

// prepare makes everything that a plugin needs.
func prepare(t *testing.T, so string, in frame.Init) *tried {
	t.Helper()
	host := program(t, "host")
	object, err := os.Open(so)
	must(t, err)
	null, err := os.Open(os.DevNull)
	must(t, err)
	reader, writer, err := os.Pipe()
	must(t, err)
	p := &tried{t: t, reader: reader, lines: bufio.NewReader(reader), files: []*os.File{object, null, writer}}
	p.cfg = Config{
		Program: host, Env: []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}, Stdio: [3]int{int(null.Fd()), int(writer.Fd()), int(writer.Fd())},
		Name: so, Object: int(object.Fd()), Owner: uint32(os.Getuid()), Sync: in,
		Limits: Limits{Forks: 8, Timeout: patience, Grace: patience},
	}
	must(t, reader.SetReadDeadline(time.Now().Add(2*patience)))
	t.Cleanup(func() { reader.Close() })
	return p
}

// faulty starts the module that behaves as the label says.
func faulty(t *testing.T, label string, change ...func(*Config)) *tried {
	t.Helper()
	p := prepare(t, program(t, "faults.so"), frame.Init{Label: label, WatchDir: "/from/", DestDir: filepath.Join(t.TempDir(), "to")})
	for _, c := range change {
		c(&p.cfg)
	}
	p.start()
	return p
}

func (p *tried) start() {
	p.t.Helper()
	var err error
	p.Plugin, err = Start(p.t.Context(), p.cfg)
	must(p.t, err)
}

// fails makes one call, which must fail in one way.
func (p *tried) fails(ctx context.Context, why Why) *Failure {
	p.t.Helper()
	code, err := p.Sync(ctx, frame.Round{}, []frame.Entry{{Path: "a"}})
	return wantFailure(p.t, code, err, why)
}

func wantFailure(t *testing.T, code int, err error, why Why) *Failure {
	t.Helper()
	var f *Failure
	if !errors.As(err, &f) || f.Why != why || code != 0 {
		t.Fatalf("%d, %v; want %v", code, err, why)
	}
	return f
}

// returns makes one call, which must succeed or return code.
func (p *tried) returns(code int) {
	p.t.Helper()
	if got, err := p.Sync(p.t.Context(), frame.Round{}, []frame.Entry{{Path: "a"}}); err != nil || got != code {
		p.t.Fatalf("%d, %v; want %d\n%s", got, err, code, p.rest())
	}
}

// line waits for what the module prints.
func (p *tried) line(want string) {
	p.t.Helper()
	if got, err := p.lines.ReadString('\n'); err != nil || got != want+"\n" {
		p.t.Fatalf("%q, %v; want %q", got, err, want)
	}
}

// rest ends the plugin's time and returns what else was printed. It ends when
// nobody has the pipe any more: when no process is left.
func (p *tried) rest() string {
	p.t.Helper()
	for _, f := range p.files {
		f.Close()
	}
	must(p.t, p.reader.SetReadDeadline(time.Now().Add(patience)))
	var b bytes.Buffer
	if _, err := io.Copy(&b, p.lines); err != nil {
		p.t.Errorf("somebody still has the module's output: %v", err)
	}
	return b.String()
}

// close ends it in order.
func (p *tried) close(want string) {
	p.t.Helper()
	if err := p.Close(p.t.Context()); err != nil {
		p.t.Error(err)
	}
	if got := p.rest(); got != want {
		p.t.Errorf("printed %q, want %q", got, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

package module

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/handler"
	"lockstep/internal/testenv"
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/plugin"
	"lockstep/runner/told"
)

// programs is where the host and the modules are.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "lockstep-module-")
	if err != nil {
		return "", err
	}
	host := exec.Command("go", "build", "-trimpath", "-buildmode=pie", "-o", filepath.Join(dir, "host"), "lockstep/cmd/lockstep-plugin")
	host.Env = append(os.Environ(), "CGO_ENABLED=1", "GOFLAGS=")
	commands := []*exec.Cmd{host}
	for name, source := range map[string]string{"faults.so": "../../plugin/testdata/faults.c", "lists.so": "testdata/lists.c"} {
		commands = append(commands, exec.Command("gcc", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC",
			"-I", "../../include", "-o", filepath.Join(dir, name), source))
	}
	for _, c := range commands {
		if text, err := c.CombinedOutput(); err != nil {
			return dir, fmt.Errorf("%v: %w\n%s", c, err, text)
		}
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := programs(); dir != "" {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// patience is more than any call needs that is to end by itself.
const patience = 5 * time.Minute

// bench is a module, and what the log has of it.
type bench struct {
	*Module
	t    *testing.T
	said chan string // lines
}

// try makes one that behaves as its label says.
func try(t *testing.T, so, label string, change ...func(*Config)) *bench {
	t.Helper()
	testenv.NeedTool(t, "gcc")
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	before := descriptors(t)
	c := Config{
		Program: filepath.Join(dir, "host"), Env: []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}, Object: object(t, filepath.Join(dir, so)), Lists: so == "lists.so",
		Label: label, Source: "/from", Target: filepath.Join(t.TempDir(), "to"), Timeout: patience, Grace: patience,
	}
	for _, f := range change {
		f(&c)
	}
	b := &bench{t: t, said: make(chan string, 1000)}
	b.Module = New(c, plugin.Children{}, func(format string, args ...any) { b.said <- fmt.Sprintf(format, args...) })
	t.Cleanup(func() {
		b.Close()
		if after := descriptors(t); after != before {
			t.Errorf("%d descriptors are open, %d were", after, before)
		}
	})
	return b
}

// descriptors is how many this process has. (A poller that is not there yet has some
// of its own: os.Pipe brings it into being.)
func descriptors(t *testing.T) int {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	w.Close()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

func object(t *testing.T, path string) settings.Module {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return settings.Module{Path: path, Dev: st.Dev, Ino: st.Ino}
}

func (b *bench) line(want string) {
	b.t.Helper()
	select {
	case got := <-b.said:
		if got != want {
			b.t.Fatalf("said %q, want %q", got, want)
		}
	case <-time.After(patience):
		b.t.Fatalf("never said %q", want)
	}
}

// rest ends it and is what else was said.
func (b *bench) rest() string {
	b.t.Helper()
	b.Close()
	close(b.said)
	var all []string
	for line := range b.said {
		all = append(all, line)
	}
	return strings.Join(all, "\n")
}

func entry() told.Function {
	return told.Function{Status: "running", Iteration: 4, Entries: []handler.Entry{{Path: "a", Mask: 8, New: handler.File}}, Names: []string{"a"}}
}

// ends makes a call, which must end in one way.
func (b *bench) ends(ctx context.Context, end ipc.End, code uint8, tail string) {
	b.t.Helper()
	got, err := b.Call(ctx, entry())
	if err != nil || got.End != end || got.Code != code || !strings.Contains(string(got.Tail), tail) || (tail == "") != (len(got.Tail) == 0) {
		b.t.Fatalf("%+v %q, %v; want end %d, code %d, %q", got, got.Tail, err, end, code, tail)
	}
}

// What a function returns is an exit code; what is none is the worst one.
func TestCodes(t *testing.T) {
	for returned, code := range map[int]uint8{0: 0, 1: 1, 24: 24, 254: 254, 255: 255, 256: 255, 512: 255, -1: 255, -256: 255} {
		b := try(t, "faults.so", fmt.Sprint("code ", returned))
		tail := ""
		if returned != 0 {
			tail = fmt.Sprintf("the module returned %d\n", returned)
		}
		b.ends(t.Context(), ipc.EndExited, code, tail)
		b.ends(t.Context(), ipc.EndExited, code, tail)
		if got := b.rest(); got != "<6>deinit after 2" { // of one host
			t.Errorf("said %q", got)
		}
	}
}

// What a function is told is what the handler of a batch is; what it prints is in the
// log, also where its line has no end.
func TestWhatIsTold(t *testing.T) {
	b := try(t, "faults.so", "print")
	f := told.Function{Status: "initsync", Iteration: 1 << 40, Names: []string{"a\tb", "/from/d", ""}, Entries: []handler.Entry{
		{Path: "a\tb", Mask: 8, Old: handler.File, New: handler.Absent},
		{Path: "d", Mask: handler.FoundDir, New: handler.Dir, Recursive: true},
		{Mask: 4, Old: handler.Unknown, New: handler.Dir, Content: true}}}
	if got, err := b.Call(t.Context(), f); err != nil || got.End != ipc.EndExited || got.Code != 0 {
		t.Errorf("%+v %v", got, err)
	}
	want := "<6>2|print|/from|/from/|" + b.c.Target + "|" + b.c.Target + "/|000\n<6>initsync 1099511627776\n<6>8 0 3 a\tb 2 1\n<6>1073742080 1 7 /from/d 0 3\n<6>4 2 0  0 3\n<6>deinit after 1"
	if got := b.rest(); got != want {
		t.Errorf("said %q\nwant %q", got, want)
	}
	b = try(t, "lists.so", "lists")
	for _, f := range []told.Function{{Status: "running", Iteration: 0, Include: "/in", Exclude: "/ex"}, {Status: "initsync", Iteration: 1, Include: "/in2"}} {
		if got, err := b.Call(t.Context(), f); err != nil || got.End != ipc.EndExited || got.Code != 0 {
			t.Errorf("%+v %v", got, err)
		}
	}
	if got := b.rest(); got != "<6>running 0 /in /ex\n<6>initsync 1 /in2 none" {
		t.Errorf("said %q", got)
	}
}

// A failure of one call is named as a program's would be, and the next call has a
// fresh process, with the same output.
func TestFailures(t *testing.T) {
	b := try(t, "faults.so", "once")
	b.ends(t.Context(), ipc.EndSignalled, uint8(unix.SIGABRT), "crashed")
	b.ends(t.Context(), ipc.EndExited, 0, "")
	if got := b.rest(); got != "<6>deinit after 1" {
		t.Errorf("said %q", got)
	}
	for label, c := range map[string]struct {
		end  ipc.End
		code uint8
		tail string
	}{
		"crash":         {ipc.EndSignalled, uint8(unix.SIGSEGV), "crashed"},
		"crash in init": {ipc.EndSignalled, uint8(unix.SIGABRT), "crashed"},
		"refuse":        {ipc.EndExited, 1, "init failed"},
		"exit":          {ipc.EndExited, 1, "exited: exit code 0"},
		"garbage":       {ipc.EndExited, 1, "garbage"},
	} {
		b := try(t, "faults.so", label)
		b.ends(t.Context(), c.end, c.code, c.tail)
		b.ends(t.Context(), c.end, c.code, c.tail)
		b.Close()
	}
}

// What takes too long, or is not wanted any more, is ended, and the next call is made.
func TestEnds(t *testing.T) {
	b := try(t, "faults.so", "hang", func(c *Config) { c.Timeout = time.Second })
	b.ends(t.Context(), ipc.EndTimeout, 1, "timeout")
	b.ends(t.Context(), ipc.EndTimeout, 1, "timeout")

	b = try(t, "faults.so", "tidy")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.line("<6>working")
		cancel()
	}()
	b.ends(ctx, ipc.EndStopped, 1, "stopped")
	<-done
	b.line("<6>tidied up") // its processes have the grace
	b.ends(ctx, ipc.EndStopped, 1, "stopped")
	if b.Close(); len(b.said) > 0 {
		t.Errorf("said %q", <-b.said)
	}
}

// Without a call there is no process, and nothing is to be ended; what cannot be
// called is an error, and can be called when it is mended.
func TestCannotBeCalled(t *testing.T) {
	b := try(t, "faults.so", "code 0")
	b.Close()
	if b.Close(); len(b.said) > 0 {
		t.Errorf("said %q", <-b.said)
	}
	copied := func(mode os.FileMode) func(*Config) {
		return func(c *Config) {
			data, err := os.ReadFile(c.Object.Path)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "m.so")
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			c.Object = object(t, path)
		}
	}
	for name, c := range map[string]struct {
		want   string
		change func(*Config)
	}{
		"missing":      {"no such file", func(c *Config) { c.Object.Path += "x" }},
		"another file": {"is not the file it was at start", func(c *Config) { c.Object.Ino++ }},
		"another disk": {"is not the file it was at start", func(c *Config) { c.Object.Dev++ }},
		"others write": {"others can write to it", copied(0o664)},
		"no program":   {"not started", func(c *Config) { c.Program = "/none" }},
		"label":        {"plugin", func(c *Config) { c.Label = strings.Repeat("x", 300) }},
		"other mode":   {"function missing", func(c *Config) { c.Lists = true }},
		"a link to one": {"too many levels", func(c *Config) {
			link := filepath.Join(t.TempDir(), "link")
			if err := os.Symlink(c.Object.Path, link); err != nil {
				t.Fatal(err)
			}
			c.Object.Path = link
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := try(t, "faults.so", "code 0", c.change)
			for range 2 {
				f := entry()
				f.Include = "/in"
				if got, err := b.Call(t.Context(), f); err == nil || !strings.Contains(err.Error(), c.want) || got.End != ipc.EndNone {
					t.Errorf("%+v %v; want %q", got, err, c.want)
				}
			}
		})
	}
	b = try(t, "faults.so", "code 0", copied(0o666))
	if got, err := b.Call(t.Context(), entry()); err == nil {
		t.Errorf("%+v", got)
	}
	if err := os.Chmod(b.c.Object.Path, 0o644); err != nil {
		t.Fatal(err)
	}
	b.ends(t.Context(), ipc.EndExited, 0, "")
}

// What deinit does wrong is said, and keeps nothing open.
func TestDeinit(t *testing.T) {
	for label, want := range map[string]string{"crash in deinit": "crashed", "refuse in deinit": "returned 4", "hang in deinit": "stopped"} {
		b := try(t, "faults.so", label, func(c *Config) { c.Grace = time.Second })
		b.ends(t.Context(), ipc.EndExited, 0, "")
		if got := b.rest(); !strings.Contains(got, "<4>module") || !strings.Contains(got, want) {
			t.Errorf("%s: said %q", label, got)
		}
	}
}

package plugin

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/plugin/frame"
)

// What a module returns is a program's exit code.
func TestCodes(t *testing.T) {
	for _, code := range []int{0, 7, 24, -1, 256} {
		p := faulty(t, fmt.Sprint("code ", code))
		p.returns(code)
		p.returns(code)
		p.close("deinit after 2\n")
	}
}

// Everything that a module is told arrives as it was sent.
func TestWhatAModuleSees(t *testing.T) {
	p := prepare(t, program(t, "faults.so"), frame.Init{Label: "print", WatchDir: "/from/", DestDir: "/to", Threading: true, PreferIncludes: true})
	p.start()
	p.line("2|print|/from|/from/|/to|/to/|011")
	_, err := p.Sync(t.Context(), frame.Round{Status: "initsync", Iteration: 3}, []frame.Entry{
		{Mask: 10, Path: "a", Old: frame.File, New: frame.File},
		{Mask: 0x40000100, Flags: 1, Path: "/from/new", Old: frame.Absent, New: frame.Directory},
		{Mask: 1 << 31, Flags: 3, Path: "", Old: frame.Unknown, New: frame.Absent},
		{Path: "%s \\ \xff"},
	})
	must(t, err)
	p.close("initsync 3\n10 0 1 a 2 2\n1073742080 1 9 /from/new 1 3\n2147483648 3 0  0 1\n0 0 6 %s \\ \xff 0 0\ndeinit after 1\n")
}

// A large call arrives whole.
func TestLargeCall(t *testing.T) {
	p := faulty(t, "code 0")
	entries := make([]frame.Entry, frame.MaxEntries)
	for i := range entries {
		entries[i].Path = strings.Repeat("d/", 100)
	}
	if code, err := p.Sync(t.Context(), frame.Round{}, entries); code != 0 || err != nil {
		t.Errorf("%d, %v", code, err)
	}
	if _, err := p.Sync(t.Context(), frame.Round{}, append(entries, entries[0])); err == nil {
		t.Error("more paths than the limit")
	} else {
		wantFailure(t, 0, err, NotSent)
	}
	p.close("deinit after 1\n") // the same host: nothing had happened
}

// A module that fails fails one call, by a name; the next call has a fresh host,
// and nothing is left of the old one.
func TestFaults(t *testing.T) {
	short := func(c *Config) { c.Limits.Grace = 10 * time.Millisecond }
	for label, c := range map[string]struct {
		why   Why
		what  string
		grace func(*Config)
	}{
		"crash":             {Crashed, "signal 11 (segmentation fault)", nil},
		"crash with family": {Crashed, "signal 6 (aborted)", nil},
		"exit":              {Exited, "exit code 0", nil},
		"garbage":           {Garbage, "malformed message", nil},
		"close":             {Exited, "exit code 1", nil}, // it cannot answer
		"close and hang":    {Garbage, "closed the socket", nil},
		"leave":             {Unfinished, "1 still ran", short},
	} {
		t.Run(label, func(t *testing.T) {
			p := faulty(t, label)
			if c.grace != nil {
				c.grace(&p.Plugin.cfg)
			}
			for range 2 {
				if f := p.fails(t.Context(), c.why); !strings.Contains(f.Error(), c.what) {
					t.Errorf("%v; want %q", f, c.what)
				}
			}
			if err := p.Close(t.Context()); err != nil {
				t.Error(err)
			}
			p.rest()
		})
	}
}

// A module that hangs is ended with all of its group, by SIGTERM if it heeds it.
func TestHangs(t *testing.T) {
	for label, grace := range map[string]time.Duration{
		"hang": patience, "spin": patience, "deaf": 10 * time.Millisecond, "hang with family": 10 * time.Millisecond,
	} {
		t.Run(label, func(t *testing.T) {
			p := faulty(t, label)
			p.Plugin.cfg.Limits.Timeout, p.Plugin.cfg.Limits.Grace = time.Second, grace
			p.fails(t.Context(), Timeout)
			must(t, p.Close(t.Context()))
			if got := p.rest(); got != "hanging\n" && label != "spin" {
				t.Errorf("printed %q", got)
			}
		})
	}
}

// A caller can end a call; its processes have the grace to end in order.
func TestStopped(t *testing.T) {
	p := faulty(t, "tidy")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.line("working")
		cancel()
	}()
	p.fails(ctx, Stopped)
	<-done
	p.fails(ctx, Stopped) // nothing is started for it
	must(t, p.Close(t.Context()))
	if got := p.rest(); got != "tidied up\n" {
		t.Errorf("printed %q", got)
	}
}

// What a module writes in the host's name concerns its own call alone: no later
// one takes an answer that was left over for its own.
func TestForgedAnswer(t *testing.T) {
	p := faulty(t, "forge")
	p.returns(0) // it could have returned that as well
	if f := p.fails(t.Context(), Garbage); f.What != "answer 2 where 3 is due" {
		t.Error(f)
	}
	p.returns(0) // afresh
	if err := p.Close(t.Context()); err == nil {
		t.Error("deinit's answer was not the one that was left over")
	}
	p.rest()
}

func TestRestart(t *testing.T) {
	p := faulty(t, "once")
	p.fails(t.Context(), Crashed)
	p.returns(0)
	p.close("deinit after 1\n")
	if _, err := p.Sync(t.Context(), frame.Round{}, []frame.Entry{{}}); err == nil {
		t.Error("a call after Close")
	}
}

// A host that ends between two calls is no failure.
func TestEndsBetweenCalls(t *testing.T) {
	p := faulty(t, "code 0")
	p.returns(0)
	must(t, p.host.process.Signal(syscall.SIGKILL))
	<-p.host.ended
	p.returns(0)
	p.close("deinit after 1\n")
}

func TestForks(t *testing.T) {
	for _, n := range []int{0, 1, 256} {
		p := faulty(t, "fork", func(c *Config) { c.Limits.Forks = n })
		p.returns(0)
		p.returns(0) // those that were waited for do not count
		line := fmt.Sprintf("%d children, ECANCELED\n", n)
		p.close(line + line + "deinit after 2\n")
	}
}

// A child that returns where its parent was called does not speak for it.
func TestReturnsTwice(t *testing.T) {
	p := faulty(t, "twice")
	p.returns(0)
	p.returns(0)
	p.close("deinit after 2\n")
}

// A module's programs have its output and nothing of the host's: neither the
// socket nor the object. (3 is that of ls itself.)
func TestDescriptors(t *testing.T) {
	p := faulty(t, "descriptors")
	p.returns(0)
	p.returns(0)
	p.close("0, 1, 2, 3\n0, 1, 2, 3\ndeinit after 2\n")
}

func TestDeinit(t *testing.T) {
	for label, want := range map[string]string{
		"crash in deinit": "crashed", "hang in deinit": "timeout", "refuse in deinit": "clsyncapi_deinit returned 4",
	} {
		p := faulty(t, label)
		p.returns(0)
		if label == "hang in deinit" {
			p.Plugin.cfg.Limits.Timeout = 200 * time.Millisecond
		}
		if err := p.Close(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", label, err)
		}
		must(t, p.Close(t.Context()))
		p.rest()
	}
}

// What keeps a module from being started is told by name.
func TestNotStarted(t *testing.T) {
	libc := func(c *Config) { // a shared object that is no module
		out, err := exec.Command("gcc", "-print-file-name=libm.so.6").Output()
		must(t, err)
		c.Object = opened(t, strings.TrimSpace(string(out)))
	}
	for name, c := range map[string]struct {
		label  string
		change func(*Config)
		why    Why
		what   string
	}{
		"init refuses":   {"refuse", nil, InitFailed, "clsyncapi_init returned 3"},
		"init crashes":   {"crash in init", nil, Crashed, "signal 6"},
		"no program":     {"", func(c *Config) { c.Program = "/none" }, NotStarted, "/none: no such file"},
		"another mode":   {"", func(c *Config) { c.Sync.Mode = frame.ModeRsync }, NoFunction, "clsyncapi_rsync"},
		"no module":      {"", libc, NoFunction, "clsyncapi_sync"},
		"no object":      {"", func(c *Config) { c.Object = opened(t, written(t, 0o644)) }, NotLoadable, "too short"},
		"world-writable": {"", func(c *Config) { c.Object = opened(t, written(t, 0o666)) }, Refused, "others can write to it (mode 0666)"},
		"setuid":         {"", func(c *Config) { c.Object = opened(t, written(t, 0o755|os.ModeSetuid)) }, Refused, "setuid"},
		"directory":      {"", func(c *Config) { c.Object = opened(t, t.TempDir()) }, Refused, "no regular file"},
		"another's":      {"", func(c *Config) { c.Object = opened(t, givenAway(t)) }, Refused, "belongs to uid 64872"},
	} {
		t.Run(name, func(t *testing.T) {
			p := prepare(t, program(t, "faults.so"), frame.Init{Label: c.label, WatchDir: "/from"})
			if c.change != nil {
				c.change(&p.cfg)
			}
			_, err := Start(t.Context(), p.cfg)
			if f := wantFailure(t, 0, err, c.why); !strings.Contains(f.Error(), c.what) || !strings.Contains(f.Error(), p.cfg.Name) {
				t.Errorf("%v; want %q", f, c.what)
			}
			p.rest()
		})
	}
}

func opened(t *testing.T, path string) int {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return int(f.Fd())
}

func written(t *testing.T, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.so")
	must(t, os.WriteFile(path, []byte("x"), 0o600))
	must(t, os.Chmod(path, mode))
	return path
}

func givenAway(t *testing.T) string {
	t.Helper()
	testenv.NeedRoot(t)
	path := written(t, 0o644)
	must(t, os.Chown(path, 64872, 64872))
	return path
}

// Each failure has a name of its own, and says what to do.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for w := NotStarted; w < numWhys; w++ {
		f := &Failure{Module: "/m\n.so", Why: w, What: "x\x1b"}
		if seen[w.String()] || w.String() == "" || words()[w].do == "" || strings.ContainsAny(f.Error(), "\n\x1b") {
			t.Errorf("%d: %v", w, f)
		}
		seen[w.String()] = true
	}
}

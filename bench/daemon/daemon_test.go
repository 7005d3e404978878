package daemon

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/bench/meter"
	"lockstep/internal/testenv"
)

func TestTable(t *testing.T) {
	names := map[string]bool{}
	for _, k := range Table() {
		if names[k.Word()] {
			t.Errorf("two daemons are called %s", k.Word())
		}
		names[k.Word()] = true
		text := strings.Join(k.Argv, " ") + k.Config
		for _, key := range []string{"{src}", "{dst}"} {
			if !strings.Contains(text, key) {
				t.Errorf("%s is not told %s", k.Name, key)
			}
		}
		if k.Watched == "" || len(k.Version) == 0 || k.Note == "" {
			t.Errorf("%s is not complete", k.Name)
		}
		left := fill(text, map[string]string{"src": "", "dst": "", "private": "", "open": "", "conf": "", "bin": ""})
		for _, key := range []string{"{src}", "{dst}", "{private}", "{open}", "{conf}", "{bin}"} {
			if strings.Contains(left, key) {
				t.Errorf("%s: %s is not filled", k.Name, key)
			}
		}
		if k.Twin != "" && (!names[k.Twin] || k.Present(t.TempDir())) {
			t.Errorf("%s: its twin is not before it, or it is there although it was not built", k.Name)
		}
	}
}

func TestClaim(t *testing.T) {
	for line, want := range map[string]time.Duration{
		"2026-11-21 13:05:57 ready: every directory is watched dirs=4 ms=51\n": 51 * time.Millisecond,
		"Watches established.": 0,
		"ms=x":                 0,
		" ms=":                 0,
	} {
		if got := claim(line); got != want {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
	}
}

// daemons that need nothing but a shell.
func shell(script string) Kind {
	return Kind{Name: "a shell", Argv: []string{"/bin/sh", "{conf}", "{open}"}, Config: script, Watched: "now"}
}

func launcher(t *testing.T) *Launcher {
	t.Helper()
	testenv.NeedRoot(t)
	h, err := meter.FindHierarchy()
	if err != nil {
		testenv.Lacks(t, err.Error())
	}
	dir := t.TempDir()
	return &Launcher{Starter: NewStarter(), Hierarchy: h, Sysctls: meter.NewSysctls(filepath.Join(dir, "lock")), Scratch: dir}
}

func TestInstance(t *testing.T) {
	l := launcher(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	in, err := l.Start(ctx, shell("echo now ms=3; sleep 600"), "/src", "/dst")
	if err != nil {
		t.Fatal(err)
	}
	w, err := in.Watched(ctx)
	if err != nil || w.Took <= 0 || w.Claim != 3*time.Millisecond {
		t.Errorf("%+v, %v", w, err)
	}
	if again, err := in.Watched(ctx); err != nil || again != w {
		t.Errorf("asked twice, it says %+v, %v", again, err)
	}
	if err := in.Stop(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(l.Scratch); err != nil || slices.ContainsFunc(left, func(e os.DirEntry) bool { return e.IsDir() }) {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestStatusFile(t *testing.T) {
	l := launcher(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	k := shell("exec 3>$1/status; printf starting >&3; sleep 0.2; printf '' >$1/status; exec 3>>$1/status; printf running >&3; sleep 600")
	k.StatusFile, k.Watched = "status", "initsync|running"
	in, err := l.Start(ctx, k, "/src", "/dst")
	if err != nil {
		t.Fatal(err)
	}
	if w, err := in.Watched(ctx); err != nil || w.Took < 150*time.Millisecond {
		t.Errorf("%+v, %v", w, err)
	}
	if err := in.Stop(); err != nil {
		t.Error(err)
	}
}

func TestEarlyEnd(t *testing.T) {
	l := launcher(t)
	in, err := l.Start(t.Context(), shell("echo a reason; exit 3"), "/src", "/dst")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Watched(t.Context()); err == nil || !strings.Contains(err.Error(), "exit status 3: a reason") {
		t.Errorf("%v", err)
	}
	if err := in.Stop(); err != nil {
		t.Error(err)
	}
}

// What a daemon does not end itself is ended for it.
func TestStopEndsAll(t *testing.T) {
	l := launcher(t)
	in, err := l.Start(t.Context(), shell("sleep 600 & echo now; wait"), "/src", "/dst")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Watched(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := meter.Family(in.PID)
	if err := in.Stop(); err != nil {
		t.Error(err)
	}
	for _, p := range before {
		if now := meter.Family(p.PID); len(now) > 0 && now[0].Start == p.Start {
			t.Errorf("%s %d still runs", p.Name, p.PID)
		}
	}
}

// A program that does not exist is an error, and leaves nothing.
func TestNoProgram(t *testing.T) {
	l := launcher(t)
	if in, err := l.Start(t.Context(), Kind{Name: "none", Argv: []string{"/does/not/exist"}, Queue: 1 << 20}, "/s", "/d"); err == nil || in != nil {
		t.Errorf("%v, %v", in, err)
	}
	if left, err := filepath.Glob(l.Scratch + "/none*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

//go:build e2e

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/test/sidebyside"
)

// side is one of two daemons that are given the same words and the same changes: the
// real clsync, or lockstep.
type side struct {
	t       *testing.T
	name    string
	of      sidebyside.Side
	dir     string
	words   []string // what it is called with
	pid     int
	handler *os.File // the end of the FIFO that the handler writes to

	mu    sync.Mutex
	calls []sidebyside.Call // guarded by mu
	log   []string          // guarded by mu
	news  chan struct{}     // guarded by mu; closed and replaced with each call and line
	ended bool              // guarded by mu
}

func (s *side) src() string { return s.dir + "/from" }
func (s *side) dst() string { return s.dir + "/to" }

// realClsync is Debian's, which the recordings in test/clsync are of as well.
func realClsync(t *testing.T) string {
	t.Helper()
	testenv.NeedRoot(t)
	path := testenv.NeedTool(t, "clsync")
	if out, _ := exec.Command(path, "--version").CombinedOutput(); !strings.Contains(string(out), "v0.4.5") {
		testenv.Lacks(t, "what is compared with is clsync 0.4.5")
	}
	return path
}

// newSide makes the directories; tree is made in the source by a shell.
func newSide(t *testing.T, name, mode, tree string) *side {
	t.Helper()
	dir, err := os.MkdirTemp("", "side-by-side-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &side{t: t, name: name, dir: dir, news: make(chan struct{})}
	mkdir(t, s.src(), s.dst(), s.dir+"/tmp", s.dir+"/out")
	// clsync and its modules run as nobody.
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(s.dir+"/tmp", 0o1777)); err != nil {
		t.Fatal(err)
	}
	s.of = sidebyside.Side{Mode: mode, Watch: s.src(), Dest: s.dst()}
	s.do(tree)
	return s
}

// do runs a shell in the source.
func (s *side) do(commands string) {
	s.t.Helper()
	cmd := exec.Command("/bin/sh", "-ec", commands)
	cmd.Dir = s.src()
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v: %s", commands, err, out)
	}
}

// records compiles what writes down its calls, and reads them.
func (s *side) records(source string) (path string) {
	s.t.Helper()
	gcc, calls := testenv.NeedTool(s.t, "gcc"), s.dst()+"/calls"
	path = s.dir + "/handler"
	flags := []string{"-Wall", "-Werror", "-D_GNU_SOURCE", `-DCALLS="` + calls + `"`, "-o", path}
	switch {
	case source == "handler.c":
		flags = append(flags, "-static")
	case s.name == "lockstep":
		flags = append(flags, "-shared", "-fPIC", "-I", "../../include", "-DOF_LOCKSTEP")
	default:
		flags = append(flags, "-shared", "-fPIC")
	}
	if out, err := exec.Command(gcc, append(flags, "../sidebyside/testdata/"+source)...).CombinedOutput(); err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	err := errors.Join(os.Chmod(path, 0o755), syscall.Mkfifo(calls, 0o600), os.Chmod(calls, 0o666)) // clsync's modules run as nobody
	if err == nil {
		s.handler, err = os.OpenFile(calls, os.O_RDWR, 0)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { s.handler.Close() })
	go func() {
		for r := bufio.NewReader(s.handler); ; {
			c, err := sidebyside.ReadCall(r)
			if errors.Is(err, os.ErrClosed) {
				return
			}
			s.add(func() {
				if s.calls = append(s.calls, c); err != nil {
					s.log = append(s.log, "the handler's record: "+err.Error())
				}
			})
			if err != nil {
				return
			}
		}
	}()
	return path
}

// add notes something new.
func (s *side) add(what func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what()
	close(s.news)
	s.news = make(chan struct{})
}

// start starts the daemon, and ends it with the test.
func (s *side) start(cmd *exec.Cmd) {
	s.t.Helper()
	cmd.Env = append(os.Environ(), "TMPDIR="+s.dir+"/tmp")
	r, w, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := errors.Join(cmd.Start(), w.Close()); err != nil {
		s.t.Fatal(err)
	}
	s.pid = cmd.Process.Pid
	go func() {
		for in := bufio.NewReader(r); ; {
			line, err := in.ReadString('\n')
			s.add(func() { s.log = append(s.log, strings.TrimSuffix(line, "\n")) })
			if err != nil { // all that hold its end have ended
				break
			}
		}
		r.Close()
		s.add(func() { s.ended = true })
	}()
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		late := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		late.Stop()
		if err != nil && s.name == "lockstep" || s.t.Failed() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.t.Errorf("%s ended: %v\n%s", s.name, err, strings.Join(s.log, "\n"))
		}
	})
}

// until waits for something in what it said and called. The function is called with
// each state of both, and says why it is not satisfied yet; "": it is.
func (s *side) until(what string, lacks func(calls []sidebyside.Call, log []string) string) {
	s.t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	for {
		s.mu.Lock()
		calls, log, news, ended := slices.Clone(s.calls), slices.Clone(s.log), s.news, s.ended
		s.mu.Unlock()
		why := lacks(calls, log)
		switch {
		case why == "":
			return
		case ended:
			s.t.Fatalf("%s ended before %s: %s", s.name, what, why)
		}
		select {
		case <-news:
		case <-deadline.C:
			s.t.Fatalf("%s: no %s: %s\n%d calls, the last of them %q", s.name, what, why, len(calls), calls[max(0, len(calls)-3):])
		}
	}
}

// told is what there is of it since a call.
func (s *side) told(since int) (f sidebyside.Facts, next int) {
	s.t.Helper()
	s.mu.Lock()
	calls := slices.Clone(s.calls)
	s.mu.Unlock()
	f, err := s.of.Facts(calls[since:])
	if err != nil {
		s.t.Fatalf("%s: %v", s.name, err)
	}
	return f, len(calls)
}

// both are clsync and lockstep, with the same words.
func both(t *testing.T, clsyncs, ours *side) {
	t.Helper()
	clsyncs.start(exec.Command(realClsync(t), clsyncs.words...))
	ours.start(clsync(t, ours.words...)())
}

// startAlone starts lockstep for a handler without a destination, which may write to
// what its calls go to: a key that clsync's words have not, in what they mean.
func (s *side) startAlone() {
	s.t.Helper()
	meant, err := clsync(s.t, s.words...)("--print-config").Output()
	if err != nil {
		s.t.Fatal(err)
	}
	text := strings.Replace(string(meant), "[[sync]]\n", fmt.Sprintf("[[sync]]\nhandler_writes = [%q]\n", s.dst()), 1)
	if strings.Contains(text, "targets") || text == string(meant) {
		s.t.Fatalf("there is a target, or no sync:\n%s", text)
	}
	write(s.t, s.dir+"/lockstep.toml", text)
	s.start(exec.Command(program(s.t, "lockstep"), "run", "-c", s.dir+"/lockstep.toml"))
}

// world is what is below a directory.
func world(t *testing.T, dir string) sidebyside.World {
	t.Helper()
	w := sidebyside.World{}
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			w[strings.TrimPrefix(strings.TrimPrefix(path, dir), "/")] = d.IsDir()
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return w
}

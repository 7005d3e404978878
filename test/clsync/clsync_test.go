//go:build e2e

package clsync

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

var update = flag.Bool("update", false, "write the recordings anew")

// socketVar has the test binary be the handler, that tells of its call on the
// socket and waits there for leave to end.
const socketVar = "LOCKSTEP_CLSYNC_SOCKET"

func TestMain(m *testing.M) {
	if path := os.Getenv(socketVar); path != "" {
		if err := handle(path); err != nil {
			fmt.Fprintln(os.Stderr, "handler:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// told is a call as the handler tells of it. JSON would mend what is not UTF-8,
// but leaves bytes alone.
type told struct {
	Argv              [][]byte
	Status, Iteration string
	Dir               string
	Files             [][]byte // content of the list files that the words name
	Names             []string
}

var listPath = regexp.MustCompile(`[^ =,]*/\.clsync-(list|exclist)\.[0-9.]+`)

func handle(socket string) error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	t := told{Status: os.Getenv("CLSYNC_STATUS"), Iteration: os.Getenv("CLSYNC_ITERATION"), Dir: dir}
	for _, word := range os.Args {
		for _, path := range listPath.FindAllString(word, -1) {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name := Include
			if strings.Contains(path, "/.clsync-exclist.") {
				name = Exclude
			}
			t.Files, t.Names = append(t.Files, b), append(t.Names, name)
			word = strings.Replace(word, path, name, 1)
		}
		t.Argv = append(t.Argv, []byte(word))
	}
	c, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(c).Encode(t); err != nil {
		return err
	}
	if _, err = c.Read(make([]byte, 1)); err == io.EOF {
		return nil
	}
	return err
}

// rig is one running clsync.
type rig struct {
	*testing.T
	dir    string
	cmd    *exec.Cmd
	stderr bytes.Buffer
	calls  *net.UnixListener // closed when clsync has ended
	ended  chan struct{}
	err    error // how it ended
}

// start makes the tree and starts clsync on it.
func start(t *testing.T, s *Script) *rig {
	r := &rig{T: t, ended: make(chan struct{})}
	dir, err := os.MkdirTemp("", "clsync-recording-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r.dir = dir
	for _, d := range []string{"", "from", "to", "tmp"} {
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, d), 0o755), os.Chmod(filepath.Join(dir, d), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "tmp"), 0o1777); err != nil {
		t.Fatal(err)
	}
	r.sh(s.Tree)
	socket := filepath.Join(dir, "socket")
	if r.calls, err = net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.calls.Close() })
	if err := os.Chmod(socket, 0o777); err != nil { // a module runs as nobody
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	called := self
	if s.Function() {
		called = module(t, dir)
	}
	args := []string{"-n", "19", "clsync", "-H", "/NULL/", "-M", s.Mode, "-w0", "-t0", "-T0", "-l", "lab",
		"-W", filepath.Join(dir, "from"), "-D", filepath.Join(dir, "to"), "-S", called}
	if s.Rules != nil {
		path := filepath.Join(dir, "rules")
		if err := os.WriteFile(path, []byte(strings.Join(s.Rules, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-R", path)
	}
	args = append(args, s.Options...)
	if s.Arguments != nil {
		args = append(append(args, "--"), s.Arguments...)
	}
	r.cmd = exec.Command("nice", args...)
	r.cmd.Env = append(os.Environ(), socketVar+"="+socket, "LOCKSTEP_CLSYNC_HANDLER="+self, "TMPDIR="+filepath.Join(dir, "tmp"))
	r.cmd.Stderr = &r.stderr
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		r.err = r.cmd.Wait()
		r.calls.Close()
		close(r.ended)
	}()
	t.Cleanup(func() {
		r.cmd.Process.Kill() // it has ended already, unless something failed
		<-r.ended
	})
	return r
}

// module is what clsync calls in the modes so and rsyncso.
func module(t *testing.T, dir string) string {
	path := filepath.Join(dir, "module.so")
	out, err := exec.Command(testenv.NeedTool(t, "gcc"), "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", path, "testdata/module.c").CombinedOutput()
	if err == nil {
		err = os.Chmod(path, 0o755) // clsync takes none that others may write
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

func (r *rig) sh(commands string) {
	r.Helper()
	cmd := exec.Command("/bin/sh", "-ec", commands)
	cmd.Dir = filepath.Join(r.dir, "from")
	if out, err := cmd.CombinedOutput(); err != nil {
		r.Fatalf("%s: %v: %s", commands, err, out)
	}
}

// patience is for a machine that is busy with something else.
const patience = 20 * time.Second

// next is the next call; ok is false after clsync's end.
func (r *rig) next() (call Call, leave func(), ok bool) {
	r.Helper()
	if err := r.calls.SetDeadline(time.Now().Add(patience)); err != nil {
		r.Fatal(err)
	}
	conn, err := r.calls.Accept()
	if errors.Is(err, net.ErrClosed) {
		return Call{}, nil, false
	}
	if err != nil {
		r.Fatalf("no call came: %v; clsync said: %s", err, r.stderr.String())
	}
	var t told
	if err := json.NewDecoder(conn).Decode(&t); err != nil {
		r.Fatal(err)
	}
	call = Call{Status: t.Status, Iteration: t.Iteration, Dir: r.plain(t.Dir)}
	for i, word := range t.Argv {
		if i == 0 {
			word = []byte(Handler)
		}
		call.Argv = append(call.Argv, r.plain(string(word)))
	}
	for i, b := range t.Files {
		l := List{Name: t.Names[i]}
		for line := range bytes.Lines(b) {
			l.Lines = append(l.Lines, strings.TrimSuffix(string(line), "\n"))
		}
		call.Lists = append(call.Lists, l)
	}
	return call, func() { conn.Close() }, true
}

// plain takes out what changes from run to run.
func (r *rig) plain(word string) string {
	word = strings.ReplaceAll(word, r.dir+"/", "/w/")
	if pid := "pid=" + strconv.Itoa(r.cmd.Process.Pid); word == pid {
		word = "pid=" + PID
	}
	return word
}

// end stops clsync; what it calls meanwhile is one call too many. (How it ends
// says nothing: it may meet the end of its last handler.)
func (r *rig) end() {
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		r.Error(err)
	}
	for {
		call, leave, ok := r.next()
		if !ok {
			return
		}
		r.Errorf("a call that the script does not expect: %q", call)
		leave()
	}
}

func record(t *testing.T, s *Script) Recording {
	r := start(t, s)
	var all Recording
	leave := func() {}
	for _, step := range s.Steps {
		r.sh(step.Do)
		var calls []Call
		for range step.Calls {
			leave()
			var call Call
			var ok bool
			if call, leave, ok = r.next(); !ok {
				<-r.ended
				t.Fatalf("clsync ended: %v: %s", r.err, r.stderr.String())
			}
			calls = append(calls, call)
		}
		all = append(all, calls)
	}
	leave()
	r.end()
	all.Sort(s)
	return all
}

// The recordings are what clsync says, still.
func TestRecordings(t *testing.T) {
	testenv.NeedRoot(t)
	clsync := testenv.NeedTool(t, "clsync")
	if out, _ := exec.Command(clsync, "--version").CombinedOutput(); !strings.Contains(string(out), "v0.4.5") {
		testenv.Lacks(t, "the recordings are of clsync 0.4.5")
	}
	names, err := Names("testdata")
	if err != nil || len(names) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			s, err := Load("testdata", name)
			if err != nil {
				t.Fatal(err)
			}
			got := record(t, s).Text()
			path := filepath.Join("testdata", name+".rec")
			if *update {
				if t.Failed() {
					return
				}
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v; record it with -update", err)
			}
			if a, b := strings.Split(string(want), "\n"), strings.Split(got, "\n"); !slices.Equal(a, b) {
				t.Errorf("recorded:\n%s\nnow:\n%s", want, got)
			}
		})
	}
}

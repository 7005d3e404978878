package sickfs

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

// What is behind it shows; an error of the rule is what who looks gets; one that waits
// keeps nobody else waiting; and a dead one answers nobody. (Another process looks: see
// the invariant.)
func TestMount(t *testing.T) {
	testenv.NeedRoot(t)
	if _, err := os.Stat("/dev/fuse"); err != nil {
		testenv.Lacks(t, "no /dev/fuse")
	}
	dir, at := t.TempDir(), t.TempDir()
	for _, name := range []string{"good", "bad"} {
		if err := os.WriteFile(dir+"/"+name, []byte("content of "+name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(dir+"/below", 0o755); err != nil {
		t.Fatal(err)
	}
	fs := Mount(t, dir, at)
	looks := func(want string, words ...string) {
		t.Helper()
		out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
		if !strings.Contains(string(out), want) {
			t.Errorf("%q: %q %v, want %q", words, out, err, want)
		}
	}
	looks("content of good", "cat", at+"/good")
	looks("bad\nbelow\ngood", "ls", at)
	looks("No such file", "cat", at+"/none")

	fs.Set(func(op Op, rel string) syscall.Errno {
		if op == Read && rel == "bad" {
			return syscall.EIO
		}
		return 0
	})
	looks("Input/output error", "cat", at+"/bad")
	looks("content of good", "cat", at+"/good")

	asked, gate := make(chan struct{}), make(chan struct{})
	fs.Set(func(op Op, rel string) syscall.Errno {
		if op == Read && rel == "bad" {
			close(asked)
			<-gate
		}
		return 0
	})
	slow := exec.Command("cat", at+"/bad")
	if err := slow.Start(); err != nil {
		t.Fatal(err)
	}
	<-asked
	looks("content of good", "cat", at+"/good")
	close(gate)
	ended := make(chan error, 1)
	go func() { ended <- slow.Wait() }()
	select {
	case err := <-ended:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("who waited waits for ever")
	}
	fs.Die()
	looks("not connected", "ls", at)
}

//go:build !twin

package lock

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// noUname is a filter that refuses uname with ENOTTY and allows the rest.
func noUname() []byte {
	var raw []byte
	for _, in := range []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_UNAME},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOTTY)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	} {
		raw = binary.NativeEndian.AppendUint16(raw, in.Code)
		raw = append(raw, in.Jt, in.Jf)
		raw = binary.NativeEndian.AppendUint32(raw, in.K)
	}
	return raw
}

// TestEnter: all threads, those from before and after, are confined.
func TestEnter(t *testing.T) {
	if out, err := child(t, "enter"); err != nil || !strings.Contains(out, "confined") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestEnterRefuses: a bad filter is an error.
func TestEnterRefuses(t *testing.T) {
	for what, want := range map[string]string{"unsealed": "not sealed", "odd": "are not 1 to", "invalid": "seccomp: invalid argument", "closed": "is no memfd"} {
		if out, err := child(t, what); err != nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v: %s", what, err, out)
		}
	}
}

// TestChild is the body of the processes that child starts.
func TestChild(t *testing.T) {
	switch os.Getenv("LOCK_CHILD") {
	case "":
	case "fail":
		Fail("a step", errors.New("bad\n<5>forged"))
	case "enter":
		enterChild(t)
	case "unsealed":
		fmt.Println(Enter(memfd(t, noUname(), unix.F_SEAL_WRITE)))
	case "odd":
		fmt.Println(Enter(memfd(t, noUname()[1:], seals)))
	case "invalid":
		fmt.Println(Enter(memfd(t, noUname()[:16], seals))) // runs off its end
	case "closed":
		fmt.Println(Enter(1000))
	}
}

func enterChild(t *testing.T) {
	const threads = 8
	var ready, done, ended sync.WaitGroup
	checked, release := make(chan struct{}), make(chan struct{})
	for range threads {
		ready.Add(1)
		done.Add(1)
		ended.Go(func() { // a thread from before
			runtime.LockOSThread()
			ready.Done()
			<-checked
			unameFails(t)
			done.Done()
			<-release
		})
	}
	ready.Wait()
	fd := memfd(t, noUname(), seals)
	if err := Enter(fd); err != nil {
		t.Fatal(err)
	}
	close(checked)
	done.Wait()
	defer ended.Wait()
	defer close(release)
	unameFails(t)
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); !errors.Is(err, unix.EBADF) {
		t.Errorf("the filter's descriptor is still open: %v", err)
	}
	if d, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || d != 0 {
		t.Errorf("dumpable is %d, %v", d, err)
	}
	if m, err := unix.PrctlRetInt(unix.PR_GET_MDWE, 0, 0, 0, 0); err != nil || m != unix.PR_MDWE_REFUSE_EXEC_GAIN {
		t.Errorf("MDWE is %d, %v", m, err)
	}
	if _, err := unix.Mmap(-1, 0, 4096, unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON); !errors.Is(err, unix.EACCES) {
		t.Errorf("a writable and executable mapping: %v", err)
	}
	statuses, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(statuses) < threads {
		t.Fatalf("%d threads, %v", len(statuses), err)
	}
	for _, name := range statuses {
		text, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // a thread that has ended
		}
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "NoNewPrivs:\t1\n") || !strings.Contains(string(text), "Seccomp:\t2\n") {
			t.Errorf("%s: not confined", name)
		}
	}
	if !t.Failed() {
		fmt.Println("confined")
	}
}

func unameFails(t *testing.T) {
	var u unix.Utsname
	if err := unix.Uname(&u); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("uname: %v; this thread has no filter", err)
	}
}

// child runs this test binary again as a process that may be confined.
func child(t *testing.T, what string) (string, error) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), "LOCK_CHILD="+what)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestFail(t *testing.T) {
	out, err := child(t, "fail")
	if cmdErr, ok := err.(*exec.ExitError); !ok || cmdErr.ExitCode() != 71 {
		t.Errorf("exit: %v, want 71", err)
	}
	if !strings.HasPrefix(out, "<3>confinement failed: a step: bad?<5>forged") || strings.Count(out, "\n") != 1 {
		t.Errorf("wrote %q", out)
	}
}

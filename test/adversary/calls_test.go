package adversary

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/ipc"
	"lockstep/ipc/wire"
)

// trace has strace write down each call of a helper from now on. wait gives what
// was written, once the helper has ended.
func trace(t *testing.T, h *helper) (wait func() []string) {
	t.Helper()
	strace := testenv.NeedTool(t, "strace")
	out := filepath.Join(t.TempDir(), "calls")
	cmd := exec.Command(strace, "-f", "-s", "300", "-o", out, "-p", fmt.Sprint(h.proc.PID))
	stderr, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	lines := bufio.NewScanner(stderr)
	for traced := false; !traced; {
		if !lines.Scan() {
			t.Fatal("strace has ended")
		}
		traced = allTraced(h.proc.PID)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines.Scan() {
		}
	}()
	return func() []string {
		<-done
		_ = cmd.Wait() // its exit code is the helper's
		text, err := os.ReadFile(out)
		must(t, err)
		return strings.Split(string(text), "\n")
	}
}

// allTraced says that each thread of a process has a tracer.
func allTraced(pid int) bool {
	all, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, file := range all {
		text, _ := os.ReadFile(file)
		if strings.Contains(string(text), "TracerPid:\t0\n") {
			return false
		}
	}
	return len(all) > 0
}

// TestCallsStayBelowTheRoot looks at the calls themselves, which also shows opens
// that fanotify is not told of (O_PATH): each look-up of a path begins at the root
// and is kept below it by the kernel; all else has one name, or none.
func TestCallsStayBelowTheRoot(t *testing.T) {
	n, from := scaled(700, 30_000), seed(t)
	s := newStage(t)
	h := s.start(t, -1)
	h.hello()
	root := rootDescriptor(t, h)
	wait := trace(t, h)
	st := newStorm(t, h, newRunners(t), from)
	for id := ipc.TargetID(1); id <= numTargets; id++ {
		st.r.serve(id, h.runner(id), from, false)
	}
	st.between = func() { must(t, s.tree.swap(st.rng.IntN(8))) }
	st.run(n, 20)
	st.settle()
	h.stop()
	calls, resolved := map[string]int{}, 0
	call := regexp.MustCompile(`^\d+ +([a-z0-9_]+)\((.*)`)
	for _, line := range wait() {
		m := call.FindStringSubmatch(line)
		if m == nil {
			continue // the end of one that another thread's has come between
		}
		calls[m[1]]++
		if err := below(m[1], m[2], root); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		if m[1] == "openat2" {
			resolved++
		}
	}
	t.Logf("%d requests, %d look-ups, all from the root and below it; calls: %s", st.sent, resolved, histogram(calls))
	if resolved < n/2 || calls["statx"] < n/2 || calls["inotify_add_watch"] == 0 {
		t.Error("strace did not see what the helper did")
	}
}

// below holds a call against what is allowed to look a name up.
func below(name, args string, root string) error {
	const kept = "resolve=RESOLVE_NO_XDEV|RESOLVE_NO_MAGICLINKS|RESOLVE_NO_SYMLINKS|RESOLVE_BENEATH"
	first, rest, _ := strings.Cut(args, ", ")
	switch name {
	case "openat2":
		if first != root || !strings.Contains(rest, kept) || !strings.Contains(rest, "O_DIRECTORY") || strings.Contains(rest, "O_CREAT") {
			return errors.New("a look-up that is not kept below the root")
		}
	case "statx":
		name := rest[1 : 1+strings.Index(rest[1:], `", AT_`)]
		if !strings.Contains(rest, "AT_SYMLINK_NOFOLLOW") || strings.Contains(name, "/") || name == ".." || (name == "") != strings.Contains(rest, "AT_EMPTY_PATH") || first == "AT_FDCWD" {
			return errors.New("a name that could lead somewhere")
		}
	case "inotify_add_watch":
		if !strings.HasPrefix(rest, `".", `) || !strings.Contains(rest, "IN_ONLYDIR") {
			return errors.New("a watch by a path")
		}
	case "open", "openat", "creat", "readlink", "readlinkat", "newfstatat", "stat", "lstat", "access", "faccessat", "chdir", "socket", "connect", "execve", "kill":
		return errors.New("a call that it has no use for")
	}
	return nil
}

// rootDescriptor is the number under which the helper holds its root.
func rootDescriptor(t *testing.T, h *helper) string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", h.proc.PID)
	all, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range all {
		var st unix.Stat_t
		if unix.Stat(dir+"/"+e.Name(), &st) == nil && st.Ino == inode(t, h.tree.root) {
			return e.Name()
		}
	}
	t.Fatal("the helper holds no root")
	return ""
}

// TestBadNamesAreNotLookedUp: what is no path below a root is refused before the
// kernel is asked for anything.
func TestBadNamesAreNotLookedUp(t *testing.T) {
	s := newStage(t)
	all := nameCrimes()
	for i := 0; i < len(all); i += scaled(10, 1) {
		t.Run(all[i].name, func(t *testing.T) {
			h := s.start(t, -1)
			h.hello()
			wait := trace(t, h)
			for _, pkt := range all[i].packets(2) {
				h.send(pkt)
			}
			h.violated(all[i].why)
			read := false
			for _, line := range wait() {
				read = read || strings.HasSuffix(line, fmt.Sprintf("exited with %d +++", exitViolation))
				for _, name := range []string{"openat2(", "statx(", "getdents64(", "inotify_add_watch(", "fchdir("} {
					if strings.Contains(line, name) {
						t.Error(line)
					}
				}
			}
			if !read {
				t.Error("strace has seen nothing")
			}
		})
	}
}

// TestDecodersTakeLittle: what a false length costs a decoder that the helper links
// is no more than two packets. (That they neither fail nor lie is what FuzzDecode shows.)
func TestDecodersTakeLittle(t *testing.T) {
	decoders := map[string]func([]byte) error{
		"Hello": decodes[ipc.Hello], "Watch": decodes[ipc.Watch], "Stat": decodes[ipc.Stat], "Start": decodes[ipc.Start], "Data": decodes[ipc.Data],
		"Stop": decodes[ipc.Stop], "Drain": decodes[ipc.Drain], "RunExited": decodes[ipc.RunExited], "CtlWorker": decodes[ipc.CtlWorker], "CtlRunner": decodes[ipc.CtlRunner],
	}
	begin, tried := time.Now(), 0
	for name, decode := range decoders {
		worst := int64(0)
		for _, size := range []int{16, 4096, ipc.MaxPacket - 8} {
			for at := 0; at < 24; at++ {
				for _, length := range []uint32{0, 1, 255, 256, 257, 4096, 4097, 1 << 16, 1 << 31, 1<<32 - 1} {
					payload := make([]byte, size)
					for i := range payload {
						payload[i] = 1
					}
					if at+4 > size {
						continue
					}
					copy(payload[at:], raw{}.u32(length))
					tried++
					worst = max(worst, allocated(func() { _ = decode(payload) }))
				}
			}
		}
		t.Logf("%s: %d bytes at most", name, worst)
		if worst > 2*ipc.MaxPacket+1024 { // Data is copied twice
			t.Errorf("%s: a false length takes %d bytes", name, worst)
		}
	}
	t.Logf("%d payloads in %v", tried, time.Since(begin).Round(time.Millisecond))
}

func decodes[T any, V interface {
	*T
	wire.Value
}](b []byte) error {
	_, err := wire.Decode[T, V](b)
	return err
}

// allocated is what f takes from the heap; other goroutines may take some, too.
func allocated(f func()) int64 {
	least := int64(math.MaxInt64)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, int64(after.TotalAlloc-before.TotalAlloc))
	}
	return least
}

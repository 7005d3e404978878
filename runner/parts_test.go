package runner

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/ipc"
	"lockstep/ipc/settings"
)

// two is a list that is cut before "./b/1".
const two = "./a/1\x00./a/2\x00./b/1\x00./b/2\x00"

// wideScript runs one shell script for each part of a list.
func wideScript(t *testing.T, text string, change func(*settings.Runner)) *bench {
	return script(t, text, func(c *settings.Runner) {
		c.Argv[ipc.JobWide], c.Split = c.Argv[ipc.JobList], 2
		if change != nil {
			change(c)
		}
	})
}

// Both parts run at the same time, each with its share of the list; one end is
// told, of both.
func TestParts(t *testing.T) {
	dir := t.TempDir()
	// Each ends when the other one has begun.
	const wait = `read -r l; case "$l" in *a/1*) me=a you=b;; *) me=b you=a;; esac; : > $me; until [ -e $you ]; do sleep 0.01; done; `
	b := wideScript(t, "cd "+dir+"; tr '\\0' ' ' | { "+wait+`echo "$l"; [ $me = a ]; }`, nil)
	got := b.run(ipc.JobWide, two)
	if got.End != ipc.EndExited || got.Code != 1 || string(got.Tail) != "./a/1 a/2\n./b/1 b/2\n" {
		t.Errorf("%+v %q", got, got.Tail)
	}
	if got.Job != 1 || got.Wall == 0 || got.MaxRSS == 0 {
		t.Errorf("no account: %+v", got)
	}
	b.end()
	more := wideScript(t, "cat; exit 3", nil)
	if got := more.run(ipc.JobWide, "./a\x00./a/1\x00./a/2\x00./a/3\x00"); got.Code != 3 || strings.Count(string(got.Tail), "\x00") != 4 {
		t.Errorf("what cannot be cut: %+v %q", got, got.Tail)
	}
}

// A list of many pages arrives whole, and one that is not wanted is let be.
func TestPartsOfALongList(t *testing.T) {
	var list []byte
	for i := range 20000 {
		list = fmt.Appendf(list, "./dir-%05d/%s\x00", i, strings.Repeat("x", i%200))
	}
	dir := t.TempDir()
	b := wideScript(t, "f=$(mktemp "+dir+"/part.XXXXXX); cat > $f", nil)
	if got := b.run(ipc.JobWide, string(list)); got.End != ipc.EndExited || got.Code != 0 || len(got.Tail) != 0 {
		t.Fatalf("%+v %q", got, got.Tail)
	}
	names, err := filepath.Glob(dir + "/part.*")
	if err != nil || len(names) != 2 {
		t.Fatalf("%v %v", names, err)
	}
	var parts [][]byte
	for _, name := range names {
		part, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, part)
	}
	slices.SortFunc(parts, bytes.Compare)
	got := bytes.ReplaceAll(slices.Concat(parts...), []byte("./"), nil) // see cut.Feed
	if !bytes.Equal(got, bytes.ReplaceAll(list, []byte("./"), nil)) {
		t.Error("the parts are not the list")
	}

	b.end()
	deaf := wideScript(t, "exit $(cat "+dir+"/code)", nil)
	for code, want := range map[string]ipc.End{"7": ipc.EndExited, "0": ipc.EndRefused} {
		if err := os.WriteFile(dir+"/code", []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := deaf.run(ipc.JobWide, string(list)); got.End != want {
			t.Errorf("ended with %s, its list unread: %+v %q", code, got, got.Tail)
		}
	}
}

func TestPartsStop(t *testing.T) {
	for name, act := range map[string]func(b *bench, id ipc.JobID) ipc.End{
		"stop": func(b *bench, id ipc.JobID) ipc.End {
			b.in <- packet{msg: &ipc.RunStop{Job: id}}
			return ipc.EndStopped
		},
		"end":     func(b *bench, _ ipc.JobID) ipc.End { b.end(); return ipc.EndStopped },
		"timeout": func(*bench, ipc.JobID) ipc.End { return ipc.EndTimeout },
	} {
		t.Run(name, func(t *testing.T) {
			fifo := t.TempDir() + "/pids"
			must(t, syscall.Mkfifo(fifo, 0o600))
			began, err := os.OpenFile(fifo, os.O_RDWR, 0)
			must(t, err)
			defer began.Close()
			must(t, began.SetReadDeadline(time.Now().Add(20*time.Second)))
			b := wideScript(t, "echo $$ > "+fifo+"; exec sleep 1000", func(c *settings.Runner) {
				if name == "timeout" {
					c.Timeout = 2 * time.Second
				}
			})
			id := b.start(ipc.JobWide, two)
			var pids [2]int
			for i, from := 0, bufio.NewReader(began); i < len(pids); i++ {
				if _, err := fmt.Fscanln(from, &pids[i]); err != nil {
					t.Fatalf("%d parts began: %v", i, err)
				}
			}
			want := act(b, id)
			if got := b.wait(); got.End != want {
				t.Errorf("%+v, want end %d", got, want)
			}
			for _, pid := range pids {
				if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
					t.Errorf("process %d is still there: %v", pid, err)
				}
			}
		})
	}
}

// When one part cannot be started, the other has done nothing.
func TestPartsRefused(t *testing.T) {
	dir := t.TempDir()
	b := wideScript(t, "cat > "+dir+"/$$", nil)
	list := sealed(t, two, allSeals)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 100, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	var fill []int
	for {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			break
		}
		fill = append(fill, fd)
	}
	// Enough for one command, with the pipe that tells of a failed execve; it
	// keeps two.
	const enough = 7
	for _, fd := range fill[:min(enough, len(fill))] {
		if err := unix.Close(fd); err != nil {
			t.Error(err)
		}
	}
	b.next++
	b.in <- packet{msg: &ipc.RunStart{Job: b.next, Kind: ipc.JobWide}, list: list}
	got := b.wait()
	for _, fd := range fill[min(enough, len(fill)):] {
		if err := unix.Close(fd); err != nil {
			t.Error(err)
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if got.End != ipc.EndRefused || !bytes.Contains(got.Tail, []byte("too many open files")) {
		t.Errorf("%+v %q", got, got.Tail)
	}
	names, err := filepath.Glob(dir + "/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if read, err := os.ReadFile(name); err != nil || len(read) > 0 {
			t.Errorf("a part was begun: %q %v", read, err)
		}
	}
	b.end()
	again := wideScript(t, "cat >/dev/null", nil)
	if got := again.run(ipc.JobWide, two); got.End != ipc.EndExited || got.Code != 0 {
		t.Errorf("afterwards: %+v %q", got, got.Tail)
	}
}

// An entry that could be torn is left to one command.
func TestPartsOfALongName(t *testing.T) {
	long := "./a/" + strings.Repeat("x", 4096) + "\x00./a/y\x00./b/1\x00./b/2\x00"
	b := wideScript(t, "tr -d x; exit 4", nil)
	if got := b.run(ipc.JobWide, long); got.Code != 4 || string(got.Tail) != "./a/\x00./a/y\x00./b/1\x00./b/2\x00" {
		t.Errorf("%+v %q", got, got.Tail)
	}
}

package audit

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/supervise/audit/facts"
	"lockstep/supervise/audit/judge"
)

func TestParseLocks(t *testing.T) {
	text := "1: FLOCK  ADVISORY  WRITE 123 00:1b:456 0 EOF\n2: POSIX  ADVISORY  WRITE 5 00:1b:457 0 EOF\n" +
		"2: -> FLOCK  ADVISORY  WRITE 9 00:1b:457 0 EOF\n3: FLOCK  ADVISORY  READ 6 00:1b:457 0 EOF\n4: FLOCK  ADVISORY  WRITE 0 00:1b:457 0 EOF\n" +
		"5: FLOCK  ADVISORY  WRITE 123 00:1b:458 0 EOF\n6: FLOCK\n7: FLOCK ADVISORY WRITE 77 00:1b:1 0 EOF"
	if got := parseLocks(text); !slices.Equal(got, []int{123, 77}) {
		t.Errorf("%v", got)
	}
}

func FuzzLocks(f *testing.F) {
	f.Add("1: FLOCK  ADVISORY  WRITE 123 00:1b:456 0 EOF\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, pid := range parseLocks(text) {
			if pid <= 0 {
				t.Errorf("%d of %q", pid, text)
			}
		}
	})
}

// Who holds the lock of a directory with its number in it is found; a lock that is
// not held, or that says another number, is none.
func TestRuntimeDir(t *testing.T) {
	testenv.NeedRoot(t) // whose the lock must be
	d, err := facts.Open(proc, os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	dir := t.TempDir()
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	say := func(pid int) {
		if err := os.WriteFile(lock.Name(), []byte(strconv.Itoa(pid)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	say(os.Getpid())
	if got := runtimeDir(d); got != "" {
		t.Errorf("not locked: %q", got)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if got := runtimeDir(d); got != dir {
		t.Errorf("locked: %q, want %q", got, dir)
	}
	say(1)
	if got := runtimeDir(d); got != "" {
		t.Errorf("with another number: %q", got)
	}
}

func TestGroupOf(t *testing.T) {
	for path, want := range map[string]string{
		"/lockstep/mirror-12ab/helper-1-001": "mirror-12ab", "/system.slice/x.service/lockstep/mirror-1/a.worker-2-002": "mirror-1",
		"/lockstep-supervisor": "", "/": "", "/other/mirror-1/x": "", "/lockstep/try-x/y": "", "/lockstep/mirror-1": "",
	} {
		if got := groupOf(facts.Process{Groups: []facts.Group{{Path: "/"}, {Path: path}}}); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

// What deviates is another deviation when it is of another process, whose number may
// be the same.
func TestDeviationsAreOfAProcess(t *testing.T) {
	of := func(start uint64) []string {
		return deviations([]Instance{{Processes: []Process{{PID: 7, start: start, Checks: []judge.Result{{Check: "ids", Deviations: []string{"x", "y"}}}}}}})
	}
	if a, b := of(1), of(2); len(a) != 2 || slices.Equal(a, b) || !slices.Equal(a, of(1)) {
		t.Errorf("%q, %q", a, b)
	}
}

// The filters are what the tables compile to, every time.
func TestCompiledAgain(t *testing.T) {
	one, err := compiled()
	if err != nil {
		t.Fatal(err)
	}
	two, err := compiled()
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range one {
		if len(data) == 0 || string(data) != string(two[name]) {
			t.Errorf("%s: %d and %d bytes", name, len(data), len(two[name]))
		}
	}
}

func TestEqual(t *testing.T) {
	dir := t.TempDir()
	open := func(name string, data []byte) *os.File {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	big := make([]byte, 2<<20+1)
	other := slices.Clone(big)
	other[len(other)-1] = 1
	for i, c := range []struct {
		a, b []byte
		same bool
	}{{big, big, true}, {big, other, false}, {big, big[:2<<20], false}, {big[:1<<20], big[:1<<20], true}, {nil, nil, true}, {nil, big, false}} {
		same, err := equal(open("a"+strconv.Itoa(i), c.a), open("b"+strconv.Itoa(i), c.b))
		if err != nil || same != c.same {
			t.Errorf("%d: %v, %v", i, same, err)
		}
	}
}

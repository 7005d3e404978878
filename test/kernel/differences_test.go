package kernel

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// act is one change. Dir is the watched directory with the files act-file and
// act-open (which is open as the file given), other one beside it on the same
// file system, where act-link is another name of act-file.
type act struct {
	name string
	do   func(dir, other string, open *os.File)
	// want is what each tells: inotify, fanotify, dnotify, poll; "" is a miss.
	want [4]string
}

func acts() []act {
	return []act{
		{"write", func(dir, _ string, _ *os.File) { check(os.WriteFile(dir+"/act-file", []byte("x"), 0)) },
			[4]string{"CLOSE_WRITE MODIFY", "act-file:MODIFY|CLOSE_WRITE", "changed", "differs"}},
		{"write, file stays open", func(_, _ string, f *os.File) { _, err := f.Write([]byte("x")); check(err) },
			[4]string{"MODIFY", "act-open:MODIFY", "changed", "differs"}},
		{"store into a shared mapping", func(_, _ string, f *os.File) { store(f) },
			[4]string{"", "", "", "differs"}},
		{"fallocate", func(_, _ string, f *os.File) { check(unix.Fallocate(int(f.Fd()), 0, 0, 9000)) },
			[4]string{"MODIFY", "act-open:MODIFY", "changed", "differs"}},
		{"copy_file_range", func(dir, _ string, f *os.File) {
			in, err := os.Open(dir + "/act-file")
			check(err)
			_, err = unix.CopyFileRange(int(in.Fd()), nil, int(f.Fd()), nil, 1, 0)
			check(err, in.Close())
		}, [4]string{"MODIFY", "act-open:MODIFY", "changed", "differs"}},
		{"write through another name, elsewhere", func(_, other string, _ *os.File) {
			check(os.WriteFile(other+"/act-link", []byte("more"), 0))
		}, [4]string{"", "act-link:MODIFY|CLOSE_WRITE", "", "differs"}},
		{"chmod through another name, elsewhere", func(_, other string, _ *os.File) { check(os.Chmod(other+"/act-link", 0o640)) },
			[4]string{"", "act-link:ATTRIB", "", "differs"}},
		{"unlink another name, elsewhere", func(_, other string, _ *os.File) { check(os.Remove(other + "/act-link")) },
			[4]string{"", "act-link:DELETE", "", "differs"}},
		{"rename within", func(dir, _ string, _ *os.File) { check(os.Rename(dir+"/act-file", dir+"/act-new")) },
			[4]string{"MOVED_FROM MOVED_TO", "act-file:MOVED_FROM act-new:MOVED_TO", "changed", "gone new"}},
		{"read", func(dir, _ string, _ *os.File) { _, err := os.ReadFile(dir + "/act-file"); check(err) },
			[4]string{}},
		{"make and remove", func(dir, _ string, _ *os.File) {
			check(os.WriteFile(dir+"/act-short", nil, 0o644), os.Remove(dir+"/act-short"))
		}, [4]string{"CLOSE_WRITE CREATE DELETE", "act-short:CLOSE_WRITE|CREATE|DELETE", "changed", ""}},
		{"the directory itself is removed", func(dir, _ string, _ *os.File) {
			check(os.Remove(dir))
		}, [4]string{"DELETE_SELF IGNORED", "act-dir:DELETE", "", "gone"}},
	}
}

func store(f *os.File) {
	m, err := unix.Mmap(int(f.Fd()), 0, 1, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	check(err)
	m[0]++
	check(unix.Msync(m, unix.MS_SYNC), unix.Munmap(m))
}

// try does a on fresh directories below top, once for each interface: that one
// holds a directory open changes what another one tells.
func (a act) try(top string) (got [4]string) {
	for i, watch := range interfaces() {
		dir, other := top+"/act-dir", top+"/act-other"
		check(os.Mkdir(dir, 0o755), os.Mkdir(other, 0o755))
		var open *os.File
		if !strings.HasPrefix(a.name, "the directory") {
			check(os.WriteFile(dir+"/act-file", []byte("one"), 0o644), os.WriteFile(dir+"/act-open", []byte("two"), 0o644),
				os.Link(dir+"/act-file", other+"/act-link"))
			var err error
			open, err = os.OpenFile(dir+"/act-open", os.O_RDWR, 0)
			check(err)
		}
		time.Sleep(10 * time.Millisecond) // times of the next change differ
		w := watch(dir)
		a.do(dir, other, open)
		got[i] = w.seen("act-")
		w.close()
		if open != nil {
			check(open.Close())
		}
		check(os.RemoveAll(dir), os.RemoveAll(other))
	}
	return got
}

func interfaces() [4]func(dir string) watcher {
	return [4]func(string) watcher{newInotify, newFanotify, newDnotify, newPoll}
}

// row prints one line of a table.
func row(what string, got [4]string) string {
	for i := range got {
		if got[i] == "" {
			got[i] = "-"
		}
	}
	return fmt.Sprintf("%-38s %-26s %-37s %-8s %s", what, got[0], got[1], got[2], got[3])
}

// TestDifferences: which interface tells of which change.
func TestDifferences(t *testing.T) {
	on := map[string]string{"ext4 or what TMPDIR is on": t.TempDir(), "tmpfs": t.TempDir()}
	own(t, func() {
		check(unix.Mount("none", on["tmpfs"], "tmpfs", 0, ""))
		for fs, top := range on {
			lines := []string{"on " + fs + ":", row("", [4]string{"inotify", "fanotify", "dnotify", "poll"})}
			for _, a := range acts() {
				got := a.try(top)
				lines = append(lines, row(a.name, got))
				want := a.want
				if fs == "tmpfs" && strings.HasPrefix(a.name, "store") {
					want[3] = "" // no write-back, so that its times stand still
				}
				if got != want {
					t.Errorf("%s on %s: %q, want %q", a.name, fs, got, want)
				}
			}
			t.Log(strings.Join(lines, "\n"))
		}
	})
}

// TestBehindAnOverlay: what happens in a lower layer, behind the file system's
// back, stands for all that another host does on a network's.
func TestBehindAnOverlay(t *testing.T) {
	top := t.TempDir()
	own(t, func() {
		check(unix.Mount("none", top, "tmpfs", 0, ""))
		for _, d := range []string{"lower", "upper", "work", "merged"} {
			check(os.Mkdir(filepath.Join(top, d), 0o755))
		}
		check(os.WriteFile(top+"/lower/act-file", []byte("one"), 0o644))
		check(unix.Mount("none", top+"/merged", "overlay", 0, fmt.Sprintf("nfs_export=on,index=on,lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", top)))
		var got [4]string
		var watchers []watcher
		for _, watch := range interfaces() {
			watchers = append(watchers, watch(top+"/merged"))
		}
		check(os.WriteFile(top+"/lower/act-file", []byte("changed"), 0o644))
		for i, w := range watchers {
			got[i] = w.seen("act-")
			w.close()
		}
		t.Log(row("write in the lower layer", got))
		if want := [4]string{"", "", "", "differs"}; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

// TestQueues: what each tells when nobody reads for a while.
func TestQueues(t *testing.T) {
	top := t.TempDir()
	own(t, func() {
		check(unix.Mount("none", top, "tmpfs", 0, ""))
		// The thread's own limit of signals is the process's: put it back.
		var limit unix.Rlimit
		check(unix.Getrlimit(unix.RLIMIT_SIGPENDING, &limit))
		check(unix.Setrlimit(unix.RLIMIT_SIGPENDING, &unix.Rlimit{Cur: 1000, Max: limit.Max}))
		defer func() { check(unix.Setrlimit(unix.RLIMIT_SIGPENDING, &limit)) }()
		dir := top + "/act-dir"
		check(os.Mkdir(dir, 0o755))
		var watchers []watcher
		for _, watch := range interfaces() {
			watchers = append(watchers, watch(dir))
		}
		for i := range 20_000 {
			check(os.WriteFile(fmt.Sprintf("%s/act-%d", dir, i), nil, 0o644))
		}
		for i, word := range []string{"Q_OVERFLOW", "Q_OVERFLOW", "SIGIO", "new"} {
			got := watchers[i].seen("act-")
			t.Logf("%T after 20,000 new files that nobody read of: overflow told: %v", watchers[i], strings.Contains(got, word))
			if !strings.Contains(got, word) {
				t.Errorf("%T does not tell %s", watchers[i], word)
			}
			watchers[i].close()
		}
	})
}

// TestClock: how often a second change of equal size, right after a look at the
// first, leaves all that a comparison sees as it was.
func TestClock(t *testing.T) {
	on := map[string]string{"TMPDIR": t.TempDir(), "tmpfs": t.TempDir(), "ramfs": t.TempDir()}
	own(t, func() {
		check(unix.Mount("none", on["tmpfs"], "tmpfs", 0, ""), unix.Mount("none", on["ramfs"], "ramfs", 0, ""))
		for fs, top := range on {
			const tries = 200
			missed := 0
			file := top + "/act-file"
			check(os.WriteFile(file, []byte("a"), 0o644))
			w := newPoll(top)
			for i := range tries {
				check(os.WriteFile(file, []byte{byte('a' + i%26)}, 0o644))
				if w.seen("") == "" {
					missed++
				}
			}
			t.Logf("%s: %d of %d changes at once after a look are not seen", fs, missed, tries)
			if fs == "tmpfs" && missed > 0 {
				t.Errorf("%d missed on tmpfs, whose times are multigrain since 6.13", missed)
			}
		}
	})
}

// TestMapping: times are set when a page of a mapping becomes dirty, so that
// what is stored into it later is seen by nobody, not even when it is written
// back.
func TestMapping(t *testing.T) {
	top := t.TempDir() // on a disk's file system; tmpfs sets no times at all
	file := top + "/act-file"
	err := os.WriteFile(file, []byte("one"), 0o644)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := unix.Mmap(int(f.Fd()), 0, 1, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Munmap(m); err != nil {
			t.Error(err)
		}
	}()
	time.Sleep(20 * time.Millisecond)
	w := newPoll(top)
	for _, c := range []struct {
		what string
		do   func() error
	}{
		{"first store", func() error { m[0]++; return nil }},
		{"store into the same page", func() error { m[0]++; return nil }},
		{"written back", func() error { return unix.Msync(m, unix.MS_SYNC) }},
		{"store after that", func() error { m[0]++; return nil }},
	} {
		if err := c.do(); err != nil {
			t.Fatal(err)
		}
		t.Logf("%-26s a comparison sees: %q", c.what, w.seen(""))
	}
}

package privileged

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/ipc"
)

// TestSince: what has changed since a time is listed, although not everything is.
func TestSince(t *testing.T) {
	r := newRig(t)
	must(t, os.Mkdir(filepath.Join(r.dir, "dir"), 0o700))
	changed := func(name string) uint64 {
		var st unix.Stat_t
		must(t, unix.Lstat(filepath.Join(r.dir, name), &st))
		return uint64(st.Ctim.Nano())
	}
	must(t, os.WriteFile(filepath.Join(r.dir, "old"), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(r.dir, "new"), nil, 0o600))
	for changed("new") == changed("old") { // until the clock has gone on: nobody can set a ctime
		must(t, os.Chmod(filepath.Join(r.dir, "new"), 0o600))
	}
	// Neither is what a change of the data alone would tell.
	must(t, os.Chtimes(filepath.Join(r.dir, "new"), time.Unix(1, 0), time.Unix(1, 0)))
	r.connect()
	r.hello()
	for _, c := range []struct {
		since uint64
		want  string
	}{
		{0, "dir"},
		{1, "dir new old"},
		{changed("old"), "dir new old"},
		{changed("old") + 1, "dir new"},
		{changed("new"), "dir new"},
		{changed("new") + 1, "dir"},
	} {
		d := r.watch(ipc.Watch{Since: c.since, Rels: []string{"", "dir"}})
		if got := names(d[0]); got != c.want {
			t.Errorf("since %d: %s, want %s", c.since, got, c.want)
		}
		for i, rel := range []string{"", "dir"} {
			if want := changed(rel); c.since > 0 && d[i].Ctime != want || c.since == 0 && d[i].Ctime != 0 {
				t.Errorf("since %d: %q changed at %d, want %d", c.since, rel, d[i].Ctime, want)
			}
		}
		for _, e := range d[0].Entries {
			if e.Kind == ipc.KindFile && e.Ctime != changed(e.Name) {
				t.Errorf("since %d: %+v, want %d", c.since, e, changed(e.Name))
			}
		}
	}
}

// What is compared with an earlier listing: of files always, of directories when
// all is asked for without a watch. Each change of mode, owner or time of
// modification shows, of whatever is listed.
func TestStampsTellOfEachChange(t *testing.T) {
	r := newRig(t, func(*ipc.HelperConfig) {})
	for _, name := range []string{"file", "dir2"} {
		at := filepath.Join(r.dir, name)
		if name == "file" {
			must(t, os.WriteFile(at, nil, 0o600))
		} else {
			must(t, os.Mkdir(at, 0o700))
		}
	}
	r.connect()
	r.hello()
	of := func(name string) ipc.Entry {
		for _, e := range r.watch(ipc.Watch{All: true, Rels: []string{""}})[0].Entries {
			if e.Name == name {
				return e
			}
		}
		t.Fatalf("%s is not listed", name)
		return ipc.Entry{}
	}
	for _, name := range []string{"file", "dir2"} {
		at := filepath.Join(r.dir, name)
		seen := map[uint64]int{of(name).Stamp: -1}
		for i, change := range []func() error{
			func() error { return os.Chmod(at, 0o711) },
			func() error { return os.Chown(at, 1, 0) },
			func() error { return os.Chown(at, 1, 1) },
			func() error { return os.Chtimes(at, time.Unix(1, 0), time.Unix(1, 1)) },
			func() error { return os.Chtimes(at, time.Unix(1, 0), time.Unix(2, 1)) },
		} {
			must(t, change())
			e := of(name)
			if before, known := seen[e.Stamp]; known {
				t.Errorf("%s: after change %d the stamp is that of %d", name, i, before)
			}
			seen[e.Stamp] = i
			if e.Ino == 0 || e.Ctime == 0 {
				t.Errorf("%+v", e)
			}
		}
	}
}

func TestMountsInside(t *testing.T) {
	for _, cross := range []bool{false, true} {
		t.Run(fmt.Sprint("cross=", cross), func(t *testing.T) {
			r := newRig(t, func(c *ipc.HelperConfig) { c.Roots[0].CrossMounts = cross })
			at := filepath.Join(r.dir, "mnt")
			must(t, os.Mkdir(at, 0o700))
			must(t, unix.Mount("tmpfs", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=64k"))
			t.Cleanup(func() { must(t, unix.Unmount(at, unix.MNT_DETACH)) })
			must(t, os.WriteFile(filepath.Join(at, "inner"), nil, 0o600))
			file := filepath.Join(r.dir, "file")
			must(t, os.WriteFile(file, nil, 0o600))
			must(t, unix.Mount(filepath.Join(at, "inner"), file, "", unix.MS_BIND, ""))
			t.Cleanup(func() { must(t, unix.Unmount(file, unix.MNT_DETACH)) })
			r.connect()
			r.hello()
			d := r.watch(ipc.Watch{All: true, Watch: true, Rels: []string{"", "mnt", "mnt/none"}})
			s := r.stat("mnt", "mnt/inner")
			if cross {
				if names(d[0]) != "file mnt" || names(d[1]) != "inner" || s[0].Kind != ipc.KindDir || s[1].Kind != ipc.KindFile {
					t.Errorf("%+v %+v", d, s)
				}
				return
			}
			exdev := ipc.Status(unix.EXDEV)
			if names(d[0]) != "mnt" || d[1].Status != exdev || d[1].WD != -1 || d[2].Status != exdev || s[0].Status != exdev || s[1].Status != exdev {
				t.Errorf("%+v %+v", d, s)
			}
		})
	}
}

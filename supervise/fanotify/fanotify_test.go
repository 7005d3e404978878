package fanotify

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
)

func TestOpen(t *testing.T) {
	testenv.NeedRoot(t)
	dir := t.TempDir()
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		t.Fatal(err)
	}
	f, err := Open(Tree{Path: dir, Dev: st.Dev, Ino: st.Ino})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.WriteFile(dir+"/f", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64<<10)
	if n, err := f.Read(buf); err != nil || n == 0 {
		t.Errorf("%d bytes, %v", n, err)
	}
	if _, err := Open(Tree{Path: dir, Dev: st.Dev, Ino: st.Ino + 1}); err == nil {
		t.Error("another directory than the one that was meant is marked")
	}
	link := dir + "/link"
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, dir + "/f", dir + "/none"} {
		if err := Probe(path); err == nil {
			t.Errorf("%s can be watched", path)
		}
	}
}

// A mark is on a whole file system, of which a subvolume is not one; the file
// system that holds it can be marked.
func TestProbeSubvolume(t *testing.T) {
	dir := testenv.LoopFS(t, "btrfs")
	if out, err := exec.Command(testenv.NeedTool(t, "btrfs"), "subvolume", "create", dir+"/sub").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := Probe(dir); err != nil {
		t.Error(err)
	}
	if err := Probe(dir + "/sub"); !errors.Is(err, unix.EXDEV) || !strings.Contains(err.Error(), "a subvolume") {
		t.Error(err)
	}
}

// What a file system refuses is told by its reason, and nothing of it stays.
func TestProbe(t *testing.T) {
	testenv.NeedRoot(t)
	for name, c := range map[string]struct {
		fs, options string
		want        error // nil: it works
	}{
		"tmpfs":             {"tmpfs", "", nil},
		"overlay":           {"overlay", "", unix.EOPNOTSUPP},
		"exporting overlay": {"overlay", ",nfs_export=on,index=on", nil},
		"proc":              {"proc", "", unix.EOPNOTSUPP},
	} {
		t.Run(name, func(t *testing.T) {
			base, at := t.TempDir(), filepath.Join(t.TempDir(), "at")
			// An overlay on a file system that is one itself could not export.
			if err := unix.Mount("none", base, "tmpfs", 0, ""); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = unix.Unmount(base, 0) })
			for _, d := range []string{base + "/l", base + "/u", base + "/w", at} {
				if err := os.Mkdir(d, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			options := ""
			if c.fs == "overlay" {
				options = "lowerdir=" + base + "/l,upperdir=" + base + "/u,workdir=" + base + "/w" + c.options
			}
			if err := unix.Mount("none", at, c.fs, 0, options); err != nil {
				testenv.Lacks(t, "cannot mount "+c.fs+options+": "+err.Error())
			}
			t.Cleanup(func() {
				if err := unix.Unmount(at, 0); err != nil {
					t.Errorf("something is left of the mark: %v", err)
				}
			})
			err := Probe(at)
			if !errors.Is(err, c.want) || c.want != nil && !strings.Contains(err.Error(), ": the file system") {
				t.Errorf("%v, want %v", err, c.want)
			}
			t.Logf("%v", err)
		})
	}
}

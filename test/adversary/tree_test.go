package adversary

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/supervise/jail"
)

// tree is a root, and beside it, on the same file system, what nobody must reach
// by it: no boundary between file systems helps the helper.
type tree struct {
	top     string // the file system
	root    string
	outside string
	transit string // directories of the root are moved here and back
	foreign map[uint64]string
	paths   []string // below the root, of all kinds, when nothing moves
	dirs    []string
}

func newTree(t *testing.T) *tree {
	t.Helper()
	top, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	must(t, unix.Mount("adversary", top, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=64m,mode=0700"))
	t.Cleanup(func() {
		if err := unix.Unmount(top, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	r := &tree{top: top, root: top + "/root", outside: top + "/outside", transit: top + "/transit", foreign: map[uint64]string{}}
	must(t, os.Mkdir(r.transit, 0o700))
	fill(t, r.outside)
	fill(t, r.root)
	r.lures(t)
	for _, top := range []string{"/", "/etc", "/etc/passwd", "/proc", "/sys", r.top, r.transit} {
		r.forbid(t, top)
	}
	must(t, filepath.WalkDir(r.outside, func(path string, _ fs.DirEntry, err error) error {
		r.forbid(t, path)
		return err
	}))
	inside := map[uint64]bool{}
	must(t, filepath.WalkDir(r.root, func(path string, d fs.DirEntry, err error) error {
		must(t, err)
		rel := strings.TrimPrefix(strings.TrimPrefix(path, r.root), "/")
		r.paths = append(r.paths, rel)
		if d.IsDir() {
			r.dirs = append(r.dirs, rel)
		}
		if rel == "mount" { // that is outside
			return fs.SkipDir
		}
		inside[inode(t, path)] = true
		return nil
	}))
	// Inodes of other file systems, by whose number something in the root goes, prove nothing.
	for ino := range r.foreign {
		if inside[ino] {
			delete(r.foreign, ino)
		}
	}
	for _, path := range []string{r.outside, r.outside + "/swap", r.outside + "/swap/file", r.outside + "/secret"} {
		if r.foreign[inode(t, path)] == "" {
			t.Fatalf("%s cannot be told from what is inside", path)
		}
	}
	return r
}

// fill makes the same names inside and outside, so that a look-up that leaves the
// root finds something.
func fill(t *testing.T, dir string) {
	t.Helper()
	for _, d := range []string{"", "swap", "swap/sub", "swap/sub/deep", "dir", "dir/sub", "dir/sub/deep", "empty", "many", "moved", "moved/sub", "mount"} {
		must(t, os.Mkdir(filepath.Join(dir, d), 0o700))
	}
	for _, f := range []string{"file", "secret", "swap/file", "swap/secret", "swap/sub/file", "swap/sub/deep/file", "dir/file", "dir/sub/file", "moved/file", "moved/sub/file",
		"-rf", "new\nline", "\x1b[31m", "\xff\xfe", " ", "...", "*", strings.Repeat("n", 255)} {
		must(t, os.WriteFile(filepath.Join(dir, f), []byte(dir), 0o600))
	}
	for i := range 900 {
		must(t, os.WriteFile(fmt.Sprintf("%s/many/%d-%s", dir, i, strings.Repeat("x", 60)), nil, 0o600))
	}
	long := dir
	for range 8 {
		long += "/" + strings.Repeat("d", 200)
		must(t, os.Mkdir(long, 0o700))
	}
	must(t, unix.Mkfifo(dir+"/fifo", 0o600))
	must(t, unix.Mknod(dir+"/socket", unix.S_IFSOCK|0o600, 0))
	must(t, unix.Mknod(dir+"/null", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	must(t, os.Link(dir+"/file", dir+"/dir/twice"))
}

// lures are ways out of the root.
func (r *tree) lures(t *testing.T) {
	t.Helper()
	for name, to := range map[string]string{
		"link": r.outside, "relative": "../outside", "dir/relative": "../../outside", "up": "..", "dir/up": "../..", "slash": "/", "loop": "loop",
		"magic": "/proc/self/root", "cwd": "/proc/self/cwd", "secret-link": r.outside + "/secret", "etc": "/etc", "swap-link": "../outside/swap", "inner": "dir",
	} {
		must(t, os.Symlink(to, filepath.Join(r.root, name)))
	}
	// A mount of what is outside, inside the root.
	must(t, unix.Mount(r.outside, r.root+"/mount", "", unix.MS_BIND, ""))
	t.Cleanup(func() {
		if err := unix.Unmount(r.root+"/mount", unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// forbid: no answer may be about this.
func (r *tree) forbid(t *testing.T, path string) {
	t.Helper()
	r.foreign[inode(t, path)] = path
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Lstat(path, &st))
	return st.Ino
}

// jail is the root as the supervisor gives it to a jail.
func (r *tree) jail(t *testing.T) jail.Tree {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Lstat(r.root, &st))
	return jail.Tree{Host: r.root, Path: r.root, Dev: st.Dev, Ino: st.Ino}
}

// swap exchanges a directory of the root with a link that leads out of it, and the
// next time back; or moves one out of the root, and back.
func (r *tree) swap(which int) error {
	exchange := func(a, b string) error {
		return unix.Renameat2(unix.AT_FDCWD, r.root+"/"+a, unix.AT_FDCWD, r.root+"/"+b, unix.RENAME_EXCHANGE)
	}
	switch which {
	case 0:
		return exchange("dir/sub", "dir/relative")
	case 1:
		err := os.Rename(r.root+"/moved", r.transit+"/moved")
		if os.IsNotExist(err) {
			err = os.Rename(r.transit+"/moved", r.root+"/moved")
		}
		return err
	}
	return exchange("swap", "swap-link")
}

// churn swaps without a pause, until stop is called.
func (r *tree) churn(t *testing.T) (stop func() (swaps int)) {
	done := make(chan struct{})
	swaps := 0
	var all sync.WaitGroup
	all.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if err := r.swap(swaps % 8); err != nil {
				t.Errorf("churn: %v", err)
				return
			}
			swaps++
		}
	})
	end := sync.OnceFunc(func() {
		close(done)
		all.Wait()
	})
	t.Cleanup(end)
	return func() int {
		end()
		return swaps
	}
}

// watchedBy are the inodes that an inotify instance of this process's watches, by
// the kernel's own account.
func watchedBy(inotify int) []uint64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", inotify)) // it is there as long as the descriptor is
	var all []uint64
	for line := range strings.Lines(string(text)) {
		var wd int
		var ino uint64
		if n, _ := fmt.Sscanf(line, "inotify wd:%x ino:%x", &wd, &ino); n == 2 {
			all = append(all, ino)
		}
	}
	return all
}

// noneWatched: no watch of the helper's is on anything outside.
func (h *helper) noneWatched() int {
	h.t.Helper()
	all := watchedBy(h.inotify)
	for _, ino := range all {
		if path := h.tree.foreign[ino]; path != "" {
			h.t.Errorf("a watch outside the root, on %s", path)
		}
	}
	return len(all)
}

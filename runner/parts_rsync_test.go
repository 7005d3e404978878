package runner

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/rsync"
	"lockstep/runner/cut"
	"lockstep/runner/fold"
	"lockstep/test/compare"
)

// forest is a source that is changed at random.
type forest struct {
	t   *testing.T
	r   *rand.Rand
	src string
}

func (f *forest) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// name has bytes that sort on both sides of the slash.
func (f *forest) name() string {
	return fmt.Sprintf("%c%c", "ab-\n~"[f.r.IntN(5)], "cd .\xff"[f.r.IntN(5)])
}

func (f *forest) write(path string) {
	f.must(os.WriteFile(path, fmt.Appendf(nil, "%d", f.r.Uint64()), 0o600|fs.FileMode(f.r.IntN(0o200))))
}

// grow makes up to n entries below dir.
func (f *forest) grow(dir string, n, depth int) {
	for range n {
		path := dir + "/" + f.name()
		if _, err := os.Lstat(path); err == nil {
			continue
		}
		switch k := f.r.IntN(10); {
		case k < 3 && depth > 0:
			f.must(os.Mkdir(path, 0o700|fs.FileMode(f.r.IntN(0o100))))
			f.grow(path, n, depth-1)
		case k == 9:
			f.must(os.Symlink("to "+f.name(), path))
		default:
			f.write(path)
		}
	}
}

// change does one thing to one in so many of what there is.
func (f *forest) change() {
	var paths []string
	f.must(filepath.WalkDir(f.src, func(path string, _ fs.DirEntry, err error) error {
		if path != f.src {
			paths = append(paths, path)
		}
		return err
	}))
	for _, path := range paths {
		st, err := os.Lstat(path)
		if err != nil || f.r.IntN(3) > 0 {
			continue // it went with a directory
		}
		switch f.r.IntN(8) {
		case 0:
			if st.IsDir() && f.r.IntN(3) > 0 {
				continue
			}
			f.must(os.RemoveAll(path))
			if f.r.IntN(3) == 0 {
				f.write(path)
			}
		case 1:
			if !st.IsDir() && f.r.IntN(4) == 0 {
				f.must(os.Remove(path))
				f.must(os.Mkdir(path, 0o711))
				f.grow(path, 3+f.r.IntN(30), 1)
			}
		case 2:
			ts := unix.NsecToTimespec(f.r.Int64N(2e18))
			f.must(unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
		case 3:
			if st.Mode()&fs.ModeSymlink == 0 {
				f.must(os.Chmod(path, 0o700|fs.FileMode(f.r.IntN(0o100))))
			}
		default:
			if st.IsDir() {
				f.grow(path, 2, 1)
			} else if st.Mode().IsRegular() {
				f.write(path)
			}
		}
	}
}

// list is what has changed between two snapshots, as the worker's plan would
// list it. Directories whose times alone differ, because of what was made in
// them, are listed in part: an rsync sets them of every directory that it passes.
func (f *forest) list(before, after compare.Tree) []byte {
	listed := map[string]bool{}
	for rel, was := range before {
		if _, there := after[rel]; there || rel == "." {
			continue
		}
		above := filepath.Dir(rel)
		if x, there := after[above]; there && x.Kind == unix.S_IFDIR && was.Kind != 0 {
			listed[rel] = true
			listed[above] = true
		}
	}
	for rel, is := range after {
		was, there := before[rel]
		was.Mtime = is.Mtime
		timesAlone := there && was == is && is.Kind == unix.S_IFDIR
		if x := before[rel]; rel != "." && (!there || x != is) && !(timesAlone && f.newBelow(rel, before, after) && f.r.IntN(2) == 0) {
			listed[rel] = true
		}
	}
	delete(listed, ".")
	var entries []string
	for rel := range listed {
		entries = append(entries, "./"+rel)
	}
	slices.Sort(entries)
	return []byte(strings.Join(entries, "\x00") + "\x00")
}

// newBelow says that something right below the directory is new, and so listed.
func (f *forest) newBelow(dir string, before, after compare.Tree) bool {
	for rel := range after {
		if _, there := before[rel]; !there && filepath.Dir(rel) == dir {
			return true
		}
	}
	return false
}

func tree(t *testing.T, root string) compare.Tree {
	t.Helper()
	got, err := compare.Read(root, compare.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestPartsRsync: two rsyncs side by side on a list and one on all of it make
// the same of a target, which is what the source is, with all times; so they do
// where a directory stands for all that is in it.
func TestPartsRsync(t *testing.T) {
	program, rounds, divided, folded := testenv.NeedTool(t, "rsync"), 6, 0, 0
	switch {
	case os.Getenv("LOCKSTEP_SCALE") == "full":
		rounds = 200
	case testing.Short(), testenv.Small():
		rounds = 3
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for round := range rounds {
		dir := t.TempDir()
		f := &forest{t, rand.New(rand.NewPCG(seed, uint64(round))), dir + "/src"}
		f.must(os.Mkdir(f.src, 0o755))
		f.grow(f.src, 14, 3)
		before := tree(t, f.src)
		ways := []way{{"one", 1, false}, {"two", 2, false}, {"one-folded", 1, true}, {"two-folded", 2, true}}
		for _, w := range ways {
			runRsync(t, program, rsync.Options{Source: f.src, Target: dir + "/" + w.name}, way{split: 1}, ipc.JobInitial, "")
		}
		f.change()
		after := tree(t, f.src)
		list := f.list(before, after)
		divided += len(cut.List(list, 2)) - 1
		if f.folds(list) {
			folded++
		}
		for _, w := range ways {
			dst := dir + "/" + w.name
			runRsync(t, program, rsync.Options{Source: f.src, Target: dst}, w, ipc.JobWide, string(list))
			if diff := compare.Diff(after, tree(t, dst), 10); len(diff) > 0 {
				t.Fatalf("round %d, %s: %d entries listed, %d in the source; the target differs:\n%s",
					round, w.name, strings.Count(string(list), "\x00"), len(after), strings.Join(diff, "\n"))
			}
		}
	}
	t.Logf("of %d lists %d were divided, %d folded", rounds, divided, folded)
	if divided == 0 || folded == 0 {
		t.Error("no list was divided, or none was folded")
	}
}

// way is how a list is handed to rsync.
type way struct {
	name  string
	split uint32
	fold  bool
}

// folds says that a directory can stand for what is in it.
func (f *forest) folds(list []byte) bool {
	tree, err := fold.Open(f.src)
	f.must(err)
	defer func() { f.must(tree.Close()) }()
	return len(tree.List(list)) < len(list)
}

func runRsync(t *testing.T, program string, o rsync.Options, w way, kind ipc.JobKind, list string) {
	t.Helper()
	cfg := settings.Runner{Program: program, Source: o.Source, Split: w.split, Fold: w.fold, Env: []string{"LC_ALL=C"}, Timeout: time.Minute, Grace: time.Second}
	var st unix.Stat_t
	if err := unix.Stat(program, &st); err != nil {
		t.Fatal(err)
	}
	cfg.ProgDev, cfg.ProgIno, cfg.Argv[kind] = st.Dev, st.Ino, rsync.Argv(kind, o)
	b := serve(t, cfg)
	defer b.end()
	if got := b.run(kind, list); got.End != ipc.EndExited || got.Code != 0 || len(got.Tail) > 0 {
		t.Fatalf("%+v: %+v %s", w, got, got.Tail)
	}
}

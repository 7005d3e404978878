package runner

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/rsync"
	"lockstep/runner/survey"
	"lockstep/test/compare"
)

// TestNarrowedPassIsWhole has two equal targets brought in step with one source:
// by a whole pass, and by one before which the trees were compared. Both must
// come out the same to the nanosecond, and neither deletes more than the bound,
// which is their --max-delete.
func TestNarrowedPassIsWhole(t *testing.T) {
	testenv.NeedRoot(t)
	testenv.NeedTool(t, "rsync")
	usual := uint64(25)
	if testenv.Small() {
		usual = 10
	}
	trees := int(testenv.Number(t, "LOCKSTEP_TREES", usual))
	ways := map[string]int{}
	for i := range trees {
		seed := testenv.Number(t, "LOCKSTEP_SEED", rand.Uint64())
		t.Run(fmt.Sprintf("%d seed %#x", i, seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			w := trio{T: t, r: r, src: t.TempDir() + "/s", dst: t.TempDir() + "/d", other: t.TempDir() + "/d"}
			w.still = i%8 == 0
			w.fill()
			way := w.check()
			if ways[way]++; w.still && way != "same" {
				t.Errorf("%s: two equal trees of files, links and directories are not the same", way)
			}
		})
	}
	t.Logf("%d trees: %v", trees, ways)
	if trees >= 20 && ways["narrowed"] < trees/5 {
		t.Errorf("%v: too few were narrowed", ways)
	}
}

// trio is a source and two targets.
type trio struct {
	*testing.T
	r               *rand.Rand
	src, dst, other string
	rules           []string
	excludes        []string
	still           bool // in step, and nothing in it that is never the same
}

func (w *trio) name() string {
	names := []string{"a", "b", "ab", "a*", "*", "?", "[a]", "[", "\\", "a\\", "a\\*", "-a", " ", "a ", "#a", "!", "\n", "a\nb",
		"\xff", "ä", "...", ".a", "H ", "- ", "+ ", "**", "***", strings.Repeat("n", 255), "\x01", "c", "d", "e", "f"}
	return names[w.r.IntN(len(names))]
}

// fill makes a source, a target in step with it, and then some changes.
func (w *trio) fill() {
	must(w.T, os.Mkdir(w.src, 0o755))
	for range 100 + w.r.IntN(150) {
		w.create(w.some(w.src, true))
	}
	w.copy(w.src, w.dst)
	if w.still {
		w.copy(w.dst, w.other)
		w.equal(unix.Timespec{Sec: 1 << 60})
		return
	}
	changes := []int{0, 1, 2, 3, 5, 12, 60}[w.r.IntN(7)]
	for range changes {
		root := w.src
		if w.r.IntN(3) == 0 {
			root = w.dst
		}
		w.change(root)
	}
	for range []int{0, 0, 1, 6}[w.r.IntN(4)] {
		w.rule()
	}
	if w.r.IntN(4) == 0 {
		w.excludes = rsync.Exact([]string{"*b", "/a/", "!c", "**/.a"}[:1+w.r.IntN(4)])
	}
	w.copy(w.dst, w.other)
	w.equal(unix.Timespec{Sec: 1 << 60})
}

func (w *trio) copy(from, to string) {
	w.Helper()
	if out, err := exec.Command("cp", "-a", "--", from, to).CombinedOutput(); err != nil {
		w.Fatalf("cp: %v %s", err, out)
	}
}

// some is a path of the tree; of a directory, if dir.
func (w *trio) some(root string, dir bool) string {
	var found []string
	must(w.T, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if !dir || d.IsDir() {
			found = append(found, path)
		}
		return err
	}))
	return found[w.r.IntN(len(found))]
}

// create makes an entry in a directory; what is there stays.
func (w *trio) create(dir string) {
	path := filepath.Join(dir, w.name())
	if _, err := os.Lstat(path); err == nil || strings.Count(path, "/") > 12 || len(path) > 3000 {
		return
	}
	switch n := w.r.IntN(100); {
	case n < 50:
		must(w.T, os.Mkdir(path, 0o755))
	case n < 53:
		must(w.T, os.Symlink([]string{".", "/", "none", "a"}[w.r.IntN(4)], path))
	case n < 95 || w.still:
		must(w.T, os.WriteFile(path, []byte("x"+strconv.Itoa(w.r.IntN(1000))), 0o644))
	case n < 97:
		must(w.T, unix.Mkfifo(path, 0o600))
	default:
		if old := w.some(w.src, false); isFile(old) && strings.HasPrefix(path, w.src) {
			must(w.T, os.Link(old, path))
		}
	}
}

func isFile(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().IsRegular()
}

// change changes something; the trees are far from any limit of the kernel's,
// so that every failure is one of the test.
func (w *trio) change(root string) {
	path := w.some(root, false)
	info, err := os.Lstat(path)
	must(w.T, err)
	switch w.r.IntN(12) {
	case 0, 1:
		w.create(w.some(root, true))
	case 2:
		w.nudge(path)
	case 3:
		if path != root {
			must(w.T, os.RemoveAll(path))
		}
	case 4:
		must(w.T, os.Lchown(path, w.r.IntN(3), w.r.IntN(3)))
	case 5:
		if info.Mode()&fs.ModeSymlink == 0 {
			must(w.T, os.Chmod(path, []fs.FileMode{0o700, 0o755, 0o644, 0o4755}[w.r.IntN(4)]))
		}
	case 6: // the same size and time: not to be found
		if isFile(path) {
			must(w.T, os.WriteFile(path, []byte(strings.Repeat("y", int(info.Size()))), 0))
			must(w.T, os.Chtimes(path, info.ModTime(), info.ModTime()))
		}
	case 7: // another type
		if path != root {
			must(w.T, os.RemoveAll(path))
			if info.IsDir() {
				must(w.T, os.WriteFile(path, []byte("f"), 0o600))
			} else {
				must(w.T, os.MkdirAll(path+"/new/er", 0o700))
			}
		}
	case 8:
		if info.IsDir() || isFile(path) {
			must(w.T, unix.Setxattr(path, "user."+strconv.Itoa(w.r.IntN(2)), []byte{byte(w.r.IntN(3))}, 0))
		}
	case 9:
		if isFile(path) {
			must(w.T, unix.Setxattr(path, "system.posix_acl_access", acl(uint32(w.r.IntN(3))), 0))
		}
	case 10:
		to := filepath.Join(w.some(root, true), w.name())
		if _, err := os.Lstat(to); err != nil && path != root && !strings.HasPrefix(to, path+"/") {
			must(w.T, os.Rename(path, to))
		}
	case 11:
		if isFile(path) {
			_ = os.Link(path, filepath.Join(w.some(root, true), w.name())) // there may be one
		}
	}
}

// nudge moves a time by a nanosecond.
func (w *trio) nudge(path string) {
	var st unix.Stat_t
	must(w.T, unix.Lstat(path, &st))
	st.Mtim.Nsec ^= 1
	must(w.T, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW))
}

// acl lets one more user read: acl(5), as the kernel takes it.
func acl(uid uint32) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range [][3]uint32{{1, 6, ^uint32(0)}, {2, 4, uid}, {4, 4, ^uint32(0)}, {16, 4, ^uint32(0)}, {32, 4, ^uint32(0)}} {
		b = binary.LittleEndian.AppendUint16(b, uint16(e[0]))
		b = binary.LittleEndian.AppendUint16(b, uint16(e[1]))
		b = binary.LittleEndian.AppendUint32(b, e[2])
	}
	return b
}

func (w *trio) rule() {
	root := w.src
	if w.r.IntN(2) == 0 {
		root = w.dst
	}
	rel := strings.TrimPrefix(w.some(root, false), root+"/")
	if rel == root {
		return
	}
	switch w.r.IntN(4) {
	case 0:
		w.rules = append(w.rules, rsync.Rule(rsync.Hide, rel, rsync.Itself))
	case 1:
		w.rules = append(w.rules, rsync.Rule(rsync.Exclude, rel, rsync.Itself))
	case 2:
		w.rules = append(w.rules, rsync.Rule(rsync.Exclude, rel, rsync.Directory))
	case 3:
		w.rules = append(w.rules, rsync.Rule(rsync.Include, rel, rsync.ItselfBelow), rsync.Rule(rsync.Exclude, rel, rsync.Itself))
	}
}

// equal wants both targets to be the same. What was changed after then and not
// given another time is: a directory that could not be deleted, because a rule
// protects something in it.
func (w *trio) equal(then unix.Timespec) {
	w.Helper()
	a, err := compare.Read(w.dst, compare.Options{})
	must(w.T, err)
	b, err := compare.Read(w.other, compare.Options{})
	must(w.T, err)
	for _, tree := range []compare.Tree{a, b} {
		for path, e := range tree {
			if e.Mtime[0] > then.Sec || e.Mtime[0] == then.Sec && e.Mtime[1] > then.Nsec {
				e.Mtime = [2]int64{}
				tree[path] = e
			}
		}
	}
	if d := compare.Diff(a, b, 10); len(d) > 0 {
		w.Fatalf("the targets differ:\n%s\nrules %q %q", strings.Join(d, "\n"), w.rules, w.excludes)
	}
}

// check makes both passes, and says how the second one was made.
func (w *trio) check() string {
	mark := w.TempDir() + "/mark"
	must(w.T, os.WriteFile(mark, nil, 0o600))
	var then unix.Stat_t
	must(w.T, unix.Stat(mark, &then))
	list := ""
	for _, rule := range w.rules {
		list += rule + "\x00"
	}
	h, err := survey.ReadHidden(strings.NewReader(list))
	must(w.T, err)
	exact, err := survey.Trees(w.src, w.dst, h, 0, func() bool { return false }, nil)
	must(w.T, err)
	first, _ := w.pass(w.dst, settings.CompareNone, list, exact.Bound)
	second, log := w.pass(w.other, settings.CompareUser, list, exact.Bound)
	if first.End != second.End || first.Code != second.Code {
		w.Errorf("%+v %s\ncompared before: %+v %s", first, first.Tail, second, second.Tail)
	}
	w.equal(then.Mtim)
	switch {
	case strings.Contains(log, "nothing differs"):
		return "same"
	case strings.Contains(log, "rsync looks at"):
		return "narrowed"
	}
	return "whole"
}

func (w *trio) pass(dst string, c settings.Compare, list string, bound uint64) (ipc.RunExited, string) {
	path := testenv.NeedTool(w.T, "rsync")
	cfg := program(w.T, path)
	o := rsync.Options{Source: w.src, Target: dst, ACLs: true, Xattrs: rsync.XattrsUser, Excludes: w.excludes}
	cfg.Argv[ipc.JobInitial], cfg.Probe = rsync.Argv(ipc.JobInitial, o), rsync.Probe(o)
	cfg.Source, cfg.Target, cfg.Compare, cfg.MaxDeleteEntries = w.src, dst, c, bound
	b := serve(w.T, cfg)
	out := b.run(ipc.JobInitial, list)
	b.end()
	if out.End == ipc.EndHeldMany {
		w.Errorf("more than the bound of %d: %+v %s", bound, out, out.Tail)
	}
	return out, b.log.String()
}

// BenchmarkWholePass is of 10,100 directories and 10,000 files: in step, with
// three files that differ, and into an empty target; as it was, and with both
// trees compared before. CPU is all processes'.
func BenchmarkWholePass(b *testing.B) {
	path := testenv.NeedTool(b, "rsync")
	src := b.TempDir() + "/s"
	for i := range 10_000 {
		dir := fmt.Sprintf("%s/%d/%d", src, i%100, i)
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(dir+"/file", nil, 0o600)); err != nil {
			b.Fatal(err)
		}
	}
	inStep := b.TempDir() + "/d"
	if out, err := exec.Command("cp", "-a", "--", src, inStep).CombinedOutput(); err != nil {
		b.Fatal(err, string(out))
	}
	for _, what := range []string{"in step", "little", "empty"} {
		for _, c := range []settings.Compare{settings.CompareNone, settings.CompareUser} {
			b.Run(fmt.Sprintf("%s compare=%d", what, c), func(b *testing.B) {
				var cpu time.Duration
				for b.Loop() {
					b.StopTimer()
					dst := inStep
					if what == "empty" {
						dst = b.TempDir()
					}
					for i := 0; what == "little" && i < 3; i++ {
						if err := os.WriteFile(fmt.Sprintf("%s/%d/%d/file", dst, i, i), []byte("x"), 0o600); err != nil {
							b.Fatal(err)
						}
					}
					before := used(b)
					b.StartTimer()
					wholePass(b, path, src, dst, c)
					cpu += used(b) - before
				}
				b.ReportMetric(cpu.Seconds()/float64(b.N), "cpu-s/op")
			})
		}
	}
}

func wholePass(b *testing.B, program, src, dst string, c settings.Compare) {
	var st unix.Stat_t
	if err := unix.Stat(program, &st); err != nil {
		b.Fatal(err)
	}
	o := rsync.Options{Source: src, Target: dst, ACLs: true, Xattrs: rsync.XattrsUser}
	cfg := settings.Runner{Program: program, ProgDev: st.Dev, ProgIno: st.Ino, Source: src, Target: dst, Compare: c,
		Probe: rsync.Probe(o), MaxDeletePercent: 50, MaxDeleteEntries: 1000, Grace: time.Second}
	cfg.Argv[ipc.JobInitial] = rsync.Argv(ipc.JobInitial, o)
	link := &fake{in: make(chan packet), out: make(chan ipc.RunExited, 1)}
	r := New(cfg, link, io.Discard)
	done := make(chan int)
	go func() { done <- r.Serve() }()
	fd, err := unix.MemfdCreate("list", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, allSeals); err != nil {
		b.Fatal(err)
	}
	link.in <- packet{msg: &ipc.RunStart{Job: 1, Kind: ipc.JobInitial}, list: os.NewFile(uintptr(fd), "list")}
	if out := <-link.out; out.End != ipc.EndExited || out.Code != 0 {
		b.Fatalf("%+v %s", out, out.Tail)
	}
	close(link.in)
	<-done
}

// used is the CPU time of this process and of those it has waited for.
func used(b *testing.B) time.Duration {
	var sum time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}

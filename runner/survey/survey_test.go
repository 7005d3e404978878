package survey

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/rsync"
)

func touch(t *testing.T, dir, prefix string, n int) {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o700))
	for i := range n {
		must(t, os.WriteFile(fmt.Sprintf("%s/%s%d", dir, prefix, i), nil, 0o600))
	}
}

func goOn() bool { return false }

// look surveys two trees with the rules of a job, and spares nothing.
func look(t *testing.T, src, dst string, rules ...string) Result {
	t.Helper()
	return lookSparing(t, src, dst, 0, rules...)
}

func lookSparing(t *testing.T, src, dst string, spare uint32, rules ...string) Result {
	t.Helper()
	h, err := ReadHidden(strings.NewReader(strings.Join(rules, "\x00")))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Trees(src, dst, h, spare, goOn, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSurveyCounts(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	touch(t, outside, "x", 5)
	touch(t, dir+"/a/b", "x", 1000)
	must(t, os.Symlink(outside, dir+"/link"))
	must(t, unix.Mkfifo(dir+"/fifo", 0o600))
	for _, c := range []struct {
		src   string
		bound uint64
	}{{dir, 0}, {outside, 1004}, {t.TempDir(), 1004}} {
		if got := look(t, c.src, dir); got != (Result{Entries: 1004, Bound: c.bound}) { // a, b, link, fifo
			t.Errorf("%+v, want a bound of %d", got, c.bound)
		}
	}
	must(t, os.Symlink(dir, outside+"/root"))
	if _, err := Trees(dir, outside+"/root", &Hidden{}, 0, goOn, nil); err == nil {
		t.Error("a link was taken for a target")
	}
	if _, err := Trees(outside+"/root", dir, &Hidden{}, 0, goOn, nil); err == nil {
		t.Error("a link was taken for a source")
	}
}

// What rsync replaces goes with all that is in it; what was hidden from it
// counts as missing.
func TestSurveyBound(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	touch(t, dst+"/file", "x", 10) // a directory on the target alone
	touch(t, dst+"/link", "x", 10)
	touch(t, dst, "dir", 1)
	touch(t, dst+"/same", "x", 10)
	touch(t, dst+"/same/gone", "x", 10)
	touch(t, src+"/same", "x", 8)
	touch(t, src+"/dir0", "x", 1)
	must(t, os.WriteFile(src+"/file", nil, 0o600))
	must(t, os.Symlink(dst+"/link", src+"/link"))
	const bound = 11 + 11 + 1 + 2 + 11
	if got := look(t, src, dst); got.Bound != bound || got.Unsure {
		t.Errorf("%+v, want a bound of %d", got, bound)
	}
	rules := []string{
		rsync.Rule(rsync.Hide, "same/x1", rsync.Itself), rsync.Rule(rsync.Hide, "same/x9", rsync.Itself),
		rsync.Rule(rsync.Hide, "x1", rsync.Itself), rsync.Rule(rsync.Exclude, "same/x2", rsync.Itself),
	}
	if got := look(t, src, dst, rules...); got.Bound != bound+1 {
		t.Errorf("%+v, want a bound of %d", got, bound+1)
	}
	if got := look(t, src, dst, rsync.Rule(rsync.Hide, "same", rsync.Itself)); got.Bound != got.Entries {
		t.Errorf("%+v: all is missing or hidden", got)
	}
}

// What is spared makes the bound rough, never too small, and never larger than
// was allowed.
func TestSurveySpares(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	for i := range 100 {
		touch(t, fmt.Sprintf("%s/d%d", src, i), "x", 9)
		touch(t, fmt.Sprintf("%s/d%d", dst, i), "x", 9)
	}
	if got := lookSparing(t, src, dst, 30); !got.Rough || got.Entries != 1000 || got.Bound < 200 || got.Bound > 300 {
		t.Errorf("%+v", got)
	}
	must(t, os.RemoveAll(src+"/d7"))
	exact := look(t, src, dst)
	if exact.Rough || exact.Bound != 10 {
		t.Errorf("%+v", exact)
	}
	if got := lookSparing(t, src, dst, 30); got.Bound < exact.Bound {
		t.Errorf("%+v, less than %d", got, exact.Bound)
	}
}

func TestSurveyStops(t *testing.T) {
	dir := t.TempDir()
	touch(t, dir+"/a/b", "x", 4*askEvery)
	if _, err := Trees(dir, dir, &Hidden{}, 0, func() bool { return true }, nil); !errors.Is(err, ErrOver) {
		t.Errorf("counted on after a stop: %v", err)
	}
	for after := range int32(11) { // wherever it is stopped
		var asked atomic.Int32
		_, err := Trees(dir, dir, &Hidden{}, 0, func() bool { return asked.Add(1) > after }, nil)
		if !errors.Is(err, ErrOver) {
			t.Errorf("asked %d times: %v", asked.Load(), err)
		}
	}
}

func TestSurveyIsBounded(t *testing.T) {
	dir := t.TempDir()
	deep := dir
	for range maxDepth {
		deep = filepath.Join(deep, "d")
	}
	must(t, os.MkdirAll(filepath.Dir(deep), 0o700))
	if got := look(t, dir, dir); got.Entries != maxDepth-1 || got.Unsure {
		t.Errorf("%+v", got)
	}
	must(t, os.MkdirAll(deep, 0o700))
	if got := look(t, dir, dir); got.Entries != maxDepth || !got.Unsure {
		t.Errorf("%+v, want %d entries and no certainty about what is below", got, maxDepth)
	}
}

// Entries are counted on the target's file system, the bound on all: rsync
// deletes there too.
func TestSurveyAcrossMounts(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	touch(t, src+"/mnt", "x", 3)
	touch(t, dst+"/mnt", "x", 3)
	tmpfs(t, dst+"/mnt")
	touch(t, dst+"/mnt", "y", 7)
	if got := look(t, src, dst); got != (Result{Entries: 1, Bound: 7}) {
		t.Errorf("%+v", got)
	}
}

func tmpfs(t *testing.T, at string) {
	t.Helper()
	testenv.NeedRoot(t)
	must(t, unix.Mount("none", at, "tmpfs", 0, "size=1m"))
	t.Cleanup(func() {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// A wide and a deep tree, so that the walkers share; nothing is left open.
func TestSurveyShares(t *testing.T) {
	dir := t.TempDir()
	want := uint64(0)
	for i := range 40 {
		for j := range 10 {
			touch(t, fmt.Sprintf("%s/%d/%d/deep/er", dir, i, j), "x", 3)
			want += 6
		}
		want++
	}
	before := openFiles(t)
	for range 50 {
		if got := look(t, dir, dir); got != (Result{Entries: want}) {
			t.Fatalf("%+v, want %d entries", got, want)
		}
	}
	var asked atomic.Int32
	_, err := Trees(dir, dir, &Hidden{}, 0, func() bool { return asked.Add(1) > 100 }, nil)
	if !errors.Is(err, ErrOver) {
		t.Error(err)
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(names)
}

// Trees that change all the time: an answer comes, and no link is followed.
func TestSurveyWhileTreesChange(t *testing.T) {
	src, dst, outside := t.TempDir(), t.TempDir(), t.TempDir()
	touch(t, outside, "x", 2000)
	for _, dir := range []string{src, dst} {
		touch(t, dir+"/d/e", "x", 10)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for _, dir := range []string{src, dst} {
		must(t, os.Symlink(outside, dir+"/link"))
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := unix.Renameat2(unix.AT_FDCWD, dir+"/link", unix.AT_FDCWD, dir+"/d", unix.RENAME_EXCHANGE); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 2000 {
		if got := look(t, src, dst); got.Entries > 13 || got.Bound > got.Entries {
			t.Errorf("%+v", got)
			break
		}
	}
	close(stop)
	wg.Wait()
}

func TestReadHidden(t *testing.T) {
	read := func(list string) (*Hidden, error) { return ReadHidden(strings.NewReader(list)) }
	h, err := read("- /a\x00+ /b/***\x00H /c\x00H /d/e*\\\x00\x00")
	if err == nil {
		t.Errorf("an open wildcard was understood: %+v", h)
	}
	for _, list := range []string{"P /a", "a", "-/a", "- a", "H a", "!", "H /a/", "merge x", "H /" + strings.Repeat("x", 1<<17)} {
		if _, err := read(list + "\x00"); err == nil {
			t.Errorf("%.40q was understood", list)
		}
	}
	h, err = read("- /a\x00+ /b/***\x00H /c\x00H /d/e\\*\x00H /last")
	must(t, err)
	d := h.key(0, []byte("d"))
	for _, c := range []struct {
		dir  uint64
		name string
		want bool
	}{{0, "a", false}, {0, "b", false}, {0, "c", true}, {0, "last", true}, {d, "e*", true}, {d, "c", false}, {0, "e*", false}, {0, "d", false}} {
		if got := h.in(c.dir) && h.name(c.dir, []byte(c.name)); got != c.want {
			t.Errorf("%q hidden: %v", c.name, got)
		}
	}
	if h.in(h.key(0, []byte("a"))) {
		t.Error("something is hidden in a")
	}
}

func TestEmptyDir(t *testing.T) {
	dir := t.TempDir()
	if empty, err := EmptyDir(dir); !empty || err != nil {
		t.Error(empty, err)
	}
	touch(t, dir, "x", 1)
	if empty, err := EmptyDir(dir); empty || err != nil {
		t.Error(empty, err)
	}
	if _, err := EmptyDir(dir + "/none"); err == nil {
		t.Error("a missing directory is empty")
	}
}

// BenchmarkSurvey is of 10,100 directories and 10,000 files on each side.
func BenchmarkSurvey(b *testing.B) {
	src, dst := b.TempDir(), b.TempDir()
	for i := range 10_000 {
		for _, root := range []string{src, dst} {
			dir := fmt.Sprintf("%s/%d/%d", root, i%100, i)
			if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(dir+"/file", nil, 0o600)); err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, spare := range []uint32{0, 37} {
		b.Run(fmt.Sprintf("spare=%d", spare), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if s, err := Trees(src, dst, &Hidden{}, spare, goOn, nil); err != nil || s.Unsure || s.Entries != 20_100 {
					b.Fatal(s, err)
				}
			}
		})
	}
}

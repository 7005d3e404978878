package plan

import (
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/ipc"
	"lockstep/rsync"
	"lockstep/worker/queue"
)

// The names that have hurt file copiers.
var hostile = []string{
	"a", "b", "c", "d", "e", "f", "-rf", "--delete", "#a", ";b", "*", "?", "[a]", "a\\b", "\\", "\\*", " ", "a b", "\n", "a\nb", "\x1b[31m",
	"\xff\xfe", "é", "...", "..a", ".a", "x.tmp", "cache", "-", "+ x", "- x", "!", "**", "***", "x/***"[:1] + "y", strings.Repeat("n", 255), "~", "$x", "a:b",
}

// model makes random changes in the source and marks them as the tracker does.
type model struct {
	*world
}

func (m *model) path(rel string) string { return m.src + "/" + rel }

func (m *model) all(want func(fs.DirEntry) bool) []string {
	var out []string
	must(m.t, filepath.WalkDir(m.src, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if rel := strings.TrimPrefix(path, m.src); rel != "" && want(d) {
			out = append(out, rel[1:])
		}
		return nil
	}))
	return out
}

func (m *model) pick(want func(fs.DirEntry) bool) (string, bool) {
	all := m.all(want)
	if len(all) == 0 {
		return "", false
	}
	return all[m.r.IntN(len(all))], true
}

func anything(fs.DirEntry) bool  { return true }
func isDir(d fs.DirEntry) bool   { return d.IsDir() }
func isFile(d fs.DirEntry) bool  { return d.Type().IsRegular() }
func noDir(d fs.DirEntry) bool   { return !d.IsDir() }
func isLink(d fs.DirEntry) bool  { return d.Type() == fs.ModeSymlink }
func canLink(d fs.DirEntry) bool { return isFile(d) || isLink(d) }

// fresh is a place for a name; there may be something.
func (m *model) fresh() string {
	dir := ""
	if m.r.IntN(4) > 0 {
		dir, _ = m.pick(isDir)
	}
	return strings.TrimPrefix(dir+"/"+hostile[m.r.IntN(len(hostile))], "/")
}

func (m *model) vacant() (string, bool) {
	rel := m.fresh()
	_, err := os.Lstat(m.path(rel))
	return rel, err != nil && strings.Count(rel, "/") < 5
}

func (m *model) named(rel string, c queue.Change) {
	if m.passing {
		c |= queue.Replaced // as the tracker does: the pass may have seen something else
	}
	if m.lost[rel] {
		c |= queue.Replaced // as the tracker does: a target may still have the one that was there
	}
	if c&queue.Replaced != 0 {
		m.lost[rel] = true
	}
	m.mark(rel, c|queue.Name)
	m.mark(parent(rel), queue.Attr)
}

// arrived marks a tree that came: each entry, as the walk finds it.
func (m *model) arrived(rel string) {
	m.named(rel, queue.Replaced)
	for _, x := range m.all(anything) {
		if strings.HasPrefix(x, rel+"/") {
			m.mark(x, queue.Name)
		}
	}
}

func (m *model) bytes() []byte {
	b := make([]byte, 1+m.r.IntN(40))
	for i := range b {
		b[i] = byte(m.r.Uint32())
	}
	return b
}

func (m *model) change() {
	switch m.r.IntN(20) {
	case 0, 1, 2:
		if rel, ok := m.vacant(); ok {
			must(m.t, os.WriteFile(m.path(rel), m.bytes(), 0o640))
			m.named(rel, queue.Content)
		}
	case 3, 4, 5:
		if rel, ok := m.vacant(); ok {
			must(m.t, os.Mkdir(m.path(rel), 0o751))
			m.named(rel, 0)
		}
	case 6, 7:
		m.edit()
	case 8:
		if rel, ok := m.pick(anything); ok {
			m.attributes(rel)
		}
	case 9, 10, 11:
		m.rename()
	case 12:
		m.removeAll()
	case 13:
		if rel, ok := m.pick(noDir); ok {
			must(m.t, os.Remove(m.path(rel)))
			m.named(rel, 0)
		}
	case 14, 15:
		m.link()
	case 16:
		m.symlink()
	case 17:
		m.special()
	case 18:
		m.exchange()
	case 19:
		must(m.t, os.Chmod(m.src, 0o700|fs.FileMode(m.r.IntN(8))))
		m.mark("", queue.Attr)
	}
}

// edit writes; half of the time neither size nor time tells.
func (m *model) edit() {
	rel, ok := m.pick(isFile)
	if !ok || m.unseen(rel) {
		return
	}
	before, err := os.Stat(m.path(rel))
	must(m.t, err)
	b := m.bytes()
	if m.r.IntN(2) == 0 {
		b = make([]byte, before.Size())
		for i := range b {
			b[i] = byte(m.r.Uint32())
		}
	}
	f, err := os.OpenFile(m.path(rel), os.O_WRONLY|os.O_TRUNC, 0)
	must(m.t, err)
	_, err = f.Write(b)
	must(m.t, err)
	must(m.t, f.Close())
	if int64(len(b)) == before.Size() {
		must(m.t, os.Chtimes(m.path(rel), before.ModTime(), before.ModTime()))
	}
	m.mark(rel, queue.Content)
}

// unseen says that rel is an excluded name of a file with several: what is done
// to it under that name is not seen under the others, as if that name were
// outside the root.
func (m *model) unseen(rel string) bool {
	st := m.stat(rel)
	return st.Kind != ipc.KindDir && st.Nlink > 1 && m.rules.Excluded(rel, false)
}

func (m *model) attributes(rel string) {
	p := m.path(rel)
	if m.unseen(rel) {
		return
	}
	switch m.r.IntN(3) {
	case 0:
		if st, err := os.Lstat(p); err == nil && st.Mode()&fs.ModeSymlink == 0 {
			must(m.t, unix.Chmod(p, 0o700|m.r.Uint32()&0o7077))
		}
	case 1:
		must(m.t, os.Lchown(p, m.r.IntN(3), m.r.IntN(3)))
	case 2:
		ts := unix.NsecToTimespec(m.r.Int64N(2e18))
		must(m.t, unix.UtimesNanoAt(unix.AT_FDCWD, p, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
	}
	m.mark(rel, queue.Attr)
}

func (m *model) rename() {
	from, ok := m.pick(anything)
	if !ok {
		return
	}
	to := m.fresh()
	st, err := os.Lstat(m.path(from))
	must(m.t, err)
	if strings.Count(to, "/") > 5 || os.Rename(m.path(from), m.path(to)) != nil {
		return // into itself, or over a directory that is not empty
	}
	if !st.IsDir() {
		m.named(from, 0)
		m.named(to, 0)
		m.known(to)
		return
	}
	m.named(from, queue.Replaced)
	m.arrived(to)
}

// exchange swaps two names: a file for a directory and the like.
func (m *model) exchange() {
	a, ok1 := m.pick(anything)
	b, ok2 := m.pick(anything)
	if !ok1 || !ok2 || unix.Renameat2(unix.AT_FDCWD, m.path(a), unix.AT_FDCWD, m.path(b), unix.RENAME_EXCHANGE) != nil {
		return
	}
	m.arrived(a)
	m.arrived(b)
	m.known(a)
	m.known(b)
}

func (m *model) removeAll() {
	rel, ok := m.pick(isDir)
	if !ok || m.r.IntN(2) == 0 {
		return
	}
	below := m.all(anything)
	must(m.t, os.RemoveAll(m.path(rel)))
	for _, x := range below {
		if strings.HasPrefix(x, rel+"/") {
			m.named(x, 0)
		}
	}
	m.named(rel, queue.Replaced)
	if m.r.IntN(3) == 0 { // its name is used again
		must(m.t, os.Mkdir(m.path(rel), 0o700))
		m.arrived(rel)
	}
}

func (m *model) link() {
	old, ok := m.pick(canLink)
	to, free := m.vacant()
	if !ok || !free {
		return
	}
	must(m.t, unix.Linkat(unix.AT_FDCWD, m.path(old), unix.AT_FDCWD, m.path(to), 0))
	m.named(to, 0)
	m.known(old)
	m.known(to)
}

// known tells the index of a name, as if a plan had been made by now: of one
// that comes and goes between two plans nobody knows whose it was, and what was
// written through it shows under no other name.
func (m *model) known(rel string) {
	st := m.stat(rel)
	if st.Kind == ipc.KindDir || st.Nlink < 2 || m.rules.Excluded(rel, false) {
		return
	}
	m.idx.Set(rel, st.Ino, st.Nlink)
	if st.Kind != ipc.KindFile {
		m.idx.Share(rel, st.Ino)
	}
}

func (m *model) symlink() {
	rel, free := m.vacant()
	if !free {
		return
	}
	target := hostile[m.r.IntN(len(hostile))]
	if m.r.IntN(2) == 0 {
		target = "/etc"
	}
	if d, ok := m.pick(isDir); ok && m.r.IntN(3) == 0 && m.r.IntN(2) == 0 {
		// a directory becomes a link to where it went
		if os.Rename(m.path(d), m.path(rel)) != nil {
			return
		}
		must(m.t, os.Symlink(m.path(rel), m.path(d)))
		m.named(d, queue.Replaced)
		m.arrived(rel)
		return
	}
	must(m.t, os.Symlink(target, m.path(rel)))
	m.named(rel, 0)
}

func (m *model) special() {
	rel, free := m.vacant()
	if !free {
		if _, err := os.Lstat(m.path(rel)); err != nil || os.Remove(m.path(rel)) != nil {
			return // a directory that is not empty
		}
	}
	if m.r.IntN(2) == 0 {
		must(m.t, unix.Mkfifo(m.path(rel), 0o600))
	} else {
		wd, err := os.Getwd()
		must(m.t, err)
		must(m.t, os.Chdir(filepath.Dir(m.path(rel)))) // sun_path is short
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: "./" + filepath.Base(rel), Net: "unix"})
		must(m.t, os.Chdir(wd))
		if err == nil { // else the name is too long, and what was there has gone
			l.SetUnlinkOnClose(false)
			must(m.t, l.Close())
		}
	}
	m.named(rel, queue.Replaced)
}

// TestRsync changes a source at random, in batches and in the middle of them,
// and compares what rsync made of the plans with it.
func TestRsync(t *testing.T) {
	excludes := map[string][]string{
		"none":    nil,
		"exact":   {"*.tmp", "/cache/", "e/f"},
		"inexact": {"*.tmp", "[e-f]/", "!keep"},
	}
	for name, patterns := range excludes {
		t.Run(name, func(t *testing.T) { randomChanges(t, rand.Uint64(), patterns, 0) })
	}
}

// TestCollapse is the same with a queue that collapses all the time: what is
// left of it is enough to be equal.
func TestCollapse(t *testing.T) {
	excludes := map[string][]string{"none": nil, "exact": {"*.tmp", "/cache/", "e/f"}}
	for name, patterns := range excludes {
		t.Run(name, func(t *testing.T) { randomChanges(t, testenv.Number(t, "LOCKSTEP_SEED", rand.Uint64()), patterns, 4) })
	}
}

// TestKeep is the same where nothing is deleted, or only by the first whole
// pass: the target has all that the source has, and keeps what it had.
func TestKeep(t *testing.T) {
	excludes := map[string][]string{"none": nil, "exact": {"*.tmp", "/cache/", "e/f"}, "inexact": {"*.tmp", "[e-f]/", "!keep"}}
	for name, patterns := range excludes {
		for mode, del := range map[string]rsync.Delete{"start": rsync.DeleteWhole, "never": rsync.DeleteNever} {
			t.Run(mode+" "+name, func(t *testing.T) {
				m := &model{world: newWorldOf(t, rand.Uint64(), patterns, 0)}
				m.rs.Delete, m.opt.Keep = del, true
				must(t, os.WriteFile(m.dst+"/stale", nil, 0o600))
				changesIn(m, 0)
				_, err := os.Lstat(m.dst + "/stale")
				if deleted := err != nil; deleted != (del == rsync.DeleteWhole) {
					t.Errorf("what was there before the first pass is deleted: %v", deleted)
				}
			})
		}
	}
}

func randomChanges(t *testing.T, seed uint64, patterns []string, maxPaths int) {
	t.Logf("seed %d", seed)
	changesIn(&model{world: newWorldOf(t, seed, patterns, maxPaths)}, maxPaths)
}

func changesIn(m *model, maxPaths int) {
	t := m.t
	m.opt.BigSize = 35
	rounds := 15
	switch {
	case os.Getenv("LOCKSTEP_SCALE") == "full":
		rounds = 150
	case testing.Short(), testenv.Small():
		rounds = 6
	}
	for range 60 {
		m.change()
	}
	m.q.AddWhole(m.now)
	m.settle()
	m.compare()
	for range rounds {
		m.round()
	}
	t.Logf("jobs: %d lists, %d attribute lists, %d prunes, %d whole passes, %d of them with content",
		m.jobs[ipc.JobList], m.jobs[ipc.JobAttr], m.jobs[ipc.JobPrune], m.wholes, m.jobs[ipc.JobContent])
	if maxPaths > 0 && m.jobs[ipc.JobContent] == 0 {
		t.Error("the queue never collapsed")
	}
}

// round makes a few changes, some of them between the stats and the jobs, and
// compares.
func (m *model) round() {
	for range 1 + m.r.IntN(12) {
		m.change()
	}
	m.race = nil
	if m.r.IntN(8) == 0 {
		m.q.AddWhole(m.now)
	}
	if m.r.IntN(2) == 0 && !m.opt.Keep {
		left := 3
		m.race = func() {
			for ; left > 0; left-- {
				m.change()
			}
		}
	}
	m.settle()
	m.compare()
}

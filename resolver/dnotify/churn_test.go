package dnotify

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"lockstep/monitor"
)

// view is what a worker knows that believes nothing but reports: per directory
// what a listing showed.
type view map[string]map[string]stamp

// stamp is what a comparison sees of an entry.
type stamp struct {
	ino            uint64
	mode           fs.FileMode
	size           int64
	mtime, changed syscall.Timespec
}

func listing(path string) (map[string]stamp, bool) {
	all, err := os.ReadDir(path)
	if err != nil {
		return nil, false
	}
	m := map[string]stamp{}
	for _, e := range all {
		info, err := e.Info()
		if err != nil {
			continue // gone: the directory is told again
		}
		st := info.Sys().(*syscall.Stat_t)
		s := stamp{ino: st.Ino, mode: info.Mode(), size: info.Size(), mtime: st.Mtim, changed: st.Ctim}
		if info.IsDir() {
			// Its times change with its own entries; it is told itself then.
			s.size, s.mtime, s.changed = 0, syscall.Timespec{}, syscall.Timespec{}
		}
		m[e.Name()] = s
	}
	return m, true
}

// told takes a report. A directory that is not known is new in its parent, which
// is told as well, and from there it is walked.
func (v view) told(top, dir string) {
	if _, known := v[dir]; known {
		v.look(top, dir)
	}
}

// look lists one directory. What is new in it is walked, what is
// gone is forgotten, with all below.
func (v view) look(top, dir string) {
	now, there := listing(filepath.Join(top, dir))
	if !there {
		v.forget(dir)
		return
	}
	before := v[dir]
	v[dir] = now
	for name, s := range before {
		if after, there := now[name]; s.mode.IsDir() && (!there || after.ino != s.ino) {
			v.forget(join(dir, name))
		}
	}
	for name, s := range now {
		if _, known := v[join(dir, name)]; s.mode.IsDir() && !known {
			v.look(top, join(dir, name))
		}
	}
}

func (v view) forget(dir string) {
	for name, s := range v[dir] {
		if s.mode.IsDir() {
			v.forget(join(dir, name))
		}
	}
	delete(v, dir)
}

func join(dir, name string) string { return strings.TrimPrefix(dir+"/"+name, "/") }

// differences between what is believed and what is.
func (v view) differences(top string) (all []string) {
	truth := view{}
	truth.look(top, "")
	for dir, entries := range truth {
		for name, s := range entries {
			if was, there := v[dir][name]; !there {
				all = append(all, "missing: "+join(dir, name))
			} else if was != s {
				all = append(all, fmt.Sprintf("old: %s %+v %+v", join(dir, name), was, s))
			}
		}
	}
	for dir, entries := range v {
		for name := range entries {
			if _, there := truth[dir][name]; !there {
				all = append(all, "stale: "+join(dir, name))
			}
		}
	}
	return all
}

// agent changes a tree at random: files of all kinds of change, directories made,
// moved anywhere, exchanged with others, moved out and back, removed.
type agent struct {
	top, out string
	r        *rand.Rand
	count    *atomic.Int64
}

func (a *agent) dir() string {
	path := a.top
	for range a.r.IntN(5) {
		path = filepath.Join(path, fmt.Sprintf("d%d", a.r.IntN(4)))
	}
	return path
}

func (a *agent) act() {
	a.count.Add(1)
	dir := a.dir()
	file := filepath.Join(dir, fmt.Sprintf("f%d", a.r.IntN(4)))
	sub := filepath.Join(dir, fmt.Sprintf("d%d", a.r.IntN(4)))
	away := filepath.Join(a.out, fmt.Sprintf("%d-%d", a.r.Uint64(), a.count.Load()))
	// Most fail, because something is not there: that is meant.
	switch a.r.IntN(14) {
	case 0, 1, 2:
		_ = os.MkdirAll(sub, 0o755)
	case 3, 4, 5:
		_ = os.WriteFile(file, make([]byte, a.r.IntN(100)), 0o644)
	case 6:
		_ = os.Remove(file)
	case 7:
		_ = os.Chmod(file, 0o600|fs.FileMode(a.r.IntN(64)))
	case 8:
		_ = os.Rename(file, filepath.Join(a.dir(), "f0"))
	case 9, 10:
		_ = os.Rename(sub, filepath.Join(a.dir(), fmt.Sprintf("d%d", a.r.IntN(4))))
	case 11: // away and back to the same place
		if os.Rename(sub, away) == nil {
			_ = os.WriteFile(filepath.Join(away, "f1"), make([]byte, a.r.IntN(100)), 0o644)
			_ = os.Rename(away, sub)
		}
	case 12: // out of the root
		_ = os.Rename(sub, away)
	case 13:
		if a.r.IntN(4) == 0 {
			_ = os.RemoveAll(sub)
		} else {
			_ = os.Chmod(sub, 0o755)
		}
	}
}

// TestChurn: what is told leads to a view that equals the tree, however changes
// and looks interleave.
func TestChurn(t *testing.T) {
	seeds, each := 4, 600*time.Millisecond
	if testing.Short() {
		seeds = 1
	}
	first := uint64(time.Now().UnixNano())
	for i := range uint64(seeds) {
		churn(t, first+i, each, i%2 == 1)
	}
}

func churn(t *testing.T, seed uint64, d time.Duration, slow bool) {
	top, out := t.TempDir(), t.TempDir()
	var count atomic.Int64
	before := &agent{top, out, rand.New(rand.NewPCG(seed, 99)), &count}
	for range 300 {
		before.act()
	}
	r := newRig(t, top)
	v := view{}
	r.changed() // all is watched
	v.look(top, "")

	var agents sync.WaitGroup
	stop := make(chan struct{})
	for n := range uint64(3) {
		agents.Go(func() {
			a := &agent{top, out, rand.New(rand.NewPCG(seed, n)), &count}
			for {
				select {
				case <-stop:
					return
				default:
					a.act()
				}
			}
		})
	}
	take := func(e monitor.PathEvent) {
		if e.IsMark() {
			return
		}
		if slow {
			time.Sleep(200 * time.Microsecond)
		}
		if e.Mask == monitor.Overflow {
			clear(v)
			v.look(top, "")
			return
		}
		v.told(top, string(e.Dir))
	}
	for end := time.Now().Add(d); time.Now().Before(end); {
		if slow {
			r.packet(take) // no mark has it hurry
		} else {
			r.sync(take)
		}
	}
	close(stop)
	agents.Wait()
	r.sync(take)
	if all := v.differences(top); len(all) > 0 {
		t.Errorf("seed %d: %d differences:\n%s", seed, len(all), strings.Join(all[:min(len(all), 20)], "\n"))
	}
	r.stop()
	if err := errors.Join(r.m.consistent()...); err != nil {
		t.Errorf("seed %d: %v", seed, err)
	}
	truth := view{}
	truth.look(top, "")
	held := r.m.tree.count
	if held != len(truth) {
		t.Errorf("seed %d: %d directories are held, %d are there", seed, held, len(truth))
	}
	t.Logf("seed %d: %d acts, %d records, %d directories, %+v", seed, count.Load(), r.records, held, r.m.stats)
}

// consistent checks the tree of a monitor that has ended.
func (m *Monitor) consistent() (bad []error) {
	for _, p := range m.places {
		n := 0
		for d := range below(p.top) {
			n++
			if d.closed || p.byID[d.id] != d || m.tree.at(d.fd) != d {
				bad = append(bad, fmt.Errorf("%s is not what it is indexed as", d.name))
			}
			for name, kid := range d.kids {
				if kid.name != name || kid.parent != d {
					bad = append(bad, fmt.Errorf("%s is called %s by its parent", kid.name, name))
				}
			}
		}
		if n != len(p.byID) {
			bad = append(bad, fmt.Errorf("%d directories below the root, %d known", n, len(p.byID)))
		}
	}
	return bad
}

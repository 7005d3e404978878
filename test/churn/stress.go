package churn

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Who works in a Stress. Each has a thread of its own, so that the kernel lets
// them meet in the middle of a call as it does processes.
const (
	stressDirs    = 200
	stressParents = 10
	movers        = 10 // from one directory to another
	samers        = 3  // within a directory
	churners      = 2  // what is in the directories
	outers        = 2  // out of the tree, and back

	// away is how long what has been moved out stays there: who comes back sooner
	// could be taken for one that never left.
	away = 2 * time.Second
	// seldom is how long each of those who move out waits before each move, so that
	// there are still directories inside.
	seldom = 60 * time.Millisecond
)

// Stress renames directories: many at once, most of them among 200, which also
// come to lie in each other.
type Stress struct {
	Root, Outside string // on one file system
	Seed          uint64
	For           time.Duration
	Rate          int // changes a second of all; 0: as fast as can be
}

// StressCount says what was done.
type StressCount struct {
	Moved, Same, Out, In, Changed int64 // renames to another directory, within one, out, in; other changes
	Missed                        int64 // tries that another one's change made impossible
}

// Renames within the tree.
func (c StressCount) Renames() int64 { return c.Moved + c.Same }

type stress struct {
	Stress
	places                                [stressDirs]atomic.Pointer[string] // where each was seen last
	find                                  sync.Mutex                         // one looks for them at a time
	left                                  [stressDirs]atomic.Int64           // when each was moved out
	moved, same, out, in, changed, missed atomic.Int64
}

// Run makes what is renamed, if it is not there yet, and renames it.
func (s Stress) Run() (StressCount, error) {
	w := &stress{Stress: s}
	if err := w.prepare(); err != nil {
		return StressCount{}, err
	}
	end := time.Now().Add(s.For)
	const all = movers + samers + churners + outers
	err := Parallel(all, func(n int) error {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		r := Rand(s.Seed, 300+uint64(n))
		pace := w.pace(all)
		for i := 0; time.Now().Before(end); i++ {
			if err := w.one(n, r, i); err != nil {
				return fmt.Errorf("seed %d worker %d change %d: %w", s.Seed, n, i, err)
			}
			pace()
		}
		return nil
	})
	return StressCount{w.moved.Load(), w.same.Load(), w.out.Load(), w.in.Load(), w.changed.Load(), w.missed.Load()}, err
}

// pace is called after each change of one worker of several.
func (w *stress) pace(workers int) func() {
	began, done := time.Now(), 0
	return func() {
		if done++; w.Rate > 0 {
			time.Sleep(time.Until(began.Add(time.Duration(done*workers) * time.Second / time.Duration(w.Rate))))
		}
	}
}

func (w *stress) parent(r *rand.Rand) string {
	return filepath.Join(w.Root, fmt.Sprintf("p%d", r.IntN(stressParents)))
}

func (w *stress) prepare() error {
	for i := range stressDirs {
		dir := filepath.Join(w.Root, fmt.Sprintf("p%d", i%stressParents), fmt.Sprintf("n%03d", i))
		if err := os.MkdirAll(filepath.Join(dir, "below"), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "below", "file"), fmt.Appendf(nil, "%d", i), 0o644); err != nil {
			return err
		}
		w.places[i].Store(&dir)
	}
	return nil
}

// one is a worker's next change.
func (w *stress) one(n int, r *rand.Rand, i int) error {
	if n >= movers+samers+churners {
		time.Sleep(seldom)
	}
	which := r.IntN(stressDirs)
	at := *w.places[which].Load()
	switch {
	case n < movers:
		to := w.parent(r)
		if r.IntN(4) == 0 {
			to = *w.places[r.IntN(stressDirs)].Load()
		}
		return w.rename(which, at, filepath.Join(to, filepath.Base(at)), &w.moved)
	case n < movers+samers:
		name := []byte(filepath.Base(at))
		name[0] = "nm"[r.IntN(2)]
		return w.rename(which, at, filepath.Join(filepath.Dir(at), string(name)), &w.same)
	case n < movers+samers+churners:
		return w.change(at, r, i)
	}
	out := filepath.Join(w.Outside, fmt.Sprintf("n%03d", which))
	if _, err := os.Lstat(out); err == nil {
		if time.Since(time.Unix(0, w.left[which].Load())) < away {
			return nil
		}
		return w.rename(which, out, filepath.Join(w.parent(r), filepath.Base(out)), &w.in)
	}
	w.left[which].Store(time.Now().UnixNano())
	return w.rename(-1, at, out, &w.out)
}

// rename notes where a directory is from then on, unless which is none.
func (w *stress) rename(which int, from, to string, count *atomic.Int64) error {
	if from == to {
		return nil
	}
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if err == nil {
		count.Add(1)
		if which >= 0 {
			w.places[which].Store(&to)
		}
		return nil
	}
	// What has moved takes along what lies in it: now and then all are looked for.
	if w.missed.Add(1)%500 == 0 && w.find.TryLock() {
		defer w.find.Unlock()
		return w.look()
	}
	return expected(err)
}

// look finds the directories again, those outside excepted.
func (w *stress) look() error {
	return filepath.WalkDir(w.Root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it has moved meanwhile
		}
		var i int
		if n, err := fmt.Sscanf(d.Name()[1:], "%03d", &i); err == nil && n == 1 && len(d.Name()) == 4 && i < stressDirs {
			w.places[i].Store(&path)
		}
		return nil
	})
}

// change makes and removes what is in a directory.
func (w *stress) change(at string, r *rand.Rand, i int) error {
	w.changed.Add(1)
	file := filepath.Join(at, fmt.Sprintf("f%d", r.IntN(4)))
	dir := filepath.Join(at, fmt.Sprintf("d%d", r.IntN(3)))
	var err error
	switch r.IntN(5) {
	case 0:
		err = os.WriteFile(file, fmt.Appendf(nil, "%d", i), 0o644)
	case 1:
		err = os.Remove(file)
	case 2:
		if err = os.Mkdir(dir, 0o755); err == nil {
			err = os.WriteFile(filepath.Join(dir, "f"), fmt.Appendf(nil, "%d", i), 0o644)
		}
	case 3:
		err = os.RemoveAll(dir)
	case 4:
		err = os.Chmod(at, 0o700+os.FileMode(r.IntN(64)))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return expected(err)
}

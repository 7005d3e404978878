// Package churn makes changes in a tree: bursts, streams, directories that
// move in parallel, and hostile names, all from a seed.
//
// Trust: linked into tests only.
//
// Invariants: every choice comes from the seed; where several goroutines work
// on one tree only their interleaving differs from run to run.
package churn

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Rand is a source for one part of a seed's run.
func Rand(seed, part uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, part)) }

// Burst makes files in dirs directories (every fourth below another one) as
// fast as parallel writers can.
func Burst(root string, seed uint64, dirs, files int) error {
	paths := make([]string, dirs)
	for i := range paths {
		paths[i] = filepath.Join(root, fmt.Sprintf("dir%03d", i))
		if i%4 == 3 {
			paths[i] = filepath.Join(paths[i-1], "below")
		}
	}
	const writers = 4
	return Parallel(writers, func(w int) error {
		r := Rand(seed, uint64(w))
		for i := w; i < dirs; i += writers {
			// Its files follow at once: a watch that comes late misses them.
			if err := os.MkdirAll(paths[i], 0o755); err != nil {
				return err
			}
			for n := i; n < files; n += dirs {
				if err := os.WriteFile(filepath.Join(paths[i], fmt.Sprintf("file%05d", n)), Text(r, r.IntN(600)), 0o644); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Text is random bytes that depend on nothing but r.
func Text(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(' ' + r.IntN(94))
	}
	return b
}

// Parallel does n works at once, and waits for all.
func Parallel(n int, work func(w int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for w := range n {
		wg.Go(func() { errs[w] = work(w) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// StreamCount says what a stream did.
type StreamCount struct {
	Changes  int
	SameSize int // of them: other content of the same size, in the same second as the last one
}

// Stream changes a set of files rate times a second for d. The set must be
// made by StreamFiles first.
func Stream(ctx context.Context, root string, seed uint64, rate int, d time.Duration) (StreamCount, error) {
	r := Rand(seed, 100)
	const tick = 10 * time.Millisecond
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	start := time.Now()
	var c StreamCount
	for {
		elapsed := min(time.Since(start), d)
		due := int(elapsed.Seconds() * float64(rate))
		for c.Changes < due {
			same, err := streamOne(root, r)
			if err != nil {
				return c, err
			}
			c.Changes++
			c.SameSize += same
		}
		if elapsed == d {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return c, ctx.Err()
		case <-ticker.C:
		}
	}
}

const streamFiles, streamDirs, streamSize = 400, 20, 64

// StreamFiles makes what Stream changes.
func StreamFiles(root string, seed uint64) error {
	r := Rand(seed, 101)
	for i := range streamFiles {
		path := streamPath(root, i)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, Text(r, streamSize), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func streamPath(root string, i int) string {
	return filepath.Join(root, fmt.Sprintf("s%02d", i%streamDirs), fmt.Sprintf("f%03d", i))
}

// streamOne makes one change; 1 when it was an edit of the same size.
func streamOne(root string, r *rand.Rand) (int, error) {
	path := streamPath(root, r.IntN(streamFiles))
	switch p := r.IntN(100); {
	case p < 60: // in place: same inode, same size
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
		if err != nil {
			return 0, err
		}
		_, err = f.WriteAt(Text(r, streamSize), 0)
		return 1, errors.Join(err, f.Close())
	case p < 75: // as editors do: a new file renamed over the old one
		if err := os.WriteFile(path+"~", Text(r, streamSize), 0o600); err != nil {
			return 0, err
		}
		return 1, os.Rename(path+"~", path)
	case p < 85:
		return 0, expected(os.Remove(path))
	case p < 93:
		return 0, expected(os.Rename(path, streamPath(root, r.IntN(streamFiles))))
	default:
		return 0, expected(os.Chmod(path, 0o600+os.FileMode(r.IntN(64))))
	}
}

// expected drops the errors of changes that race with each other.
func expected(err error) error {
	for _, e := range []error{unix.ENOENT, unix.EEXIST, unix.ENOTEMPTY, unix.ENOTDIR, unix.EISDIR, unix.EINVAL, unix.ELOOP, unix.EBUSY} {
		if errors.Is(err, e) {
			return nil
		}
	}
	return err
}

// Dirs makes ops changes by several workers at once, most of them with
// directories: they are renamed, moved out to the directory outside and in
// again, deleted with what they hold, replaced by files and links, and their
// names are used again.
func Dirs(root, outside string, seed uint64, ops int) error {
	const workers = 4
	return Parallel(workers, func(w int) error {
		r := Rand(seed, 200+uint64(w))
		for i := range ops / workers {
			if err := expected(dirOne(root, outside, r, i)); err != nil {
				return fmt.Errorf("seed %d worker %d change %d: %w", seed, w, i, err)
			}
		}
		return nil
	})
}

// pick is a path of one to four components out of a few names, so that workers
// meet.
func pick(r *rand.Rand) string {
	parts := make([]string, 1+r.IntN(4))
	for i := range parts {
		parts[i] = string(rune('a' + r.IntN(5)))
	}
	return strings.Join(parts, "/")
}

func dirOne(root, outside string, r *rand.Rand, i int) error {
	path := filepath.Join(root, pick(r))
	other := filepath.Join(root, pick(r))
	out := filepath.Join(outside, string(rune('A'+r.IntN(4))))
	switch p := r.IntN(100); {
	case p < 25:
		return os.MkdirAll(path, 0o755)
	case p < 45:
		return os.WriteFile(filepath.Join(path, fmt.Sprintf("f%d", r.IntN(6))), Text(r, r.IntN(50)), 0o644)
	case p < 65:
		return os.Rename(path, other)
	case p < 72:
		return os.Rename(path, out)
	case p < 79:
		return os.Rename(out, other)
	case p < 84:
		return os.RemoveAll(path)
	case p < 88: // a name used again at once, for a tree of its own
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(path, "again"), 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(path, "again", "f"), Text(r, 10), 0o644)
	case p < 92: // a file for whatever it was
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		return os.WriteFile(path, Text(r, 20), 0o644)
	case p < 95:
		return os.Symlink(pick(r), path)
	case p < 98:
		return os.Link(filepath.Join(path, "f1"), filepath.Join(other, fmt.Sprintf("f%d", i%6)))
	default:
		return unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE)
	}
}

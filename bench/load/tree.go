// Package load makes trees and changes in them.
//
// Trust: linked into the benchmark only.
//
// Invariants: every choice comes from a seed, so that all daemons of a
// repetition get the same changes; no name begins with a dot.
package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"lockstep/test/churn"
)

// Shape is a tree of two levels: Top directories, and Below in each of them,
// with one file in each directory of either kind.
type Shape struct{ Top, Below int }

// ShapeOf has dirs directories: a hundred, or for large trees 250, at the top.
func ShapeOf(dirs int) Shape {
	top := 100
	if dirs > 50_000 {
		top = 250
	}
	return Shape{top, dirs/top - 1}
}

// Dirs is how many directories the tree has, without its root.
func (s Shape) Dirs() int { return s.Top * (s.Below + 1) }

// Last is the directory that every walk in order of names comes to last, two
// levels down. What appears there has not been copied by the beginning of a
// pass over the tree.
func (s Shape) Last() string { return filepath.Join(top(s.Top-1), below(s.Below-1)) }

func top(i int) string   { return fmt.Sprintf("d%03d", i) }
func below(i int) string { return fmt.Sprintf("s%03d", i) }

// Make makes the tree at root.
func (s Shape) Make(ctx context.Context, root string) error {
	return parallel(func(w, workers int) error {
		for i := w; i < s.Top; i += workers {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := makeDir(filepath.Join(root, top(i)), i); err != nil {
				return err
			}
			for j := range s.Below {
				if err := makeDir(filepath.Join(root, top(i), below(j)), j); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func makeDir(path string, n int) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(path, "file"), fmt.Appendf(nil, "file of directory %d\n", n), 0o644)
}

// parallel runs one worker per core.
func parallel(work func(w, workers int) error) error {
	workers := runtime.NumCPU()
	return churn.Parallel(workers, func(w int) error { return work(w, workers) })
}

// Tidy removes all but the one file from a directory of the tree on both sides,
// and makes their times equal again.
func Tidy(src, dst, dir string) error {
	at := time.Now()
	for _, root := range []string{src, dst} {
		path := filepath.Join(root, dir)
		entries, err := os.ReadDir(path)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.Name() != "file" {
				if err := os.RemoveAll(filepath.Join(path, e.Name())); err != nil {
					return err
				}
			}
		}
		if err := os.Chtimes(path, at, at); err != nil {
			return err
		}
	}
	return nil
}

// Burst is files of up to 4 KiB in dirs directories.
type Burst struct {
	Dirs, Files int
	Seed        uint64
}

// Prepare makes the directories alone.
func (b Burst) Prepare(root string) error {
	for i := range b.Dirs {
		if err := os.MkdirAll(filepath.Join(root, b.dir(i)), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// dir is below another directory, two levels down.
func (b Burst) dir(i int) string {
	return filepath.Join(fmt.Sprintf("b%02d", i%20), fmt.Sprintf("d%03d", i))
}

// Run makes everything as fast as one writer a core can.
func (b Burst) Run(root string) error {
	return parallel(func(w, workers int) error {
		r := rand.New(rand.NewPCG(b.Seed, uint64(w)))
		block := churn.Text(r, 8192)
		for i := w; i < b.Dirs; i += workers {
			dir := filepath.Join(root, b.dir(i))
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			for n := i; n < b.Files; n += b.Dirs {
				at := r.IntN(4096)
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%05d", n)), block[at:at+r.IntN(4097)], 0o644); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Stream is a steady change of a set of files: appends, rewrites, new files,
// renames, deletes. About as many files are made as are deleted.
type Stream struct {
	Dirs, Files int
	Rate        int // changes a second
	For         time.Duration
	Seed        uint64
}

// Count says what a stream did.
type Count struct {
	Changes int
	Took    time.Duration
}

// population are the files that are there.
type population struct {
	root  string
	dirs  int
	next  int
	names []string
	r     *rand.Rand
	block []byte
}

func (s Stream) dir(i int) string {
	return filepath.Join(fmt.Sprintf("t%02d", i%10), fmt.Sprintf("d%03d", i%s.Dirs))
}

// Prepare makes the files.
func (s Stream) Prepare(root string) error {
	p := s.population(root)
	for i := range s.Dirs {
		if err := os.MkdirAll(filepath.Join(root, s.dir(i)), 0o755); err != nil {
			return err
		}
	}
	for _, name := range p.names {
		if err := os.WriteFile(filepath.Join(root, name), p.some(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (s Stream) population(root string) *population {
	r := rand.New(rand.NewPCG(s.Seed, 1))
	p := &population{root: root, dirs: s.Dirs, r: r, block: churn.Text(r, 4096)}
	for range s.Files {
		p.names = append(p.names, s.fresh(p))
	}
	return p
}

// fresh is a name that was never used.
func (s Stream) fresh(p *population) string {
	p.next++
	return filepath.Join(s.dir(p.next), fmt.Sprintf("f%06d", p.next))
}

// some is a piece of noise.
func (p *population) some() []byte {
	at := p.r.IntN(2048)
	return p.block[at : at+16+p.r.IntN(1024)]
}

// Run changes what Prepare made, Rate times a second.
func (s Stream) Run(ctx context.Context, root string) (Count, error) {
	p := s.population(root)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	start := time.Now()
	var c Count
	for {
		c.Took = time.Since(start)
		due := int(min(c.Took, s.For).Seconds() * float64(s.Rate))
		for ; c.Changes < due; c.Changes++ {
			if err := s.one(p); err != nil {
				return c, err
			}
		}
		if c.Took >= s.For {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return c, ctx.Err()
		case <-ticker.C:
		}
	}
}

// one makes one change.
func (s Stream) one(p *population) error {
	i := p.r.IntN(len(p.names))
	path := filepath.Join(p.root, p.names[i])
	switch kind := p.r.IntN(100); {
	case kind < 35:
		return write(path, os.O_WRONLY|os.O_APPEND, p.some()[:16])
	case kind < 60:
		return write(path, os.O_WRONLY|os.O_TRUNC, p.some())
	case kind < 75:
		name := s.fresh(p)
		p.names = append(p.names, name)
		return write(filepath.Join(p.root, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, p.some())
	case kind < 85:
		name := s.fresh(p)
		p.names[i] = name
		return os.Rename(path, filepath.Join(p.root, name))
	default:
		p.names = slices.Delete(p.names, i, i+1)
		return os.Remove(path)
	}
}

func write(path string, flags int, b []byte) error {
	f, err := os.OpenFile(path, flags, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

package resolver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/monitor"
	"lockstep/test/churn"
)

// mirror is what somebody holds of a tree who looks only where he is told to:
// the worker's part, in the simplest way.
type mirror struct {
	root string
	has  map[string]string // path → what it is
}

// what says what is at a path; "": nothing. A link on the way leads nowhere: the
// tree that took another name may be behind one with its old name.
func (m *mirror) what(rel string) string {
	fd, err := unix.Openat2(unix.AT_FDCWD, filepath.Join(m.root, rel), &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return ""
	}
	var st unix.Stat_t
	if err := errors.Join(unix.Fstat(fd, &st), unix.Close(fd)); err != nil {
		return ""
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return fmt.Sprintf("directory %d", st.Ino)
	}
	return fmt.Sprintf("file %d of %d", st.Ino, st.Size)
}

// look takes note of one place, and of all below it when deep, or when it is not
// the directory that it was.
func (m *mirror) look(rel string, deep bool) {
	is := m.what(rel)
	if is != m.has[rel] {
		deep = true
	}
	if is != "" {
		m.has[rel] = is
	} else {
		delete(m.has, rel)
	}
	if !deep {
		return
	}
	prefix := rel + "/"
	for path := range m.has {
		if strings.HasPrefix(path, prefix) && m.what(path) != m.has[path] {
			delete(m.has, path)
		}
	}
	if !strings.HasPrefix(is, "directory") {
		return
	}
	// What vanishes meanwhile is told of.
	_ = filepath.WalkDir(filepath.Join(m.root, rel), func(path string, _ fs.DirEntry, err error) error {
		below, _ := filepath.Rel(m.root, path)
		if is := m.what(below); err == nil && is != "" && below != "." {
			m.has[below] = is
		}
		return nil
	})
}

func (m *mirror) event(e monitor.PathEvent) {
	if len(e.Name) == 0 {
		return
	}
	rel := strings.TrimPrefix(string(e.Dir)+"/"+string(e.Name), "/")
	// What leads there may be news as well.
	for i, b := range []byte(rel) {
		if b == '/' && m.has[rel[:i]] == "" {
			m.look(rel[:i], false)
		}
	}
	m.look(rel, e.Mask.Has(monitor.IsDir) && e.Mask.Has(monitor.MovedTo|monitor.MovedFrom|monitor.Create|monitor.Delete))
}

// differs compares with the file system, both ways.
func (m *mirror) differs() (diff []string) {
	seen := map[string]bool{}
	err := filepath.WalkDir(m.root, func(path string, _ fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(m.root, path)
		if seen[rel] = true; rel != "." && m.has[rel] != m.what(rel) {
			diff = append(diff, fmt.Sprintf("%s is %q, held as %q", rel, m.what(rel), m.has[rel]))
		}
		return err
	})
	if err != nil {
		diff = append(diff, err.Error())
	}
	for rel, is := range m.has {
		if !seen[rel] {
			diff = append(diff, fmt.Sprintf("%s is gone, held as %q", rel, is))
		}
	}
	return diff
}

// Whoever looks where the resolver says, and at all of a directory that was
// renamed, ends with what the file system holds: whatever is merged, resolved
// late or by a place that was remembered.
func TestWhoLooksWhereToldMissesNothing(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			g := newRig(t).start(nil)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			var busy sync.WaitGroup
			busy.Go(func() {
				if err := churn.Dirs(g.root, g.outside, seed, 3000); err != nil {
					t.Error(err)
				}
			})
			busy.Go(func() { renameAll(ctx, g.root+"/renamed", seed) })
			done := make(chan struct{})
			go func() {
				busy.Wait()
				// What no rename follows shows a place that is out of date.
				g.do(filepath.WalkDir(g.root, func(path string, d fs.DirEntry, err error) error {
					if err == nil && d.IsDir() {
						err = os.WriteFile(path+"/last", nil, 0o600)
					}
					return err
				}))
				close(done)
			}()
			m := &mirror{root: g.root, has: map[string]string{}}
			events := 0
			for over := false; !over; {
				select {
				case <-done:
					over = true
				default:
				}
				g.until(g.ask(), func(e monitor.PathEvent) {
					if events++; e.Mask.Has(monitor.Overflow) {
						t.Error("an overflow")
					}
					m.event(e)
				})
			}
			if diff := m.differs(); len(diff) > 0 {
				t.Errorf("after %d events %d differ:\n%s", events, len(diff), strings.Join(diff, "\n"))
			}
			t.Logf("%d events, %d places", events, len(m.has))
			g.stop()
		})
	}
}

// renameAll renames directories that hold others, and writes in them meanwhile.
func renameAll(ctx context.Context, dir string, seed uint64) {
	r := churn.Rand(seed, 99)
	for i := range 20 {
		if err := os.MkdirAll(fmt.Sprintf("%s/%d/a/b/c", dir, i), 0o755); err != nil {
			panic(err)
		}
	}
	for n := 0; ctx.Err() == nil; n++ {
		from, to := fmt.Sprintf("%s/%d", dir, r.IntN(40)), fmt.Sprintf("%s/%d", dir, r.IntN(40))
		if r.IntN(3) == 0 {
			to += "/a/moved"
		}
		err := os.Rename(from, to)
		if err == nil {
			err = os.WriteFile(to+"/a/b/c/"+fmt.Sprint(r.IntN(5)), make([]byte, r.IntN(100)), 0o600)
		}
		_ = errors.Is(err, fs.ErrNotExist) // a name that is not there now, or holds something
	}
}

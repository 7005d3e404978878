//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/test/churn"
)

// The first pass begins beside the first walk. Whatever directories do while
// both are under way, nothing is lost: starts at random moments of a churn that
// goes on during them, and ends at another one.
func TestStartInChurn(t *testing.T) {
	beside(t)
	s := scaled()
	seeded(t, s.churnSeeds, func(t *testing.T, seed uint64) {
		beside(t)
		m := newMirror(t)
		outside := m.src + "-outside"
		if err := os.Mkdir(outside, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := churn.Burst(m.src, seed, s.burstDirs, s.burstFiles); err != nil {
			t.Fatal(err)
		}
		r := churn.Rand(seed, 600)
		var slowest time.Duration
		for range s.starts {
			stop := background(t, func(ctx context.Context) error {
				for ctx.Err() == nil {
					if err := churn.Dirs(m.src, outside, r.Uint64(), 40); err != nil {
						return err
					}
				}
				return nil
			})
			pause(time.Duration(r.IntN(100)) * time.Millisecond)
			m.start()
			pause(time.Duration(r.IntN(500)) * time.Millisecond)
			stop()
			slowest = max(slowest, m.equal())
			m.stop()
		}
		t.Logf("%d starts, slowest equal %v after the last change", s.starts, slowest)
	})
}

// What changes after the pass was there and before the watch is: the helper is
// stopped in the middle of its walk.
func TestChangeBetweenPassAndWatch(t *testing.T) {
	beside(t)
	m := newMirror(t)
	deep := filepath.Join(m.src, "a", strings.Repeat("d/", 12)+"e")
	away := m.src + "-outside"
	for _, dir := range []string{deep, filepath.Join(deep, "from/below"), filepath.Join(deep, "to"), filepath.Join(away, "in")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-time.Hour)
	put := func(path, text string) {
		t.Helper()
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o644), os.Chtimes(path, old, old)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"deleted", "edited", "renamed", "from/file", "from/below/file"} {
		put(filepath.Join(deep, name), "before")
	}
	put(filepath.Join(away, "in/file"), "moved in")
	const many = 15_000 // so that the walk is under way when the helper is stopped
	for i := range many {
		if err := os.MkdirAll(fmt.Sprintf("%s/z/%d/%d", m.src, i/100, i%100), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m.start()
	helper := m.any("lockstep-helper")
	m.watching(helper, 1)
	signal := func(s syscall.Signal) {
		t.Helper()
		if err := syscall.Kill(helper.pid, s); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	// Where there are no more than two processors the pass begins once the walk has lasted
	// for two seconds, and something is answered that was asked for after that: the
	// helper works for moments until it has.
	if runtime.NumCPU() <= 2 {
		pause(2500 * time.Millisecond)
	}
	copied := strings.Replace(filepath.Join(deep, "to"), m.src, m.dst, 1)
	m.eventually("the pass has been there", func() bool {
		if _, err := os.Stat(copied); err == nil {
			return true
		}
		if _, err := os.Stat(m.dst + "/z"); err == nil {
			return false // it has begun
		}
		most := min(watches(helper.pid)+500, many)
		signal(syscall.SIGCONT)
		m.watching(helper, most)
		signal(syscall.SIGSTOP)
		return false
	})
	late := watches(helper.pid) >= many
	put(filepath.Join(deep, "edited"), "behind") // size and time are what they were
	if err := errors.Join(
		os.Remove(filepath.Join(deep, "deleted")),
		os.Rename(filepath.Join(deep, "renamed"), filepath.Join(deep, "by another name")),
		os.Rename(filepath.Join(deep, "from"), filepath.Join(deep, "to/from")),
		os.Rename(filepath.Join(away, "in"), filepath.Join(deep, "in")),
		os.WriteFile(filepath.Join(deep, "made"), []byte("made"), 0o644),
	); err != nil {
		t.Fatal(err)
	}
	signal(syscall.SIGCONT)
	if late {
		t.Fatal("all was watched before the changes were made: this shows nothing")
	}
	m.ready()
	m.stop()
}

// put writes a file in a directory that it makes.
func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, path, text)
}

// What is in step already is compared, and no command is run; what changed while
// nothing watched is brought over, and rsync is kept from the rest.
func TestStartInStep(t *testing.T) {
	beside(t)
	m := newMirror(t)
	for i := range 200 {
		put(t, fmt.Sprintf("%s/%d/%d/file", m.src, i%10, i), fmt.Sprint(i))
	}
	m.start()
	m.equal()
	m.stop()

	m.start()
	m.await(0, "word that the trees are the same", time.Minute, says("nothing differs"))
	m.equal()
	m.stop()

	write(t, m.src+"/3/33/file", "changed")
	put(t, m.src+"/4/new/file", "new")
	if err := errors.Join(os.Remove(m.src+"/5/55/file"), os.RemoveAll(m.src+"/6/66")); err != nil {
		t.Fatal(err)
	}
	m.start()
	m.await(0, "word that rsync is to look at little", time.Minute, says("rsync looks at 7 and what is new"))
	m.equal()
	m.stop()
}

// Content that changes while nothing watches, in a file whose size and time stay
// as they were, is found by the time at which its status changed, whether lockstep
// was stopped before or killed.
func TestContentThatTimeDoesNotShow(t *testing.T) {
	beside(t)
	m := newMirror(t)
	old := time.Now().Add(-time.Hour)
	behind := func(text string) {
		t.Helper()
		for _, name := range []string{"file", "d/file"} {
			put(t, m.src+"/"+name, text)
			if err := os.Chtimes(m.src+"/"+name, old, old); err != nil {
				t.Fatal(err)
			}
		}
		// What is 200 ms older than a start is not taken for changed during it.
		time.Sleep(300 * time.Millisecond)
	}
	behind("1")
	m.start()
	m.equal()
	m.stop()

	behind("2")
	m.start()
	m.equal()
	m.signal(syscall.SIGKILL)
	m.wait(limit)
	m.sweepWait()

	behind("3")
	m.start()
	m.equal()
	m.stop()
}

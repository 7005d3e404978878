//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// facing starts two lockstep, each of which copies what the other one watches.
func facing(t *testing.T, flags ...string) (there, back *mirror) {
	t.Helper()
	there, back = newMirror(t, flags...), newMirror(t, flags...)
	back.src, back.dst = there.dst, there.src
	there.start()
	there.ready()
	back.start()
	back.ready()
	return there, back
}

// jobs are the commands of both so far.
func jobs(ms ...*mirror) (n int64) {
	for _, m := range ms {
		n += m.report().num("jobs")
	}
	return n
}

// Two that face each other pass what one of them copied to and fro, and never end; with
// skip_equal they come to rest after each change, on whichever side, and start no
// command more.
func TestFacingMirrors(t *testing.T) {
	beside(t)
	t.Run("twin", func(t *testing.T) {
		there, back := facing(t, "--delay", "50ms")
		write(t, there.src+"/f", "x")
		there.eventually("the twentieth command for one change", func() bool { return jobs(there, back) >= 20 })
		there.stop()
		back.stop()
	})
	there, back := facing(t, "--delay", "50ms", "--skip-equal")
	a, b := there.src, there.dst
	changes := []func() error{
		func() error { return os.WriteFile(a+"/f", []byte("one"), 0o600) },
		func() error { return os.WriteFile(b+"/g", []byte("two"), 0o644) },
		func() error { return os.WriteFile(b+"/f", []byte("eno"), 0o600) }, // as long as before
		func() error { return os.Chmod(b+"/f", 0o755) },
		func() error { return os.Chown(a+"/f", 7, 8) },
		func() error { return os.Rename(a+"/g", a+"/h") },
		func() error { return os.MkdirAll(b+"/d/e", 0o750) },
		func() error { return os.WriteFile(b+"/d/e/x", []byte(strings.Repeat("x", 1<<20)), 0o644) },
		func() error { return os.Rename(a+"/d/e", a+"/e") },
		func() error { return os.Symlink("nowhere", b+"/e/link") },
		func() error { return os.Link(a+"/h", a+"/e/hard") },
		func() error { return os.Remove(b + "/f") },
		func() error { return os.RemoveAll(a + "/e") },
		func() error {
			for i := range 200 {
				if err := os.WriteFile(fmt.Sprintf("%s/d/%d", []string{a, b}[i%2], i), nil, 0o644); err != nil {
					return err
				}
			}
			return nil
		},
	}
	for i, change := range changes {
		before, began := jobs(there, back), time.Now()
		if err := change(); err != nil {
			t.Fatalf("change %d: %v", i, err)
		}
		most := 24 + 2*int64(time.Since(began)/(50*time.Millisecond)) // each side begins one a delay, while files come
		there.equal()
		there.still(limit) // whichever goes on, the other one has to do with it
		back.equal()
		if n := jobs(there, back) - before; n < 1 || n > most {
			t.Errorf("change %d: %d commands", i, n)
		}
		if i == 12 {
			absent(t, b+"/e")
			absent(t, a+"/f")
		}
	}
	rest := jobs(there, back)
	there.still(limit)
	back.still(limit)
	if n := jobs(there, back); n != rest {
		t.Errorf("%d commands while nothing changed", n-rest)
	}
	if entries, err := os.ReadDir(a + "/d"); err != nil || len(entries) != 200 {
		t.Errorf("%d of 200 files are left: %v", len(entries), err)
	}
	there.stop()
	back.stop()
}

package privileged

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/ipc"
)

// TestRenameRace: while another process exchanges a directory below the root
// with a symbolic link to a directory outside, over and over, no answer is ever
// about what is outside, and no watch is placed there.
func TestRenameRace(t *testing.T) {
	tries := 50_000
	if testing.Short() {
		tries = 5_000
	}
	r := newRig(t)
	outside := t.TempDir()
	must(t, os.Mkdir(filepath.Join(outside, "sub"), 0o700))
	must(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("outside"), 0o600))
	must(t, os.WriteFile(filepath.Join(outside, "name"), []byte("outside"), 0o600))
	// By it a listing shows that it is of the directory outside.
	must(t, os.WriteFile(filepath.Join(outside, "sub", "tell-tale"), nil, 0o600))
	must(t, os.MkdirAll(filepath.Join(r.dir, "swap", "sub"), 0o700))
	must(t, os.WriteFile(filepath.Join(r.dir, "swap", "name"), []byte("in"), 0o600))
	must(t, os.Symlink(outside, filepath.Join(r.dir, "link")))
	var out unix.Stat_t
	foreign := map[uint64]bool{}
	for _, p := range []string{"", "sub", "secret", "name", "sub/tell-tale"} {
		must(t, unix.Lstat(filepath.Join(outside, p), &out))
		foreign[out.Ino] = true
	}

	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		a, b := filepath.Join(r.dir, "swap"), filepath.Join(r.dir, "link")
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil {
				t.Error(err)
				return
			}
		}
	})
	r.connect()
	r.hello()
	seen := map[string]int{}
	for n := 0; n < tries; {
		for _, s := range r.stat(slices.Repeat([]string{"swap/name", "swap/secret", "swap/sub", "link/name", "link/secret", "swap"}, 20)...) {
			n++
			if foreign[s.Ino] {
				t.Fatalf("an answer about a file outside: %+v", s)
			}
			seen[fmt.Sprint("stat ", s.Status)]++
		}
		for _, d := range r.watch(ipc.Watch{Watch: true, All: true, Rels: slices.Repeat([]string{"swap", "swap/sub", "link"}, 20)}) {
			n++
			for _, e := range d.Entries {
				if foreign[e.Ino] {
					t.Fatalf("an entry of a directory outside: %+v", e)
				}
			}
			seen[fmt.Sprint("watch ", d.Status)]++
		}
	}
	close(stop)
	wg.Wait()
	t.Log(seen)
	if seen["stat 0"] == 0 || seen["watch 0"] == 0 || seen[fmt.Sprint("stat ", ipc.Status(unix.ELOOP))] == 0 {
		t.Errorf("the race was no race: %v", seen)
	}
	r.events()
	must(t, os.WriteFile(filepath.Join(outside, "late"), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(outside, "sub", "late"), nil, 0o600))
	if ev := r.events(); len(ev) != 0 {
		t.Errorf("a watch outside: %v", ev)
	}
}

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"
)

// A directory in which more happens than busy_rate is listed once a second: that is
// said and counted, a change elsewhere is on the target at once all the same, and
// nothing is lost of what was changed in it, made in it, moved in and out of it and
// replaced meanwhile. When it is calm it is watched again.
func TestBusy(t *testing.T) {
	m := newMirror(t, "--delay", "0", "--busy-rate", "1000")
	hundred(t, m.src, 5)
	for _, d := range []string{"/hot", "/hot/sub", "/hot/moved", "/hot/swap-a", "/hot/swap-b", "/hot/gone"} {
		if err := os.Mkdir(m.src+d, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, m.src+d+"/f", d)
	}
	m.start().ready()
	n := scaled().latencies
	at := m.mark()
	stop := background(t, func(ctx context.Context) error { return busily(ctx, m.src+"/hot") })
	m.await(at, "word of a busy directory", limit, says("too much happens in hot"))
	if r := m.report(); r.num("busy") != 1 || r.num("busy_times") == 0 {
		t.Errorf("the state shows no busy directory: %s", r)
	}
	elsewhere := m.latency("elsewhere", n, 0)

	write(t, m.src+"/hot/f", "another")
	write(t, m.src+"/hot/sub/new", "x")
	made := m.src + "/hot/made/below"
	if err := os.MkdirAll(made, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, made+"/f", "x")
	rename := func(from, to string) {
		t.Helper()
		if err := os.Rename(m.src+from, m.src+to); err != nil {
			t.Fatal(err)
		}
	}
	rename("/hot/moved", "/moved-out")
	rename("/hot/swap-a", "/hot/swap")
	rename("/hot/swap-b", "/hot/swap-a")
	rename("/hot/swap", "/hot/swap-b")
	if err := os.RemoveAll(m.src + "/hot/gone"); err != nil {
		t.Fatal(err)
	}
	m.eventually("the arrival of what was made in a busy directory", func() bool {
		_, err := os.Lstat(m.dst + "/hot/made/below/f")
		return err == nil
	})
	write(t, made+"/g", "its directory is watched, although the one above is not")
	at = m.mark()
	stop()
	m.await(at, "word that it is calm", limit, says("hot is calm again"))
	m.equal()

	calm := m.latency("hot/calm", n, 0)
	a, b := percentile(elsewhere, 50), percentile(calm, 50)
	t.Logf("p50 of a change elsewhere during the flood: %v; in the directory after it: %v", a, b)
	if b > 500*time.Millisecond { // a listing a second makes half a second on average, and more
		t.Errorf("changes are not heard of at once after the flood: %v", b)
	}
	if r := m.report(); r.num("busy") != 0 {
		t.Errorf("it is calm, and counted as busy: %s", r)
	}
	m.equal()
	m.stop()
}

// busily makes and removes names in a directory, each of them a new one, and writes to
// two files in turns.
func busily(ctx context.Context, dir string) error {
	var two [2]*os.File
	for i := range two {
		f, err := os.Create(fmt.Sprintf("%s/two-%d", dir, i))
		if err != nil {
			return err
		}
		defer f.Close()
		two[i] = f
	}
	for n := 0; ctx.Err() == nil; n++ {
		name := fmt.Sprintf("%s/short-%07d", dir, n)
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			return err
		}
		if err := os.Remove(name); err != nil {
			return err
		}
		for i := range 8 {
			if _, err := two[i%2].WriteAt([]byte{byte(n), byte(i)}, 0); err != nil {
				return err
			}
		}
		if n%20 == 0 {
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond): // 4,000 names a second at most
			}
		}
	}
	return nil
}

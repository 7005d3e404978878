package look

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, path, text string, at time.Time) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

// settle gives the directories of a tree one time.
func settle(t *testing.T, root string, at time.Time) {
	t.Helper()
	for _, d := range []string{root + "/a", root} {
		if err := os.Chtimes(d, at, at); err != nil {
			t.Fatal(err)
		}
	}
}

func pair(t *testing.T) (src, dst string, at time.Time) {
	t.Helper()
	base := t.TempDir()
	src, dst, at = base+"/src", base+"/dst", time.Unix(1_700_000_000, 123_456_789)
	for _, root := range []string{src, dst} {
		write(t, root+"/a/one", "one", at)
		write(t, root+"/a/two", "two", at)
		settle(t, root, at)
	}
	return src, dst, at
}

func TestDirSeesWhatIsComplete(t *testing.T) {
	dir := t.TempDir()
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	write(t, dir+"/.tmp", "x", time.Now())
	if err := os.Rename(dir+"/.tmp", dir+"/x"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(dir + "/x"); err != nil {
		t.Fatal(err)
	}
	var got []string
	for len(got) < 4 {
		select {
		case e := <-d.Events():
			word := "+"
			if e.Gone {
				word = "-"
			}
			got = append(got, word+e.Name)
		case <-time.After(10 * time.Second):
			t.Fatalf("only %v", got)
		}
	}
	if s := strings.Join(got, " "); s != "+.tmp -.tmp +x -x" {
		t.Errorf("saw %s", s)
	}
}

func TestDecodeOfAPiece(t *testing.T) {
	if got := decode([]byte{1, 2, 3}, time.Now()); got != nil {
		t.Errorf("%v", got)
	}
	b := make([]byte, 32)
	b[12] = 200 // a name longer than what was read
	if got := decode(b, time.Now()); got != nil {
		t.Errorf("%v", got)
	}
}

func TestCountLeavesOutUnfinishedFiles(t *testing.T) {
	src, _, at := pair(t)
	write(t, src+"/a/.one.X1", "", at)
	if got := Count(src); got != 3 {
		t.Errorf("%d entries, want 3", got)
	}
}

func TestDifferences(t *testing.T) {
	for name, c := range map[string]struct {
		change func(dst string, at time.Time)
		want   string
	}{
		"equal":    {func(string, time.Time) {}, "equal"},
		"missing":  {func(dst string, at time.Time) { os.Remove(dst + "/a/one"); settle(t, dst, at) }, "lost 1"},
		"too many": {func(dst string, at time.Time) { write(t, dst+"/a/three", "", at); settle(t, dst, at) }, "lost 1"},
		"content":  {func(dst string, at time.Time) { write(t, dst+"/a/one", "two", at) }, "lost 1"},
		"a nanosecond": {func(dst string, at time.Time) { write(t, dst+"/a/one", "one", at.Add(1)) },
			"1 times differ"},
		"both": {func(dst string, at time.Time) { write(t, dst+"/a/one", "two", at.Add(1)) }, "lost 1"},
	} {
		src, dst, at := pair(t)
		c.change(dst, at)
		d, err := Differences(src, dst)
		if err != nil || d.String() != c.want {
			t.Errorf("%s: %v, want %s: %v", name, d, c.want, err)
		}
		if (d == Diff{}) != (c.want == "equal") {
			t.Errorf("%s: no example", name)
		}
	}
}

// daemon is one that brings nothing in step and uses cpu for each look.
func daemonOf(step time.Duration) Watched {
	var used time.Duration
	return Watched{CPU: func() (time.Duration, error) { used += step; return used, nil }, Ended: make(chan struct{})}
}

func TestAwait(t *testing.T) {
	src, dst, at := pair(t)
	write(t, src+"/a/three", "three", at)
	settle(t, src, at)
	done := make(chan struct{})
	since := time.Now()
	go func() {
		defer close(done)
		time.Sleep(100 * time.Millisecond) // the daemon's own time
		write(t, dst+"/a/three", "three", at)
		settle(t, dst, at)
	}()
	out, err := Await(t.Context(), src, dst, since, time.Minute, daemonOf(time.Second))
	<-done
	if err != nil || out.Diff != (Diff{}) || out.Took < 90*time.Millisecond || out.Took > 30*time.Second {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestAwaitOfWhatIsLost(t *testing.T) {
	src, dst, at := pair(t)
	write(t, src+"/a/one", "other", at)
	out, err := Await(t.Context(), src, dst, time.Now(), 50*time.Millisecond, daemonOf(0))
	if err != nil || out.Lost != 1 || out.Took != 0 {
		t.Errorf("%+v, %v", out, err)
	}
}

// Where only a time differs it is told when everything else was there.
func TestAwaitOfTimes(t *testing.T) {
	src, dst, at := pair(t)
	write(t, src+"/a/one", "one", at.Add(time.Nanosecond))
	out, err := Await(t.Context(), src, dst, time.Now().Add(-time.Second), 50*time.Millisecond, daemonOf(0))
	if err != nil || out.Lost != 0 || out.Times != 1 || out.Took < time.Second {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestAwaitEnds(t *testing.T) {
	src, dst, at := pair(t)
	write(t, src+"/a/one", "other", at)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Await(ctx, src, dst, time.Now(), time.Minute, daemonOf(time.Second)); err == nil || !strings.Contains(err.Error(), "lost 1") {
		t.Errorf("%v", err)
	}
	w := daemonOf(time.Second)
	ended := make(chan struct{})
	close(ended)
	w.Ended, w.Early = ended, func() error { return os.ErrClosed }
	if _, err := Await(t.Context(), src, dst, time.Now(), time.Minute, w); err == nil {
		t.Error("a daemon that ended is waited for")
	}
}

func event(name string, at time.Time) Event { return Event{Name: name, At: at} }

// Ready is not the first probe that is seen, but the first that is seen soon,
// with all before it.
func TestProbes(t *testing.T) {
	start := time.Unix(1000, 0)
	r := &probeRun{p: Probes{Prefix: "probe", Fresh: time.Second}}
	for i := range 40 {
		r.written = append(r.written, start.Add(time.Duration(i)*50*time.Millisecond))
		r.seen = append(r.seen, time.Time{})
	}
	late := start.Add(2 * time.Second)
	r.see(event(r.name(0), late))             // seen, but too late: 2 s
	r.see(event(r.name(39), late))            // soon, but others are missing
	r.see(event(".probe000001.X", late))      // not yet a probe
	r.see(event("probe000001x", late))        // another file
	r.see(Event{Name: r.name(1), Gone: true}) // a probe that goes
	if !r.out.Ready.IsZero() || !r.out.First.Equal(late) {
		t.Fatalf("%+v", r.out)
	}
	for i := 1; i < 39; i++ {
		r.see(event(r.name(i), late.Add(time.Duration(i)*time.Millisecond)))
	}
	if want := late.Add(38 * time.Millisecond); r.out.Ready.IsZero() || r.out.Ready.After(want) {
		t.Errorf("ready at %v, want %v or a little before", r.out.Ready, want)
	}
	r.finish()
	if r.out.Lost != 0 || len(r.out.All) != 40 || len(r.out.Lags) != 0 {
		t.Errorf("%+v", r.out)
	}
}

// A link from source to target that copies by itself is the fastest daemon.
func TestProbesOfOneDirectory(t *testing.T) {
	dir := t.TempDir()
	p := Probes{Src: dir, Dst: dir, Prefix: "probe", Every: 5 * time.Millisecond, Fresh: 5 * time.Second, After: 20 * time.Millisecond}
	f, err := p.Run(t.Context(), nil, make(chan struct{}), 10*time.Second)
	if err != nil || f.Lost != 0 || f.Ready.IsZero() || len(f.All) < 2 {
		t.Errorf("%+v, %v", f, err)
	}
	stop := make(chan struct{})
	close(stop)
	if f, err = p.Run(t.Context(), stop, make(chan struct{}), 10*time.Second); err != nil || f.Lost != 0 {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestProbesThatAreLost(t *testing.T) {
	base := t.TempDir()
	src, dst := base+"/src", base+"/dst"
	for _, d := range []string{src, dst} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	stop := make(chan struct{})
	close(stop)
	f, err := Probes{Src: src, Dst: dst, Prefix: "probe", Every: time.Hour}.Run(t.Context(), stop, make(chan struct{}), 30*time.Millisecond)
	if err != nil || f.Lost != 1 {
		t.Errorf("%+v, %v", f, err)
	}
}

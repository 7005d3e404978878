package watch

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockstep/config/choose"
	"lockstep/ipc/output"
	"lockstep/ipc/status"
	"lockstep/rootid"
	"lockstep/supervise/tell"
)

// Roots are told apart by their real paths, and what cannot be watched is refused
// with what to do.
func TestResolve(t *testing.T) {
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.MkdirAll(base+"/a/b", 0o755), os.Mkdir(base+"/ab", 0o755), os.WriteFile(base+"/f", nil, 0o644),
		os.Symlink("a", base+"/link"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ dir, other, want, refused string }{
		{"a", "", "a", ""},
		{"link/b", "", "a/b", ""},
		{"ab", "a", "ab", ""},
		{"a", "a", "", "is, holds or is inside"},
		{"link", "a", "", "is, holds or is inside"},
		{"a/b", "a", "", "is, holds or is inside"},
		{"a", "a/b", "", "is, holds or is inside"},
		{"none", "", "", "no such file or directory; name a directory that is there"},
		{"f", "", "", "is not a directory; watch the directory that it is in"},
	} {
		var others []string
		if c.other != "" {
			others = []string{base + "/" + c.other}
		}
		got, err := resolve(base+"/"+c.dir, others)
		switch {
		case c.refused == "" && (err != nil || got != base+"/"+c.want):
			t.Errorf("%s beside %q: %q, %v", c.dir, c.other, got, err)
		case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)):
			t.Errorf("%s beside %q: %v", c.dir, c.other, err)
		}
	}
}

// A monitor that would miss what others change is refused in the words that a sync
// is refused in, unless that is accepted; on any other file system each is taken.
func TestUnseen(t *testing.T) {
	fuse, local := rootid.Identity{Magic: 0x65735546}, rootid.Identity{Magic: 0xef53}
	for _, c := range []struct {
		o    Options
		id   rootid.Identity
		want string
	}{
		{Options{Monitor: choose.Inotify}, fuse, "/r\\x0a: is on fuse, where inotify does not see changes by others (its configuration says so); use --monitor poll or auto,"},
		{Options{Monitor: choose.Fanotify}, fuse, "where fanotify does not see changes by others"},
		{Options{Monitor: choose.Dnotify, PollEvery: time.Second}, fuse, "or add --allow-blind to be told of what is seen"},
		{Options{Monitor: choose.Inotify, AllowBlind: true}, fuse, ""},
		{Options{Monitor: choose.Auto}, fuse, ""},
		{Options{Monitor: choose.Poll}, fuse, ""},
		{Options{Monitor: choose.Inotify}, local, ""},
	} {
		got := c.o.unseen("/r\n", c.id)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q, want %q", c.o, got, c.want)
		}
	}
}

// What a worker writes goes where its class says: events with the root, lists to who
// has asked for one, and to nobody else; what is no object ends the worker.
func TestLines(t *testing.T) {
	_, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := tell.New(w, true, false, 1)
	t.Cleanup(p.Close)
	r := &root{path: "/r", b: &board{print: p}}
	var list bytes.Buffer
	take := func(class output.Class, line string) string {
		t.Helper()
		b, err := r.line(nil, class, []byte(line), false, nil)
		if err != nil {
			t.Fatalf("%c %s: %v", class, line, err)
		}
		return string(b)
	}
	if got := take(output.Event, `{"op":"create","path":"a"}`); got != `{"root":"/r","op":"create","path":"a"}`+"\n" {
		t.Errorf("an event: %s", got)
	}
	take(output.List, "unasked")
	done := r.list.begin(&list)
	take(output.List, ".")
	take(output.List, "a")
	take(output.Done, "2")
	take(output.List, "late")
	select {
	case <-done:
	default:
		t.Error("the end of the list was not told")
	}
	if list.String() != "/r\n/r/a\n" {
		t.Errorf("the list is %q", list.String())
	}
	for _, bad := range []string{"", "{}", `"op"`, `{"op":1`, `[{"op":1}]`} {
		if b, err := r.line(nil, output.Event, []byte(bad), false, nil); err == nil {
			t.Errorf("%q became %q", bad, b)
		}
	}
}

// Each number has a name of its own, and is that of its field; the causes of rescans
// add up to their number.
func TestCounters(t *testing.T) {
	s := status.Report{Dirs: 1, Unwatched: 2, Events: 3, Overflows: 4, Rescans: 21, RescansOverflow: 6, RescansUnwatched: 7, RescanDirs: 9, RescanNanos: 10,
		Unpaired: 11, Returned: 12, Repairs: 13, Verified: 14, Stale: 15, Missing: 16, VerifyDirs: 17, VerifyNanos: 18, TooLong: 19, HeapBytes: 20}
	var got strings.Builder
	for _, c := range counters(s) {
		fmt.Fprintf(&got, "%s=%d ", c.name, c.n)
	}
	const want = "dirs=1 unwatched=2 events=3 overflows=4 rescans=21 rescans_overflow=6 rescans_unwatched=7 rescans_other=8 rescan_dirs=9 rescan_nanos=10 " +
		"unpaired=11 returned=12 repairs=13 verified=14 stale=15 missing=16 verify_dirs=17 verify_nanos=18 too_long=19 heap_bytes=20 "
	if got.String() != want {
		t.Errorf("got  %s\nwant %s", got.String(), want)
	}
	if n := others(status.Report{Rescans: 3, RescansOverflow: 2, RescansUnwatched: 2}); n != 0 {
		t.Errorf("a worker that says that 4 of 3 rescans have causes has %d others", n)
	}
}

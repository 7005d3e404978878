package cut

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"lockstep/ipc"
)

func TestMerge(t *testing.T) {
	exited := func(code uint8, tail string) ipc.RunExited {
		return ipc.RunExited{End: ipc.EndExited, Code: code, Tail: []byte(tail), CPU: 10, MaxRSS: 100}
	}
	ended := func(end ipc.End) ipc.RunExited {
		return ipc.RunExited{End: end, CPU: 1, MaxRSS: 2, Tail: []byte("x\n")}
	}
	// From good to bad: of two the latter counts, whichever comes first.
	order := []ipc.RunExited{exited(0, ""), exited(0, "warning\n"), exited(24, "vanished\n"), exited(23, "partial\n"),
		exited(3, "missing\n"), exited(12, "broken\n"), ended(ipc.EndRefused), ended(ipc.EndTimeout)}
	for i, mild := range order {
		for _, bad := range order[i+1:] {
			for _, ends := range [][]ipc.RunExited{{mild, bad}, {bad, mild}} {
				got := Merge(ends)
				if got.End != bad.End || got.Code != bad.Code || got.CPU != mild.CPU+bad.CPU || got.MaxRSS != mild.MaxRSS+bad.MaxRSS ||
					string(got.Tail) != string(mild.Tail)+string(bad.Tail) {
					t.Errorf("%+v and %+v: %+v", mild, bad, got)
				}
			}
		}
	}
	for _, end := range []ipc.End{ipc.EndStopped, ipc.EndSignalled, ipc.EndTimeout} {
		if got := Merge([]ipc.RunExited{exited(0, ""), ended(end), exited(23, "")}); got.End != end {
			t.Errorf("%d: %+v", end, got)
		}
	}
	if got := Merge([]ipc.RunExited{exited(0, "no end"), exited(0, "of a line")}); string(got.Tail) != "of a line\nno end" {
		t.Errorf("%q", got.Tail)
	}
	long := strings.Repeat("m", ipc.MaxTail)
	got := Merge([]ipc.RunExited{exited(23, "worst\n"), exited(0, long)})
	if len(got.Tail) != ipc.MaxTail || !bytes.HasSuffix(got.Tail, []byte("m\nworst\n")) {
		t.Errorf("%d bytes: %.20q…", len(got.Tail), got.Tail)
	}
}

// torn refuses what does not end with an entry.
type torn struct{ bytes.Buffer }

func (w *torn) Write(b []byte) (int, error) {
	if len(b) == 0 || len(b) > pipeBuf || b[len(b)-1] != 0 {
		return 0, io.ErrShortWrite
	}
	return w.Buffer.Write(b)
}

// Whatever ends this process, a command has read whole entries; and each is the
// path that it was, with its "./" where it could mean anything else without.
func TestFeed(t *testing.T) {
	var list, want []byte
	for i, begin := range strings.Split(strings.Repeat("a # - ; Z . é + 9 _x * ! \n", 40), " ") {
		rest := strings.Repeat("b", i*37%(pipeBuf-10))
		list = append(list, "./"+begin+rest+"\x00"...)
		if i == 0 || !strings.Contains("aZ9_x", begin) {
			want = append(want, "./"...)
		}
		want = append(want, begin+rest+"\x00"...)
	}
	list = append(append(append(list, "./+"...), bytes.Repeat([]byte("a"), pipeBuf-4)...), 0)
	want = append(append(append(want, "./+"...), bytes.Repeat([]byte("a"), pipeBuf-4)...), 0)
	var w torn
	if err := Feed(&w, list); err != nil || !bytes.Equal(w.Bytes(), want) {
		t.Errorf("%v, %d bytes\n%q", err, w.Len(), w.Bytes()[:200])
	}
}

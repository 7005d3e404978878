package monitor

import (
	"bytes"
	"strings"
	"testing"
)

// held is a record that outlives emit.
func held(e PathEvent) PathEvent {
	e.Dir, e.Name = bytes.Clone(e.Dir), bytes.Clone(e.Name)
	return e
}

func decodePaths(t *testing.T, packet []byte) ([]PathEvent, error) {
	t.Helper()
	var got []PathEvent
	err := DecodePaths(packet, func(e PathEvent) { got = append(got, held(e)) })
	return got, err
}

func TestPathsThereAndBack(t *testing.T) {
	events := []PathEvent{
		{Root: 1, Mask: Create | IsDir, Name: []byte("new")},
		{Root: 1, Mask: Modify | CloseWrite | Attrib, PID: 4711, Dir: []byte("a/b"), Name: []byte("file")},
		{Root: 2, Mask: MovedFrom, Cookie: 7, Dir: []byte("a"), Name: []byte("..x")},
		{Root: 2, Mask: MovedTo, Cookie: 7, Dir: []byte("b"), Name: []byte("...")},
		{Root: 1, Mask: Changed, Dir: []byte(strings.Repeat("d/", 2047) + "d")},
		{Root: 1, Mask: Overflow},
		{Cookie: 99},
		{Root: 1, Mask: Delete, PID: -1, Dir: []byte("\xff\n"), Name: bytes.Repeat([]byte("n"), 255)},
	}
	var packet []byte
	for _, e := range events {
		packet = AppendPath(packet, e)
	}
	got, err := decodePaths(t, packet)
	if err != nil || len(got) != len(events) {
		t.Fatalf("%d of %d events, %v", len(got), len(events), err)
	}
	for i, e := range events {
		g := got[i]
		if g.Root != e.Root || g.Mask != e.Mask || g.Cookie != e.Cookie || g.PID != e.PID ||
			!bytes.Equal(g.Dir, e.Dir) || !bytes.Equal(g.Name, e.Name) {
			t.Errorf("%+v came back as %+v", e, g)
		}
	}
	if !got[6].IsMark() || got[5].IsMark() {
		t.Error("which one is a mark?")
	}
	for n := 1; n < len(packet); n++ {
		whole := 0
		if err := DecodePaths(packet[:n], func(PathEvent) { whole++ }); err == nil && whole == len(events) {
			t.Errorf("%d bytes of %d are taken for all", n, len(packet))
		}
	}
}

func TestPathsThatAreNone(t *testing.T) {
	bad := map[string]PathEvent{
		"a slash before":      {Mask: Create, Dir: []byte("/a"), Name: []byte("n")},
		"a slash behind":      {Mask: Create, Dir: []byte("a/"), Name: []byte("n")},
		"two slashes":         {Mask: Create, Dir: []byte("a//b")},
		"a dot":               {Mask: Create, Dir: []byte("a/./b")},
		"the directory above": {Mask: Create, Dir: []byte(".."), Name: []byte("n")},
		"above, last":         {Mask: Create, Dir: []byte("a/.."), Name: []byte("n")},
		"NUL":                 {Mask: Create, Dir: []byte("a\x00b")},
		"too long":            {Mask: Create, Dir: []byte(strings.Repeat("d/", 2047) + "dd")},
		"a component, too":    {Mask: Create, Dir: bytes.Repeat([]byte("d"), 256)},
		"a name with a slash": {Mask: Create, Name: []byte("a/b")},
		"a name that is dot":  {Mask: Create, Name: []byte(".")},
		"a name that is up":   {Mask: Create, Name: []byte("..")},
		"a name with NUL":     {Mask: Create, Name: []byte("a\x00")},
		"a name too long":     {Mask: Create, Name: bytes.Repeat([]byte("n"), 256)},
		"an unknown word":     {Mask: Create | 1<<20},
		"opened":              {Mask: Open, Name: []byte("n")},
		"more than overflow":  {Mask: Overflow | Create},
		"overflow somewhere":  {Mask: Overflow, Dir: []byte("a")},
		"overflow of a name":  {Mask: Overflow, Name: []byte("a")},
		"a mark of a root":    {Root: 1, Cookie: 1},
		"a mark of a name":    {Cookie: 1, Name: []byte("a")},
		"a mark by somebody":  {Cookie: 1, PID: 1},
		"overflow by a pid":   {Mask: Overflow, PID: 1},
		"a cookie's overflow": {Mask: Overflow, Cookie: 1},
	}
	for what, e := range bad {
		if got, err := decodePaths(t, AppendPath(nil, e)); err == nil {
			t.Errorf("%s: %+v is taken", what, got)
		}
	}
	if _, err := decodePaths(t, nil); err == nil {
		t.Error("an empty packet is taken")
	}
}

func TestDecodePathsAllocatesNothing(t *testing.T) {
	var packet []byte
	for range 100 {
		packet = AppendPath(packet, PathEvent{Root: 1, Mask: Modify, Dir: []byte("a/b/c"), Name: []byte("name")})
	}
	n := 0
	emit := func(PathEvent) { n++ }
	if allocs := testing.AllocsPerRun(10, func() { _ = DecodePaths(packet, emit) }); allocs > 0 || n < 1000 {
		t.Errorf("%v allocations for %d events", allocs, n)
	}
}

func BenchmarkDecodePaths(b *testing.B) {
	var packet []byte
	for range 100 {
		packet = AppendPath(packet, PathEvent{Root: 1, Mask: Modify, Dir: []byte("some/directory/below"), Name: []byte("name.txt")})
	}
	emit := func(PathEvent) {}
	b.ReportAllocs()
	for b.Loop() {
		if err := DecodePaths(packet, emit); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/event")
}

// FuzzDecodePaths: what is accepted is made of records that are written again
// byte for byte the same, and names nothing outside a root.
func FuzzDecodePaths(f *testing.F) {
	f.Add(AppendPath(nil, PathEvent{Root: 1, Mask: Create | IsDir, Dir: []byte("a/b"), Name: []byte("c")}))
	f.Add(AppendPath(AppendPath(nil, PathEvent{Root: 1, Mask: Overflow}), PathEvent{Cookie: 3}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, packet []byte) {
		var again []byte
		err := DecodePaths(packet, func(e PathEvent) {
			again = AppendPath(again, e)
			for _, part := range strings.Split(string(e.Dir), "/") {
				if part == ".." || part == "." || part == "" && len(e.Dir) > 0 || strings.Contains(part, "\x00") {
					t.Errorf("directory %q", e.Dir)
				}
			}
			if name := string(e.Name); name == "." || name == ".." || strings.ContainsAny(name, "/\x00") || len(name) > 255 || len(e.Dir) > 4095 {
				t.Errorf("name %q in %q", e.Name, e.Dir)
			}
		})
		if err == nil && !bytes.Equal(again, packet) {
			t.Errorf("%x came back as %x", packet, again)
		}
	})
}

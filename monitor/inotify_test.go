package monitor

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/ipc"
)

func TestValuesAreTheKernels(t *testing.T) {
	want := map[Op]uint32{
		Access: unix.IN_ACCESS, Modify: unix.IN_MODIFY, Attrib: unix.IN_ATTRIB,
		CloseWrite: unix.IN_CLOSE_WRITE, CloseNoWrite: unix.IN_CLOSE_NOWRITE,
		Open: unix.IN_OPEN, MovedFrom: unix.IN_MOVED_FROM, MovedTo: unix.IN_MOVED_TO,
		Create: unix.IN_CREATE, Delete: unix.IN_DELETE, DeleteSelf: unix.IN_DELETE_SELF,
		MoveSelf: unix.IN_MOVE_SELF, Unmount: unix.IN_UNMOUNT, Overflow: unix.IN_Q_OVERFLOW,
		Ignored: unix.IN_IGNORED, IsDir: unix.IN_ISDIR, OnlyDir: unix.IN_ONLYDIR,
		DontFollow: unix.IN_DONT_FOLLOW, ExclUnlink: unix.IN_EXCL_UNLINK,
	}
	for op, value := range want {
		if uint32(op) != value {
			t.Errorf("%v is %#x, the kernel says %#x", op, uint32(op), value)
		}
	}
	if InotifyMask != ipc.InotifyMask {
		t.Errorf("the mask is %#x, the helper's is %#x", InotifyMask, ipc.InotifyMask)
	}
	if headerSize != unix.SizeofInotifyEvent {
		t.Errorf("header of %d bytes, the kernel says %d", headerSize, unix.SizeofInotifyEvent)
	}
}

func TestString(t *testing.T) {
	for op, want := range map[Op]string{
		0:                       "none",
		Create | IsDir:          "CREATE|ISDIR",
		Overflow:                "Q_OVERFLOW",
		Op(0x1000):              "0x1000",
		MovedFrom | Op(1<<31):   "MOVED_FROM|0x80000000",
		Op(InotifyMask) & 0xfff: "MODIFY|ATTRIB|CLOSE_WRITE|MOVED_FROM|MOVED_TO|CREATE|DELETE|DELETE_SELF|MOVE_SELF",
	} {
		if got := op.String(); got != want {
			t.Errorf("%#x: %q, want %q", uint32(op), got, want)
		}
	}
}

// decoded keeps events beyond the life of their names.
func decoded(buf []byte) ([]Event, error) {
	var all []Event
	err := Decode(buf, func(e Event) {
		e.Name = bytes.Clone(e.Name)
		all = append(all, e)
	})
	return all, err
}

func TestDecode(t *testing.T) {
	events := []Event{
		{WD: 1, Mask: Create, Name: []byte("a")},
		{WD: -1, Mask: Overflow},
		{WD: 7, Mask: MovedFrom | IsDir, Cookie: 99, Name: bytes.Repeat([]byte{0xff}, 255)},
		{WD: 2, Mask: Delete, Name: []byte("exactly15bytes!")},
		{WD: 2, Mask: Delete, Name: []byte("exactly16bytes!!")},
		{WD: 1 << 30, Mask: Ignored},
	}
	buf := []byte{0} // an odd offset: nothing may depend on alignment
	for _, e := range events {
		buf = Append(buf, e)
	}
	buf = buf[1:]
	got, err := decoded(buf)
	if err != nil || len(got) != len(events) {
		t.Fatalf("%d events, %v", len(got), err)
	}
	for i, e := range events {
		if g := got[i]; g.WD != e.WD || g.Mask != e.Mask || g.Cookie != e.Cookie || !bytes.Equal(g.Name, e.Name) {
			t.Errorf("event %d is %v, want %v", i, g, e)
		}
	}
	for n := range buf {
		short, err := decoded(buf[:n])
		if err == nil && !bytes.Equal(encode(short), buf[:n]) {
			t.Fatalf("%d of %d bytes were accepted and not all consumed", n, len(buf))
		}
	}
}

func encode(events []Event) []byte {
	var buf []byte
	for _, e := range events {
		buf = Append(buf, e)
	}
	return buf
}

func TestDecodeRefuses(t *testing.T) {
	good := Append(nil, Event{WD: 1, Mask: Create, Name: []byte("abc")})
	change := func(at int, b byte) []byte {
		bad := bytes.Clone(good)
		bad[at] = b
		return bad
	}
	long := Append(nil, Event{WD: 1, Name: bytes.Repeat([]byte{'x'}, 256)})
	unended := bytes.Clone(good)
	for i := headerSize; i < len(unended); i++ {
		unended[i] = 'x'
	}
	for _, c := range []struct {
		name, want string
		buf        []byte
	}{
		{"short header", "cut short", good[:15]},
		{"short name", "cut short", good[:len(good)-1]},
		{"huge length", "cut short", change(15, 0xff)},
		{"slash", "slash", change(headerSize, '/')},
		{"padding", "padding", change(len(good)-1, 'x')},
		{"no end", "no end", unended},
		{"long", "256 bytes", long},
		{"trailing byte", "cut short", append(bytes.Clone(good), 0)},
	} {
		if _, err := decoded(c.buf); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	var buf []byte
	for range 100 {
		buf = Append(buf, Event{WD: 3, Mask: Modify, Name: []byte("a file with a name")})
	}
	total := 0
	emit := func(e Event) { total += len(e.Name) }
	if n := testing.AllocsPerRun(10, func() {
		if err := Decode(buf, emit); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for 100 events", n)
	}
}

// TestAgainstTheKernel reads a real descriptor.
func TestAgainstTheKernel(t *testing.T) {
	dir := t.TempDir()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	wd, err := unix.InotifyAddWatch(fd, dir, InotifyMask)
	if err != nil {
		t.Fatal(err)
	}
	name := "\xff odd\n" + strings.Repeat("n", 240)
	if err := unix.Mkdir(dir+"/"+name, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Rename(dir+"/"+name, dir+"/b"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4*MinBuffer)
	n, err := unix.Read(fd, buf)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decoded(buf[:n])
	if err != nil || len(got) != 3 {
		t.Fatalf("%v %v", got, err)
	}
	for i, want := range []Event{
		{WD: int32(wd), Mask: Create | IsDir, Name: []byte(name)},
		{WD: int32(wd), Mask: MovedFrom | IsDir, Name: []byte(name)},
		{WD: int32(wd), Mask: MovedTo | IsDir, Name: []byte("b")},
	} {
		if g := got[i]; g.WD != want.WD || g.Mask != want.Mask || !bytes.Equal(g.Name, want.Name) {
			t.Errorf("event %d is %v, want %v", i, g, want)
		}
	}
	if got[1].Cookie == 0 || got[1].Cookie != got[2].Cookie {
		t.Errorf("cookies %d and %d", got[1].Cookie, got[2].Cookie)
	}
}

// FuzzDecode: what is accepted comes back byte for byte the same, unless the
// padding is longer than the kernel makes it; and no event is invented.
func FuzzDecode(f *testing.F) {
	f.Add(Append(nil, Event{WD: 1, Mask: Create, Name: []byte("x")}))
	f.Add(Append(Append(nil, Event{WD: -1, Mask: Overflow}), Event{WD: 2, Mask: Attrib | IsDir}))
	f.Fuzz(func(t *testing.T, buf []byte) {
		events, err := decoded(buf)
		for _, e := range events {
			if len(e.Name) > maxName || bytes.ContainsAny(e.Name, "/\x00") {
				t.Fatalf("name %q", e.Name)
			}
		}
		again, err2 := decoded(encode(events))
		if err2 != nil || len(again) != len(events) {
			t.Fatalf("%d events came back as %d: %v", len(events), len(again), err2)
		}
		for i := range events {
			if a, b := events[i], again[i]; a.WD != b.WD || a.Mask != b.Mask || a.Cookie != b.Cookie || !bytes.Equal(a.Name, b.Name) {
				t.Fatalf("%v came back as %v", a, b)
			}
		}
		if err == nil && len(buf) > 0 && len(events) == 0 {
			t.Fatal("bytes were accepted without an event")
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	var buf []byte
	for range 1000 {
		buf = Append(buf, Event{WD: 3, Mask: Modify, Name: []byte("a file with a name")})
	}
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Decode(buf, func(Event) {}); err != nil {
			b.Fatal(err)
		}
	}
}

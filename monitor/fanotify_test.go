package monitor

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
)

// handleOf makes a handle as ext4's are.
func handleOf(b ...byte) Handle {
	h := binary.NativeEndian.AppendUint32(nil, uint32(len(b)))
	return append(binary.NativeEndian.AppendUint32(h, 1), b...)
}

func changes() []Change {
	a, b, x := handleOf(1, 2, 3, 4, 5, 6, 7, 8), handleOf(9, 2, 3, 4, 5, 6, 7, 8, 1, 1, 1, 1), handleOf(bytes.Repeat([]byte{7}, 128)...)
	return []Change{
		{Mask: Create | Modify | CloseWrite, PID: 7, Dir: a, Name: []byte("f"), Target: x},
		{Mask: Attrib | IsDir, PID: -1, Dir: a},
		{Mask: Attrib, PID: 7, Target: x},
		{Mask: Rename | IsDir, PID: 7, Dir: a, Name: []byte("old"), NewDir: b, NewName: []byte("..."), Target: x},
		{Mask: Rename, Dir: a, Name: bytes.Repeat([]byte("n"), 255), NewDir: a, NewName: []byte("\xff\n"), Target: x},
		{Mask: Delete, Dir: a, Name: []byte("abcd"), Target: b},
		{Mask: Overflow},
	}
}

func decodeChanges(buf []byte) (got []Change, err error) {
	err = DecodeChanges(buf, func(c Change) {
		for _, h := range []*Handle{&c.Dir, &c.NewDir, &c.Target} {
			*h = bytes.Clone(*h)
		}
		c.Name, c.NewName = bytes.Clone(c.Name), bytes.Clone(c.NewName)
		got = append(got, c)
	})
	return got, err
}

func TestChangesThereAndBack(t *testing.T) {
	var buf []byte
	for _, c := range changes() {
		buf = AppendChange(buf, c)
	}
	got, err := decodeChanges(buf)
	if err != nil || !reflect.DeepEqual(got, changes()) {
		t.Fatalf("%+v, %v", got, err)
	}
	for n := 1; n < len(buf); n++ {
		if got, err := decodeChanges(buf[:n]); err == nil && len(got) == len(changes()) {
			t.Errorf("%d bytes of %d are taken for all", n, len(buf))
		}
	}
	large := AppendChange(nil, Change{Mask: Rename, Dir: changes()[2].Target, Name: bytes.Repeat([]byte("n"), 255),
		NewDir: changes()[2].Target, NewName: bytes.Repeat([]byte("n"), 255), Target: changes()[2].Target})
	if len(large) > MinChanges {
		t.Errorf("the largest record has %d bytes, MinChanges says %d", len(large), MinChanges)
	}
}

// What a kernel of the tested kind wrote, byte for byte.
func TestChangeOfTheKernel(t *testing.T) {
	raw := "\x54\x00\x00\x00\x03\x00\x18\x00\x00\x01\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xa9\x73\x00\x00" +
		"\x02\x00\x20\x00\x8f\x8a\x64\x4b\xdb\x5e\x7c\x5d\x08\x00\x00\x00\x01\x00\x00\x00\x48\xa1\x98\x00\x18\x6b\x04\x40f\x00\x00\x00" +
		"\x01\x00\x1c\x00\x8f\x8a\x64\x4b\xdb\x5e\x7c\x5d\x08\x00\x00\x00\x01\x00\x00\x00\x49\xa1\x98\x00\xea\x52\x87\x43"
	got, err := decodeChanges([]byte(raw))
	want := []Change{{Mask: Create, PID: 29609, Name: []byte("f"),
		Dir:    Handle("\x08\x00\x00\x00\x01\x00\x00\x00\x48\xa1\x98\x00\x18\x6b\x04\x40"),
		Target: Handle("\x08\x00\x00\x00\x01\x00\x00\x00\x49\xa1\x98\x00\xea\x52\x87\x43")}}
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 && (err != nil || !reflect.DeepEqual(got, want)) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestChangesThatAreNone(t *testing.T) {
	one := AppendChange(nil, changes()[0]) // info of the directory at 24, of the target behind it
	edit := func(at int, b ...byte) []byte {
		return append(append(bytes.Clone(one[:at]), b...), one[at+len(b):]...)
	}
	target := 24 + 32
	cases := map[string][]byte{
		"another version":          edit(4, 2),
		"another header size":      edit(6, 25),
		"a descriptor":             edit(16, 3, 0, 0, 0),
		"no word":                  edit(8, 0, 0),
		"a word beyond 32 bits":    edit(12, 1),
		"a length below a header":  edit(0, 23),
		"longer than the buffer":   edit(0, 255),
		"an information too short": edit(26, 19),
		"an unaligned information": edit(26, 31),
		"an information too long":  edit(26, 0xff),
		"padding of a header":      edit(25, 1),
		"an unknown information":   edit(24, 4),
		"an old place, no rename":  edit(24, infoOldName),
		"a new place, no rename":   edit(24, infoNewName),
		"a target twice":           edit(24, infoFID),
		"two places":               edit(target, infoDirName),
		"an empty handle":          edit(36, 0),
		"a handle too long":        edit(36, 129),
		"a handle beyond its end":  edit(36, 20),
		"a huge handle":            edit(39, 0xff),
		"a name with a slash":      edit(52, '/'),
		"an empty name":            edit(52, 0),
		"a name without an end":    edit(52, 'a', 'b', 'c', 'd'),
		"a name behind its end":    edit(52, 'a', 0, 'c', 0),
		"a name that is up":        edit(52, '.', '.'),
		"overflow somewhere":       edit(9, 0x40),
	}
	if got, err := decodeChanges(one); err != nil || len(got) != 1 {
		t.Fatalf("the sound one: %+v, %v", got, err)
	}
	for what, raw := range cases {
		if got, err := decodeChanges(raw); err == nil {
			t.Errorf("%s: %+v is taken", what, got)
		}
	}
	long := AppendChange(nil, Change{Mask: Create, Dir: changes()[0].Dir, Name: []byte(strings.Repeat("n", 256))})
	if _, err := decodeChanges(long); err == nil {
		t.Error("a name of 256 bytes is taken")
	}
}

func TestDecodeChangesAllocatesNothing(t *testing.T) {
	var buf []byte
	for range 20 {
		for _, c := range changes() {
			buf = AppendChange(buf, c)
		}
	}
	n := 0
	emit := func(Change) { n++ }
	if allocs := testing.AllocsPerRun(10, func() { _ = DecodeChanges(buf, emit) }); allocs > 0 || n < 1000 {
		t.Errorf("%v allocations for %d records", allocs, n)
	}
}

func BenchmarkDecodeChanges(b *testing.B) {
	var buf []byte
	for range 100 {
		buf = AppendChange(buf, changes()[0])
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := DecodeChanges(buf, func(Change) {}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/event")
}

// FuzzDecodeChanges: what is accepted has proper names and handles, and comes
// back the same when it is written again.
func FuzzDecodeChanges(f *testing.F) {
	var all []byte
	for _, c := range changes() {
		f.Add(AppendChange(nil, c))
		all = AppendChange(all, c)
	}
	f.Add(all)
	f.Fuzz(func(t *testing.T, buf []byte) {
		got, err := decodeChanges(buf)
		for _, c := range got {
			for _, name := range []string{string(c.Name), string(c.NewName)} {
				if name == "." || name == ".." || strings.ContainsAny(name, "/\x00") || len(name) > 255 {
					t.Errorf("name %q", name)
				}
			}
			for _, h := range []Handle{c.Dir, c.NewDir, c.Target} {
				if h != nil && (len(h) <= 8 || len(h) > 8+128 || int(binary.NativeEndian.Uint32(h)) != len(h)-8) {
					t.Errorf("handle %x", h)
				}
			}
		}
		if err != nil {
			return
		}
		var again []byte
		for _, c := range got {
			again = AppendChange(again, c)
		}
		if back, err := decodeChanges(again); err != nil || !reflect.DeepEqual(back, got) {
			t.Errorf("%+v came back as %+v, %v", got, back, err)
		}
	})
}

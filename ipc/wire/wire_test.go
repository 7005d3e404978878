package wire

import (
	"bytes"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

type (
	color  uint8
	handle uint16
)

// sample has a field of every kind.
type sample struct {
	small  uint8
	short  uint16
	word   uint32
	signed int32
	long   uint64
	number int
	color  color
	handle handle
	yes    bool
	span   time.Duration
	name   string
	raw    []byte
	list   []string
}

func (s *sample) Layout(c *Codec) {
	U8(c, &s.small)
	U16(c, &s.short)
	U32(c, &s.word)
	U32(c, &s.signed)
	U64(c, &s.long)
	U64(c, &s.number)
	Enum(c, &s.color, 3)
	Handle(c, &s.handle)
	Flag(c, &s.yes)
	Span(c, &s.span)
	Blob(c, &s.name, 8)
	Blob(c, &s.raw, 8)
	List(c, &s.list, 3, func(c *Codec, s *string) { Blob(c, s, 4) })
	c.Must(s.small != 13, "thirteen")
}

func full() sample {
	return sample{255, 1 << 15, 1 << 31, -1, 1 << 63, -2, 2, 1, true, time.Hour, "12345678", []byte{0, 255}, []string{"", "abcd", "x"}}
}

func TestRoundTrip(t *testing.T) {
	want := full()
	b, err := Append([]byte("before"), &want)
	if err != nil || !bytes.HasPrefix(b, []byte("before")) {
		t.Fatalf("%q %v", b, err)
	}
	b = b[len("before"):]
	got, err := Decode[sample](bytes.Clone(b))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v %v", got, err)
	}
	for n := range b {
		if got, err := Decode[sample](b[:n]); err == nil || !reflect.DeepEqual(got, sample{}) {
			t.Errorf("%d of %d bytes: %+v %v", n, len(b), got, err)
		}
	}
	if _, err := Decode[sample](append(b, 0)); err == nil || !strings.Contains(err.Error(), "trailing") {
		t.Errorf("a trailing byte: %v", err)
	}
}

func TestOrderOfBytes(t *testing.T) {
	b, err := Append(nil, &sample{short: 0x0102, signed: -2, handle: 3, name: "n"})
	want := "\x00\x02\x01\x00\x00\x00\x00\xfe\xff\xff\xff" + strings.Repeat("\x00", 17) + "\x03\x00\x00" +
		strings.Repeat("\x00", 8) + "\x01\x00\x00\x00n" + strings.Repeat("\x00", 8)
	if err != nil || string(b) != want {
		t.Errorf("%q %v, want %q", b, err, want)
	}
}

func TestRefused(t *testing.T) {
	for name, change := range map[string]func(*sample){
		"color":      func(s *sample) { s.color = 3 },
		"handle":     func(s *sample) { s.handle = 0 },
		"span":       func(s *sample) { s.span = -1 },
		"name":       func(s *sample) { s.name += "9" },
		"list":       func(s *sample) { s.list = make([]string, 4) },
		"an element": func(s *sample) { s.list[0] = "abcde" },
		"must":       func(s *sample) { s.small = 13 },
	} {
		s := full()
		change(&s)
		if _, err := Append(nil, &s); err == nil {
			t.Errorf("%s was written", name)
		}
	}
}

type numbers []uint64

func (n *numbers) Layout(c *Codec) { List(c, (*[]uint64)(n), 1<<30, U64[uint64]) }

// TestFalseLengths: nothing is made for a length that the rest cannot hold.
func TestFalseLengths(t *testing.T) {
	b := []byte{255, 255, 255, 63, 1, 2, 3}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Decode[numbers](b)
	if runtime.ReadMemStats(&after); err == nil {
		t.Error("taken")
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Fatalf("%d bytes are made for it", n)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = Decode[numbers](b) }); n > 10 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzDecode: what is taken is written back the same, and is the reader's own.
func FuzzDecode(f *testing.F) {
	s := full()
	b, err := Append(nil, &s)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		mine := bytes.Clone(b)
		s, err := Decode[sample](mine)
		if err != nil {
			return
		}
		clear(mine)
		if again, err := Append(nil, &s); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%v, %x, was %x", err, again, b)
		}
	})
}

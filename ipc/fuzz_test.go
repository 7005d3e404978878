package ipc

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"lockstep/ipc/wire"
)

// FuzzDecode gives bytes to every decoder: which one is the first byte. What a
// decoder takes, the encoder must turn back into the same bytes.
func FuzzDecode(f *testing.F) {
	var names []string
	all := kinds()
	for n := range all {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, m := range full() {
		pkt, err := Append(nil, 0, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(slices.Index(names, name(m))), pkt[headerSize:])
	}
	f.Fuzz(func(t *testing.T, which byte, b []byte) {
		if len(b) > MaxPacket-headerSize {
			return
		}
		m, err := all[names[int(which)%len(names)]](b)
		if err != nil {
			return
		}
		again, err := Append(nil, 0, m)
		if err != nil || !bytes.Equal(again[headerSize:], b) {
			t.Fatalf("%+v: %v, %x, was %x", m, err, again, b)
		}
	})
}

// FuzzHelperConfig does the same with the helper's configuration.
func FuzzHelperConfig(f *testing.F) {
	c := helperConfig()
	b, err := wire.Append(nil, &c)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := wire.Decode[HelperConfig](b)
		if err != nil {
			return
		}
		if again, err := wire.Append(nil, &c); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%v, %x, was %x", err, again, b)
		}
	})
}

// FuzzHeader: a header that is taken is written back the same.
func FuzzHeader(f *testing.F) {
	f.Add([]byte{4, 0, 1, 0, 1, 0, 0, 0, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, payload, err := ParseHeader(b)
		if err != nil {
			return
		}
		again := append(appendHeader(nil, h.Type, h.Seq), payload...)
		if !h.Final {
			again[2] = 0
		}
		if !reflect.DeepEqual(again, b) {
			t.Fatalf("%x, was %x", again, b)
		}
	})
}

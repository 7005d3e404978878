package ipc

import (
	"bytes"
	"reflect"
	"slices"
	"testing"
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

// FuzzConfigs does the same with the configurations and the report.
func FuzzConfigs(f *testing.F) {
	h, w, r := helperConfig(), workerConfig(), runnerConfig()
	for i, c := range []interface{ Encode() ([]byte, error) }{&h, &w, &r} {
		b, err := c.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(i), b)
	}
	report := (&Report{State: StateHeld, Ready: 1}).Encode()
	f.Add(byte(3), report[:])
	f.Fuzz(func(t *testing.T, which byte, b []byte) {
		var again []byte
		var err, bad error
		switch which % 4 {
		case 0:
			var c HelperConfig
			if c, bad = DecodeHelperConfig(b); bad == nil {
				again, err = c.Encode()
			}
		case 1:
			var c WorkerConfig
			if c, bad = DecodeWorkerConfig(b); bad == nil {
				again, err = c.Encode()
			}
		case 2:
			var c RunnerConfig
			if c, bad = DecodeRunnerConfig(b); bad == nil {
				again, err = c.Encode()
			}
		default:
			var c Report
			if c, bad = DecodeReport(b); bad == nil {
				packet := c.Encode()
				again = packet[:]
			}
		}
		if bad == nil && (err != nil || !bytes.Equal(again, b)) {
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

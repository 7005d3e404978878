package witness

import (
	"bytes"
	"crypto/sha256"
	"io"
	"reflect"
	"testing"

	"lockstep/internal/memfd"
	"lockstep/ipc"
	"lockstep/ipc/wire"
)

func TestRoundTrip(t *testing.T) {
	for _, p := range []Packet{
		{Begin: &Begin{Job: 1, Kind: ipc.JobWide, Sum: [32]byte{1, 31: 9}, Entries: 3, Bytes: 9}},
		{End: &End{Job: 1 << 60, How: ipc.EndHeldMany, Code: 255, Micros: 1 << 40}},
	} {
		data, err := wire.Append(nil, &p)
		if err != nil || len(data) >= MaxPacket || len(data) < 2 {
			t.Fatalf("%d bytes, %v", len(data), err)
		}
		got, err := wire.Decode[Packet](data)
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("%+v %v, want %+v", got, err, p)
		}
		for n := range data {
			if _, err := wire.Decode[Packet](data[:n]); err == nil {
				t.Errorf("%d of %d bytes were taken", n, len(data))
			}
		}
	}
}

func TestLook(t *testing.T) {
	text := []byte("./a\x00./b\x00")
	list, err := memfd.Sealed("list", text)
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	if _, err := list.Seek(2, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	b, err := Look(4, ipc.JobList, list)
	if want := (Begin{Job: 4, Kind: ipc.JobList, Sum: sha256.Sum256(text), Entries: 2, Bytes: 8}); err != nil || b != want {
		t.Errorf("%+v %v, want %+v", b, err, want)
	}
	if rest, err := io.ReadAll(list); err != nil || string(rest) != "a\x00./b\x00" {
		t.Errorf("its position was moved: %q %v", rest, err)
	}
}

// FuzzPacket: what is taken is written back the same.
func FuzzPacket(f *testing.F) {
	for _, p := range []Packet{{Begin: &Begin{Job: 1, Kind: ipc.JobList, Bytes: 4, Entries: 1}}, {End: &End{Job: 1, How: ipc.EndExited}}} {
		data, err := wire.Append(nil, &p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := wire.Decode[Packet](data)
		if err != nil {
			return
		}
		if (p.Begin == nil) == (p.End == nil) {
			t.Fatal("neither or both")
		}
		if again, err := wire.Append(nil, &p); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%x became %x, %v", data, again, err)
		}
	})
}

package control

import (
	"bytes"
	"reflect"
	"testing"

	"lockstep/ipc/wire"
)

func TestRequest(t *testing.T) {
	for _, k := range Commands() {
		for _, sync := range []uint16{0, 1, 999} {
			r := Request{Number: 7, UID: 1000, Command: k.Command, Sync: sync}
			data, err := wire.Append(nil, &r)
			if (err == nil) != (sync == 0 || k.Sync) {
				t.Errorf("%s of %d: %v", k.Name, sync, err)
			}
			if err != nil {
				continue
			}
			got, err := wire.Decode[Request](data)
			if err != nil || got != r || len(data) != RequestSize {
				t.Errorf("%s: %+v in %d bytes, %v", k.Name, got, len(data), err)
			}
		}
	}
	for _, data := range [][]byte{nil, make([]byte, RequestSize), bytes.Repeat([]byte{1}, RequestSize), make([]byte, RequestSize+1)} {
		if r, err := wire.Decode[Request](data); err == nil {
			t.Errorf("%x: %+v", data, r)
		}
	}
}

func TestAnswerAndConfig(t *testing.T) {
	a := Answer{Number: 3, End: Done, Text: bytes.Repeat([]byte("x"), MaxText)}
	data, err := wire.Append(nil, &a)
	if err != nil || len(data) > AnswerSize {
		t.Fatalf("%d bytes, %v", len(data), err)
	}
	if got, err := wire.Decode[Answer](data); err != nil || !reflect.DeepEqual(got, a) {
		t.Errorf("%v", err)
	}
	c := Config{Build: "b", UIDs: []uint32{1}, GIDs: []uint32{2}, Syncs: []string{"a", "b"}}
	if data, err = wire.Append(nil, &c); err != nil {
		t.Fatal(err)
	}
	if got, err := wire.Decode[Config](data); err != nil || !reflect.DeepEqual(got, c) {
		t.Errorf("%+v, %v", got, err)
	}
}

// What the supervisor accepts of a gate is a request, and no other bytes mean it.
func FuzzRequest(f *testing.F) {
	r := Request{Number: 1, Command: Status}
	data, err := wire.Append(nil, &r)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := wire.Decode[Request](data)
		if err != nil {
			return
		}
		k := r.Command.Kind()
		again, err := wire.Append(nil, &r)
		if err != nil || !bytes.Equal(again, data) || k.Name == "" || r.Sync > 0 && !k.Sync {
			t.Fatalf("%x: %+v, %x, %v", data, r, again, err)
		}
	})
}

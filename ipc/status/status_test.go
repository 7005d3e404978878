package status

import (
	"bytes"
	"reflect"
	"testing"

	"lockstep/ipc/wire"
)

// TestReport fills every field by reflection, so that none is forgotten.
func TestReport(t *testing.T) {
	var r Report
	v := reflect.ValueOf(&r).Elem()
	if v.NumField() != numReport {
		t.Fatalf("%d fields, numReport is %d", v.NumField(), numReport)
	}
	for i := 1; i < v.NumField(); i++ {
		v.Field(i).SetUint(uint64(i) << 32)
	}
	r.State = StateDraining
	b := r.Encode()
	for i := 1; i < numReport; i++ {
		if b[8*i+4] != byte(i) {
			t.Errorf("field %d is not in its place", i)
		}
	}
	got, err := wire.Decode[Report](b[:])
	if err != nil || got != r {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := wire.Decode[Report](b[:len(b)-1]); err == nil {
		t.Error("a short report was taken")
	}
	r.State++
	b = r.Encode()
	if _, err := wire.Decode[Report](b[:]); err == nil {
		t.Error("an unknown state was taken")
	}
}

// FuzzReport: what is taken is written back the same.
func FuzzReport(f *testing.F) {
	b := (&Report{State: StateHeld, Ready: 1}).Encode()
	f.Add(b[:])
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := wire.Decode[Report](b)
		if err != nil {
			return
		}
		if again := r.Encode(); !bytes.Equal(again[:], b) {
			t.Fatalf("%x, was %x", again, b)
		}
	})
}

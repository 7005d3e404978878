package line

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"lockstep/ipc/control"
)

func TestDecode(t *testing.T) {
	for _, k := range control.Commands() {
		r := Request{V: Version, Command: k.Name}
		if k.Sync {
			r.Sync = "www"
		}
		text, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, kind, err := Decode(bytes.TrimSuffix(text, []byte("\n")))
		if err != nil || got != r || kind != k {
			t.Errorf("%s: %+v, %+v, %v", k.Name, got, kind, err)
		}
	}
	_, _, err := Decode([]byte(`{"v":1,"command":"set","sync":"a"}`))
	var f Fault
	if !errors.As(err, &f) || f.Code != CodeRefused || !strings.Contains(f.Message, "reload") {
		t.Errorf("set: %v", err)
	}
}

func TestAnswers(t *testing.T) {
	if got, err := DecodeAnswer(Accept([]byte(`{"a":1}`))); err != nil || string(got) != `{"a":1}` {
		t.Errorf("%s, %v", got, err)
	}
	for _, err := range []error{Fault{CodeBusy, "later"}, errors.New("no\nway")} {
		text := Refuse(err)
		_, got := DecodeAnswer(text)
		if bytes.Count(text, []byte("\n")) != 1 || got == nil || got.Error() != err.Error() {
			t.Errorf("%q: %v", text, got)
		}
	}
	for _, text := range []string{"", "{}", "[]", `{"v":2,"ok":true}`, `{"v":1,"ok":false}`, `{"v":1`} {
		if _, err := DecodeAnswer([]byte(text)); err == nil {
			t.Errorf("%q is an answer", text)
		}
	}
}

// What is accepted is a request that can be written again, of a command that there
// is; what is not is a Fault.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"v":1,"command":"status"}`, `{"v":1,"command":"resync","sync":"www"}`, `{"v":1,"command":"set"}`, `{"V":1,"COMMAND":"quit"}`,
		`{"v":1e0,"command":"\u0073tatus"}`, `{"v":1,"command":"status","command":"die"}`, `{"v":9999999999999999999}`, "{", "\xff", `{"v":1,"command":"status"}x`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, kind, err := Decode(text)
		if err != nil {
			var fault Fault
			if !errors.As(err, &fault) || fault.Code == "" || fault.Message == "" {
				t.Fatalf("%q: %v", text, err)
			}
			if out := Refuse(err); bytes.Count(out, []byte("\n")) != 1 || !json.Valid(out) {
				t.Fatalf("%q: %q", text, out)
			}
			return
		}
		if k, known := control.Named(r.Command); !known || k != kind || r.Sync != "" && !kind.Sync || r.V != Version || len(text) > MaxRequest {
			t.Fatalf("%q: %+v", text, r)
		}
		again, err := r.Encode()
		if err != nil || bytes.Count(again, []byte("\n")) != 1 {
			t.Fatalf("%q: %q, %v", text, again, err)
		}
		if back, _, err := Decode(bytes.TrimSuffix(again, []byte("\n"))); err != nil && len(again) <= MaxRequest || err == nil && back != r {
			t.Fatalf("%q: %+v, %v", again, back, err)
		}
	})
}

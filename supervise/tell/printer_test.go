package tell

import (
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// A line that is no object goes nowhere; the root is the supervisor's word, also
// when the worker says another.
func TestEventIsAnObject(t *testing.T) {
	p := &Printer{JSON: true}
	for _, line := range []string{"", "{", "{}", "x", `{"op":"create"`, `["op"]`, `{ "op":"x"}`} {
		if b, err := p.Event(nil, "/r", []byte(line)); err == nil {
			t.Errorf("%q became %q", line, b)
		}
	}
	for _, root := range []string{"/r", "/r\xff", "/\x1b[2J\"\\"} {
		b, err := p.Event(nil, root, []byte(`{"op":"create","path":"a"}`))
		var e struct {
			Root   string
			Root64 []byte `json:"root_b64"`
			Path   string
		}
		if err != nil || json.Unmarshal(b, &e) != nil || e.Root+string(e.Root64) != root || e.Path != "a" || strings.ContainsRune(string(b), 0x1b) {
			t.Errorf("%q: %s, %v", root, b, err)
		}
	}
	if b, err := (&Printer{Label: true}).Event(nil, "/r\n", []byte("create file a")); err != nil || string(b) != "/r\\x0a: create file a\n" {
		t.Errorf("%q, %v", b, err)
	}
}

// The first line says ready once all are, and nothing of a root that waits comes
// before it.
func TestReadyIsFirst(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := New(w, true, true, 2)
	passed := make(chan bool)
	go func() {
		p.Pass(nil)
		p.Send([]byte("one\n"), nil)
		passed <- true
	}()
	select {
	case <-passed:
		t.Error("a root did not wait for the other one")
	case <-time.After(50 * time.Millisecond):
	}
	p.Pass(nil)
	<-passed
	p.Close()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := io.ReadAll(r); err != nil || string(out) != "{\"op\":\"ready\"}\none\n" {
		t.Errorf("%q, %v", out, err)
	}
}

// Of a root that will never be ready nobody is told that it is, and whoever waits
// for it goes on; once all were, the end takes nothing back.
func TestNeverReady(t *testing.T) {
	for _, ready := range []bool{false, true} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p := New(w, false, true, 2)
		passed := make(chan bool)
		go func() {
			p.Pass(nil)
			passed <- true
		}()
		want := ""
		if ready {
			p.Pass(nil)
			<-passed
			p.End()
			want = "ready\none\n"
		} else {
			p.End()
			<-passed
			p.Pass(nil)
		}
		p.Send([]byte("one\n"), nil)
		p.Close()
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if out, err := io.ReadAll(r); err != nil || string(out) != want {
			t.Errorf("all ready %v: %q, %v", ready, out, err)
		}
	}
}

// Nobody waits for a reader that does not read, once told to stop.
func TestSlowReader(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	p := New(w, false, false, 1)
	stop := make(chan struct{})
	time.AfterFunc(50*time.Millisecond, func() { close(stop) })
	for range 100 {
		p.Send(make([]byte, 64<<10), stop)
	}
	p.Close()
}

package ask

import (
	"bufio"
	"encoding/json"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/ipc/line"
)

// serve answers each client with a text, and returns the socket.
func serve(t *testing.T, answer string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
				t.Error(err)
			}
			_, _ = conn.Write([]byte(answer))
			_ = conn.Close()
		}
	}()
	return path
}

func TestAsk(t *testing.T) {
	r := line.Request{V: line.Version, Command: "status"}
	result, err := Ask(serve(t, string(line.Accept([]byte(`{"a":1}`)))), r)
	if err != nil || string(result) != `{"a":1}` {
		t.Errorf("%s, %v", result, err)
	}
	_, err = Ask(serve(t, string(line.Refuse(line.Fault{Code: line.CodeBusy, Message: "later"}))), r)
	var f line.Fault
	if !errors.As(err, &f) || f.Code != line.CodeBusy {
		t.Errorf("%v", err)
	}
	for answer, want := range map[string]string{"": "ended before", "{": "ended before", "x\n": "not JSON", strings.Repeat("x", line.MaxAnswer+1): "ended before"} {
		if _, err := Ask(serve(t, answer), r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %q", answer, err, want)
		}
	}
	if _, err := Ask(filepath.Join(t.TempDir(), "none"), r); err == nil || !strings.Contains(err.Error(), "no lockstep listens there") {
		t.Errorf("nobody listens: %v", err)
	}
	if _, err := Ask("/nowhere", line.Request{Sync: strings.Repeat("x", line.MaxRequest)}); err == nil {
		t.Error("a name that is too long")
	}
}

func TestText(t *testing.T) {
	for _, c := range []struct{ command, result, want string }{
		{"dump", `{"path":"/run/d"}`, "/run/d\n"},
		{"pause", `{"text":"done\u001b[2J"}`, "done\\x1b[2J\n"},
		{"version", `{"version":"1","build":"b"}`, "build: b\nversion: 1\n"},
		{"info", `{"syncs":[{"name":"a","targets":["/t"],"n":7,"none":[],"off":null}]}`, "syncs:\n  -\n    n: 7\n    name: a\n    none:\n    off:\n    targets:\n      - /t\n"},
		{"status", `{"syncs":[{"name":"www","state":"held","why":"gone","targets":[{"target":"/t","state":"in step","numbers":{"queue":1,"big":2,"in_flight":3,"doubt":4,"synced":5}}]}]}`,
			"www: held (gone)\n  /t: in step; queue 3, in flight 3, in doubt 4, synced 5\n"},
	} {
		var b strings.Builder
		if err := Text(&b, c.command, json.RawMessage(c.result)); err != nil || b.String() != c.want {
			t.Errorf("%s: %q, %v", c.command, b.String(), err)
		}
	}
	for _, bad := range []string{"", "[", `{"syncs":7}`} {
		if err := Text(&strings.Builder{}, "status", json.RawMessage(bad)); err == nil {
			t.Errorf("%q is a status", bad)
		}
	}
}

// Whatever a gate that was taken over says, what is written is printable, and JSON
// stays the JSON that it was.
func FuzzShow(f *testing.F) {
	for _, seed := range []string{`{"a":"\u001b[2J\u202e"}`, "\"\x7f\xff\U0001f600\"", `[1e999,{"":[[]]}]`, `{"syncs":[{"name":"\u0007"}]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, result []byte) {
		printable := func(text, also string) {
			for _, r := range text {
				if r < ' ' && r != '\n' || r == 0x7f || r == '\u202e' || strings.ContainsRune(also, r) {
					t.Fatalf("%q: %q", result, text)
				}
			}
		}
		for _, command := range []string{"status", "info"} {
			var b strings.Builder
			_ = Text(&b, command, result)
			printable(b.String(), "")
		}
		text, err := JSON(result)
		if err != nil {
			return
		}
		printable(string(text), "\u0080\u00ff")
		before, _ := Value(result)
		after, err := Value(text)
		one, _ := json.Marshal(before)
		two, _ := json.Marshal(after)
		if err != nil || string(one) != string(two) {
			t.Fatalf("%q: %s, %v", result, text, err)
		}
	})
}

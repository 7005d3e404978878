package console

import (
	"bytes"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"lockstep/ipc/output"
)

func TestCopyOutput(t *testing.T) {
	for in, want := range map[string]string{
		"":                   "",
		"r\n":                "r:;",
		"e{\"a\":1}\nl./ä\n": "e:{\"a\":1};l:./ä;",
		"eab":                "", // no line
		"ea\neb":             "e:a;",
		"d12\nta b\n":        "d:12;t:a b;",
		"\n":                 "!",
		"xa\n":               "!",
		"ea\x1b[2J\n":        "!",
		"ea\x00\n":           "!",
		"ea\r\n":             "!",
		"ea\xff\n":           "!",
		"ea\u202eb\n":        "!",
		"ea\u0085\n":         "!",
		"ea\ne" + strings.Repeat("x", output.MaxLine) + "\n": "e:a;!",
		"e" + strings.Repeat("x", output.MaxLine-2) + "\n":   "e:" + strings.Repeat("x", output.MaxLine-2) + ";",
	} {
		var got strings.Builder
		err := CopyOutput(strings.NewReader(in), func(c output.Class, line []byte, _ bool) error {
			got.WriteString(string(rune(c)) + ":" + string(line) + ";")
			return nil
		})
		if err != nil {
			got.WriteString("!")
		}
		if got.String() != want {
			t.Errorf("%.60q: got %.60q (%v), want %.60q", in, got.String(), err, want)
		}
	}
}

// Whatever is written, what comes out can be printed, and is a part of it.
func FuzzCopyOutput(f *testing.F) {
	f.Add([]byte("r\ne{\"time\":\"x\",\"op\":\"create\",\"path\":\"a\"}\nld/e\nd1\n"))
	f.Add([]byte("e\x1b]0;x\x07\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		_ = CopyOutput(bytes.NewReader(in), func(c output.Class, line []byte, _ bool) error {
			if !utf8.Valid(line) || bytes.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
				t.Errorf("%q passed", line)
			}
			if !bytes.Contains(in, append([]byte{byte(c)}, line...)) {
				t.Errorf("%q was not written", line)
			}
			return nil
		})
	})
}

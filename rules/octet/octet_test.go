package octet

import (
	"os/exec"
	"testing"
	"unicode/utf8"

	"lockstep/internal/testenv"
)

func TestWiden(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	wide := Widen(string(all))
	if !utf8.ValidString(wide) {
		t.Error("not valid UTF-8")
	}
	next := rune(0)
	for _, r := range wide {
		if r != next {
			t.Fatalf("rune %U where %U belongs", r, next)
		}
		next++
	}
	if next != 256 {
		t.Errorf("%d runes of 256 bytes", next)
	}
	if s := "plain/ascii"; Widen(s) != s {
		t.Error("a plain name is changed")
	}
}

// What a class holds is what the C library of this machine says, by way of tr.
func TestClassesAgainstTr(t *testing.T) {
	tr := testenv.NeedTool(t, "tr")
	all := ""
	for c := 1; c < 256; c++ {
		all += string([]byte{byte(c)})
	}
	for _, name := range []string{"alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "xdigit"} {
		in, ok := Class(name)
		if !ok {
			t.Errorf("%s is unknown", name)
			continue
		}
		var ours []byte
		for c := 1; c < 256; c++ {
			if in(byte(c)) {
				ours = append(ours, byte(c))
			}
		}
		cmd := exec.Command(tr, "-cd", "[:"+name+":]")
		cmd.Env = []string{"LC_ALL=C"}
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = stdin.Write([]byte(all)); _ = stdin.Close() }()
		theirs, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if string(ours) != string(theirs) {
			t.Errorf("%s: %q, tr says %q", name, ours, theirs)
		}
	}
	if _, ok := Class("word"); ok {
		t.Error("word is no class of POSIX")
	}
}

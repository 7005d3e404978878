package keyfile

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// show writes a file as one line: groups, keys and values.
func show(f *File) string {
	var b strings.Builder
	for _, name := range f.Groups() {
		fmt.Fprintf(&b, "[%s]", name)
		entries, _ := f.Group(name)
		for _, e := range entries {
			fmt.Fprintf(&b, " %s=%q", e.Key, e.Value)
		}
	}
	return b.String()
}

// Measured with clsync 0.4.5.
func TestTaken(t *testing.T) {
	for text, want := range map[string]string{
		"":                                      "",
		"# only a remark":                       "",
		"[a]\nk=v":                              `[a] k="v"`,
		"[a]\nlabel = a b  \n":                  `[a] label="a b  "`,
		"[a]\nlabel\t=\t x":                     `[a] label="x"`,
		"[a]\nlabel =\n":                        `[a] label=""`,
		"[a]\nlabel = a # b \"c\" \\n\n":        `[a] label="a # b \"c\" \\n"`,
		"[a]\n label = x\n  # c\n":              `[a] label="x"`,
		" [a]\nk=v":                             `[a] k="v"`,
		"[a] \t\nk=v":                           `[a] k="v"`,
		"[ a ]\nk=v":                            `[ a ] k="v"`,
		"[a]\nk=v\r\n":                          `[a] k="v"`,
		"[a]\nk=1\nk=2\n":                       `[a] k="2"`,
		"[a]\nk=1\n[b]\nk=3\n[a]\nl=2":          `[a] k="1" l="2"[b] k="3"`,
		"[a]\nk=1\nK=2\n":                       `[a] k="1" K="2"`,
		"[a]\nk=x\xff\n":                        `[a] k="x\xff"`,
		"[a]\nk[de]=x\nla bel=y\n":              `[a] k[de]="x" la bel="y"`,
		"[a]\nk=a=b==\n":                        `[a] k="a=b=="`,
		"[a]\n-- = -aH \"x y\"\n--- = %TYPE%\n": `[a] --="-aH \"x y\"" ---="%TYPE%"`,
	} {
		f, faults := Parse([]byte(text))
		if got := show(f); got != want || faults != nil {
			t.Errorf("%q: %s %v, want %s", text, got, faults, want)
		}
	}
}

// The same ones that clsync refuses, but each line is told.
func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		"[a]\n;c\nk=v\n":            "2:1 this is neither a [block], a key = value nor a remark; a remark begins with #",
		"[a]\n  word\n":             "2:3 this is neither a [block], a key = value nor a remark; write key = value; a remark begins with #",
		"[a]x\nk=v":                 "1:1 this is neither a [block], a key = value nor a remark; a block is [name] on a line of its own",
		"[a]\n = x":                 "2:2 this is neither a [block], a key = value nor a remark; write a key before =",
		"k=v\nl=w\n[a]\n":           "1:1 there is a key before the first block; write [default] above it",
		"[]\nk=v":                   "1:1 this is no name of a block; a name has at least one character, and neither brackets nor control characters",
		"[a[b]\n":                   "1:1 this is no name of a block; a name has at least one character, and neither brackets nor control characters",
		"[a]b]\n":                   "1:1 this is neither a [block], a key = value nor a remark; a block is [name] on a line of its own",
		"\xef\xbb\xbf[a]\n":         "1:1 there is a byte order mark; save the file as UTF-8 without it",
		"[a]\nk=\x00\n":             "2:3 there is a NUL byte; the file must be text",
		"[a]\nk]=1\nk[=2\nk[d]e=3":  "2:1 this is no key; a key holds no brackets, 3:1 this is no key; a key holds no brackets, 4:1 this is no key; a key holds no brackets",
		"[a]\n[b\n;\nx\n[c]\nk = 1": "2:1 this is neither a [block], a key = value nor a remark; a block is [name] on a line of its own, 3:1 this is neither a [block], a key = value nor a remark; a remark begins with #, 4:1 this is neither a [block], a key = value nor a remark; write key = value; a remark begins with #",
	} {
		_, faults := Parse([]byte(text))
		var got []string
		for _, x := range faults {
			got = append(got, fmt.Sprintf("%d:%d %s; %s", x.Line, x.Column, x.Reason, x.Advice))
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%q:\n%s, want\n%s", text, strings.Join(got, ", "), want)
		}
	}
}

func TestPlaces(t *testing.T) {
	f, _ := Parse([]byte("# x\n[a]\nk = 1\n\n  k\t=\t2\n[b]\n[a]\nk=3"))
	entries, ok := f.Group("a")
	want := []Entry{{Key: "k", Value: "3", Line: 8, KeyColumn: 1, ValueColumn: 3, Hidden: []int{3, 5}}}
	if !ok || !reflect.DeepEqual(entries, want) || f.Line("a") != 2 || f.Line("b") != 6 || f.Line("c") != 0 {
		t.Errorf("%+v", entries)
	}
	if _, ok := f.Group("c"); ok {
		t.Error("there is no [c]")
	}
	f, _ = Parse([]byte("[a]\n  k\t=\t2"))
	if e, _ := f.Group("a"); e[0].KeyColumn != 3 || e[0].ValueColumn != 7 {
		t.Errorf("%+v", e)
	}
}

// What is taken is the same when it is written anew, and stands where it is said
// to stand.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "[a]\nk=v\r\n", "[a]\n;c", "k=v", "[a]\nk[de] = x\n[a]\n k\t= y ", "[]", "[a]\n\x00=", "[a]\n--= \"a b\""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, faults := Parse(data)
		lines := strings.Split(string(data), "\n")
		for _, x := range faults {
			if x.Line < 1 || x.Line > len(lines) || x.Column < 1 || x.Column > len(lines[x.Line-1]) || x.Reason == "" || x.Advice == "" {
				t.Errorf("%+v", x)
			}
		}
		var again strings.Builder
		for _, name := range file.Groups() {
			fmt.Fprintf(&again, "[%s]\n", name)
			entries, _ := file.Group(name)
			for _, e := range entries {
				line := lines[e.Line-1]
				if !strings.HasPrefix(line[e.KeyColumn-1:], e.Key) || !strings.HasPrefix(line[e.ValueColumn-1:], e.Value) {
					t.Errorf("%q: %+v", line, e)
				}
				fmt.Fprintf(&again, "%s=%s\r\n", e.Key, e.Value)
			}
		}
		second, faults := Parse([]byte(again.String()))
		if faults != nil || show(second) != show(file) {
			t.Errorf("%s, then %s %v", show(file), show(second), faults)
		}
	})
}

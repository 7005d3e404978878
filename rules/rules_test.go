package rules

import (
	"strings"
	"testing"

	"lockstep/rules/ordered"
)

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		patterns string // one a line
		rel      string
		isDir    bool
		want     int // the deciding pattern, -1: none
		excluded bool
	}{
		{"*.tmp", "a.tmp", false, 0, true},
		{"*.tmp", "d/a.tmp", false, 0, true},
		{"*.tmp", "a.tmp/x", false, 0, true},
		{"*.tmp", "tmp", false, -1, false},
		{"*.tmp", "", true, -1, false},
		{"foo/", "foo", true, 0, true},
		{"foo/", "foo", false, -1, false},
		{"foo/", "a/foo/b", false, 0, true},
		{"/foo", "foo", false, 0, true},
		{"/foo", "a/foo", false, -1, false},
		{"a/foo", "a/foo", false, 0, true},
		{"a/foo", "b/a/foo", false, -1, false},
		{"**/foo", "b/a/foo", false, 0, true},
		{"**/foo", "foo", false, 0, true},
		{"a/**", "a", true, -1, false},
		{"a/**", "a/b", false, 0, true},
		{"a/**/b", "a/b", false, 0, true},
		{"a/**/b", "a/x/y/b", false, 0, true},
		{"a**/b", "ax/b", false, 0, true},
		{"a**/b", "ax/y/b", false, -1, false}, // not alone between slashes: a plain star
		{"*\n!keep", "keep", false, 1, false},
		{"*\n!keep", "d/keep", false, 0, true}, // its directory stays excluded
		{"a\n!a\na", "a", false, 2, true},
		{"#a", "#a", false, -1, false},
		{"\\#a", "#a", false, 0, true},
		{"\\!a", "!a", false, 0, true},
		{"a  ", "a", false, 0, true},
		{"a\\ ", "a ", false, 0, true},
		{"a ", "a ", false, -1, false},
		{"{a,b}", "a", false, -1, false},
		{"{a,b}", "{a,b}", false, 0, true},
		{"a?", "a\xff", false, 0, true},
		{"?", "é", false, -1, false}, // two bytes
		{"x\xff", "x\xfe", false, -1, false},
		{"*\xff", "x\xff", false, 0, true},
		{"[\xf0-\xff]", "\xf5", false, 0, true},
		{"[!a]", "/", false, -1, false},
		{"x[!a]y", "x/y", false, -1, false},
		{"[]]", "]", false, 0, true},
		{"[[:digit:]x]", "7", false, 0, true},
		{"\n \n#c", "x", false, -1, false},
	} {
		s, err := New(strings.Split(c.patterns, "\n"))
		if err != nil {
			t.Errorf("%q: %v", c.patterns, err)
			continue
		}
		excluded, index := s.Decide(c.rel, c.isDir)
		if excluded != c.excluded || index != c.want {
			t.Errorf("%q, %q, directory %v: %v by %d, want %v by %d", c.patterns, c.rel, c.isDir, excluded, index, c.excluded, c.want)
		}
		if s.Excluded(c.rel, c.isDir) != c.excluded {
			t.Errorf("%q, %q: Excluded differs", c.patterns, c.rel)
		}
	}
}

func TestErrors(t *testing.T) {
	for pattern, reason := range map[string]string{
		"a\x00": "NUL", "/": "nothing is left", "!": "nothing is left", "a//b": "two slashes", "//a": "two slashes",
		"a\\": "backslash", "a[b": "never closed", "[": "never closed", "[[:nope:]]": "class", "[/]": "no character",
	} {
		_, err := New([]string{"ok", pattern})
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q: %v, want %q", pattern, err, reason)
		}
	}
}

func TestEmpty(t *testing.T) {
	for _, c := range []struct {
		patterns []string
		want     bool
	}{{nil, true}, {[]string{"", "# x", "  "}, true}, {[]string{"", "x"}, false}} {
		s, err := New(c.patterns)
		if err != nil || s.Empty() != c.want {
			t.Errorf("%q: %v %v", c.patterns, s.Empty(), err)
		}
	}
}

// FuzzRules: no pattern and no name crashes it, and what is excluded stays so
// below.
func FuzzRules(f *testing.F) {
	f.Add("*.tmp\n!a", "a/b.tmp")
	f.Add("a/**/[!x]?\\*", "a/\xff")
	f.Fuzz(func(t *testing.T, patterns, rel string) {
		s, err := New(strings.Split(patterns, "\n"))
		if err != nil {
			return
		}
		if s.Excluded(rel, true) && rel != "" && !s.Excluded(rel+"/x", false) {
			t.Fatalf("%q: %q is excluded, what is in it not", patterns, rel)
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	s, err := New([]string{"*.tmp", "*.o", "/cache/", "node_modules/", "a/**/b?", "*~", "[._]*.sw[a-p]"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Decide("src/project/lib/module/file.go", false)
	}
}

// Ordered rules stand beside the patterns: either leaves out, and neither brings
// back what the other does, or what is below a directory that is left out.
func TestWith(t *testing.T) {
	o, err := ordered.Parse("rules", []byte("+f^keep/\n-f\\.bak$\n-w^shut$\n-s^hidden$\n-m^still$\n"))
	if err != nil {
		t.Fatal(err)
	}
	patterns, err := New([]string{"*.tmp", "!keep.tmp"})
	if err != nil {
		t.Fatal(err)
	}
	s := patterns.With(o)
	for _, c := range []struct {
		rel      string
		dir      bool
		excluded bool
		index    int // of the patterns and rules
	}{
		{"", true, false, -1}, {"x", false, false, -1},
		{"a.tmp", false, true, 0}, {"keep.tmp", false, false, 1}, {"keep/a.tmp", false, true, 0},
		{"a.bak", false, true, 3}, {"a.bak", true, false, -1}, {"keep/a.bak", false, false, -1},
		{"shut", true, false, -1}, {"shut/x", false, true, 4}, {"shut/d/x", false, true, 4},
		{"hidden", true, true, 5}, {"hidden/x", false, true, 5}, {"hidden", false, false, -1},
	} {
		if excluded, index := s.Decide(c.rel, c.dir); excluded != c.excluded || index != c.index || s.Excluded(c.rel, c.dir) != excluded {
			t.Errorf("%q (directory: %t): %t by %d", c.rel, c.dir, excluded, index)
		}
	}
	for rel, want := range map[string]bool{"": false, "x": false, "still": false, "still/x": true, "still/d/x": false} {
		if s.Unheard(rel) != want || patterns.Unheard(rel) {
			t.Errorf("%q: that it is not heard of is not %t", rel, want)
		}
	}
	none, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	remarks, err := ordered.Parse("rules", []byte("# nothing\n\n"))
	if err != nil {
		t.Fatal(err)
	}
	if !none.With(nil).Empty() || !none.With(remarks).Empty() || none.With(o).Empty() {
		t.Error("what has an effect and what has none")
	}
}

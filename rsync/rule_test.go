package rsync

import (
	"slices"
	"strings"
	"testing"

	"lockstep/ipc"
)

func TestRule(t *testing.T) {
	for _, c := range []struct{ prefix, rel, suffix, want string }{
		{Exclude, "a", Itself, "- /a"},
		{Exclude, "a/b", Directory, "- /a/b/"},
		{Hide, `a\b`, Itself, `H /a\b`},              // no wildcard: the backslash is itself
		{Hide, `a\b*`, Itself, `H /a\\b\*`},          // a wildcard: it is an escape
		{Include, `a\b`, ItselfBelow, `+ /a\\b/***`}, // the suffix's star makes it one
		{Include, `a\b`, Directory, `+ /a\b/`},
		{Include, "[x]?", Children, `+ /\[x]\?/*`},
		{Exclude, " x ", Itself, "- / x "},
		{Exclude, "x\n- /y", Itself, "- /x\n- /y"},
		{Exclude, strings.Repeat("x", MaxRule-3), Itself, "- /" + strings.Repeat("x", MaxRule-3)},
		{Exclude, strings.Repeat("x", MaxRule-2), Itself, ""},
		{Exclude, strings.Repeat("*", 2048), Itself, ""},
	} {
		if got := Rule(c.prefix, c.rel, c.suffix); got != c.want {
			t.Errorf("Rule(%q, %.40q, %q) = %.60q, want %.60q", c.prefix, c.rel, c.suffix, got, c.want)
		}
	}
}

// FuzzRule undoes the escapes by rsync's own reading of them.
func FuzzRule(f *testing.F) {
	f.Add(`a\*b`, "/***")
	f.Add("x", "")
	f.Fuzz(func(t *testing.T, rel, suffix string) {
		if suffix != "" && suffix != "/" && suffix != "/*" && suffix != "/***" || rel == "" {
			return // no such rule is made
		}
		rule := Rule(Exclude, rel, suffix)
		if rule == "" {
			if len(rel) < MaxRule/2-8 {
				t.Fatalf("no rule for a path of %d bytes", len(rel))
			}
			return
		}
		pattern := strings.TrimSuffix(strings.TrimPrefix(rule, "- /"), suffix)
		if strings.ContainsAny(rule, "*?[") {
			var b strings.Builder
			for i := 0; i < len(pattern); i++ {
				switch c := pattern[i]; c {
				case '\\':
					i++
				case '*', '?', '[':
					t.Fatalf("%q: a wildcard that is not escaped", rule)
				}
				b.WriteByte(pattern[i])
			}
			pattern = b.String()
		}
		if pattern != rel {
			t.Fatalf("%q is read as %q, want %q", rule, pattern, rel)
		}
	})
}

func TestExact(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"foo", "foo"}, {"*.tmp", "*.tmp"}, {"foo/", "foo/"}, {"/foo", "/foo"},
		{"/foo/", "/foo/"}, {"a/b", "/a/b"}, {"a/b/", "/a/b/"}, {"a/*.o", "/a/*.o"},
		{"**/foo", "foo"}, {"**/a/b", "a/b"}, {"**/a/b/", "a/b/"}, {" x", " x"},
		{"- x", "- x"}, {"x#", "x#"}, {"*", "*"}, {"foo/*", "/foo/*"}, {"\xff", "\xff"},
		// Not to be said exactly:
		{"", ""}, {"/", ""}, {"#x", ""}, {"x ", ""}, {"a//b", ""}, {"./a", ""}, {"a/..", ""},
		{"a/**", ""}, {"**", ""}, {"a**b", ""}, {"a/**/b", ""}, {"x?", ""}, {"[ab]", ""},
		{`a\*`, ""}, {`\!x`, ""}, {"**//a", ""}, {"x\ny", ""}, {"x\r", ""}, {"**/", ""},
		{strings.Repeat("x", 2000), ""},
	} {
		got := Exact([]string{c.in})
		if c.want == "" && len(got) != 0 || c.want != "" && !slices.Equal(got, []string{"- " + c.want}) {
			t.Errorf("Exact(%.40q) = %.40q, want %q", c.in, got, c.want)
		}
	}
	if got := Exact([]string{"a", "!b/", "/c"}); !slices.Equal(got, []string{"- /c", "+ b/", "- a"}) {
		t.Errorf("with a negation: %q, want the opposite order", got)
	}
	if got := Exact([]string{"a", "!b", "c?"}); got != nil {
		t.Errorf("with a negation and a pattern that cannot be translated: %q, want nil", got)
	}
	if got := Exact([]string{"a", "!!b"}); got != nil {
		t.Errorf("a name that begins with an exclamation mark: %q, want nil", got)
	}
	if got := Exact([]string{"a", "b?", "/c"}); !slices.Equal(got, []string{"- /c", "- a"}) {
		t.Errorf("subset: %q", got)
	}
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		patterns []string
		want     bool
	}{
		{nil, true}, {[]string{"", "  ", "# x", "a", "/b/"}, true},
		{[]string{"a", "b?"}, false}, {[]string{"a", "!b"}, true}, {[]string{"a?", "!b"}, false}, {[]string{"a/**"}, false}, {[]string{`\#x`}, false},
	} {
		if got := Covers(c.patterns); got != c.want {
			t.Errorf("Covers(%q) = %v, want %v", c.patterns, got, c.want)
		}
	}
}

func FuzzHidden(f *testing.F) {
	for _, rel := range []string{"a", "a/b", "*", `\`, `a\*`, `[x]\?`, "a\n", " ", "\xff/\xfe"} {
		f.Add(rel)
	}
	f.Fuzz(func(t *testing.T, rel string) {
		if rel == "" || strings.HasSuffix(rel, "/") {
			return // no such rule is made
		}
		for prefix, hides := range map[string]bool{Hide: true, Exclude: false, Include: false} {
			rule := Rule(prefix, rel, Itself)
			if rule == "" {
				continue
			}
			got, isHide, ok := Hidden([]byte(rule))
			if !ok || isHide != hides || hides && got != rel {
				t.Fatalf("%q is read as %q, %v, %v", rule, got, isHide, ok)
			}
		}
	})
}

func TestHiddenRefuses(t *testing.T) {
	for _, rule := range []string{"", "H", "H ", "H /", "H a", "H /a/", "H /a*", "H /a/***", "H /[a", `H /*\`, "P /a", "R /a", "a", "-a", "!", "- a", "Hs /a", "H! /a"} {
		if rel, hides, ok := Hidden([]byte(rule)); ok {
			t.Errorf("%q is read as %q, %v", rule, rel, hides)
		}
	}
}

// The runner's survey knows of rules of one side only from stdin: what is on a
// command line holds for both sides.
func TestFiltersHoldForBothSides(t *testing.T) {
	o := Options{Source: "/s", Target: "/t", Xattrs: XattrsUser, Excludes: Exact([]string{"*.o", "!keep.o", "/a/b/", "x/**/y"})}
	for _, argv := range [][]string{Argv(ipc.JobInitial, o), Probe(o)} {
		for _, word := range argv {
			rule, isFilter := strings.CutPrefix(word, "--filter=")
			switch {
			case isFilter && rule == "merge -", isFilter && rule == "-x! user.*":
			case isFilter && (strings.HasPrefix(rule, Exclude) || strings.HasPrefix(rule, Include)):
			case isFilter, strings.HasPrefix(word, "--delete-"), word == "--one-file-system", word == "-x":
				t.Errorf("%q: the survey of package runner does not know it", word)
			}
		}
	}
}

package ipc

import (
	"regexp"
	"strings"
	"testing"
)

func TestIsRel(t *testing.T) {
	for s, ok := range map[string]bool{
		"a": true, "a/b": true, "...": true, "..a": true, ".a/..b": true, "a\nb": true, "\xff": true, "-": true, "a\\b": true,
		"": false, "/": false, "/a": false, "a/": false, "a//b": false, ".": false, "..": false, "./a": false,
		"../a": false, "a/.": false, "a/..": false, "a/./b": false, "a/../b": false, "\x00": false, "a\x00": false,
		strings.Repeat("a", MaxRel): true, strings.Repeat("a", MaxRel+1): false,
	} {
		if IsRel(s) != ok {
			t.Errorf("%.20q: %v", s, !ok)
		}
	}
}

func TestCheckList(t *testing.T) {
	long := strings.Repeat("a", MaxRel)
	for s, ok := range map[string]bool{
		"": true, ".\x00": true, "./a\x00": true, "./a\x00.\x00./b/c\x00": true, "./#\x00": true, "./" + long + "\x00": true,
		"\x00": false, "./a": false, "a\x00": false, "./\x00": false, ".//\x00": false, "./.\x00": false, "./..\x00": false,
		"./a/\x00": false, "/a\x00": false, "./a\x00\x00": false, "./a\x00.": false, "./" + long + "a\x00": false, "..\x00": false,
	} {
		if err := CheckList([]byte(s)); (err == nil) != ok {
			t.Errorf("%.20q: %v", s, err)
		}
	}
	if CheckList(make([]byte, MaxList+1)) == nil {
		t.Error("too large a list was taken")
	}
}

func TestCheckRules(t *testing.T) {
	long := strings.Repeat("a", 2*MaxRel+5)
	for s, ok := range map[string]bool{
		"": true, "- *\x00": true, "- /a\x00": true, "H /a/b\x00": true, "+ /a/\x00": true, "+ /a/*\x00": true,
		"+ /a/**\x00": true, "- /a/***\x00": true, "- /\\*\\?\\[\\\\\x00": true, "- / x\x00": true, "- /" + long + "\x00": true,
		"- /" + long + "a\x00": false, "- /a": false, "\x00": false, "- \x00": false, "- /\x00": false, "- /*\x00": true, "- /**\x00": true,
		"- //\x00": false, "-/a\x00": false, "P /a\x00": false, "- a\x00": false, "- /a//\x00": false, "- /../a\x00": false,
		"- /a/./b\x00": false, "H *\x00": false, "+ *\x00": false, ". /a\x00": false, "merge /a\x00": false, "!\x00": false,
		"-s /a\x00": false, "- /..\x00": false, "- /a/..\x00": false, "- /a/../*\x00": false,
	} {
		if err := CheckRules([]byte(s)); (err == nil) != ok {
			t.Errorf("%.20q: %v", s, err)
		}
	}
}

// Slow and obvious checkers to compare with.
var (
	component = `(?:[^/\x00]*[^/\x00.][^/\x00]*|\.{3,})`
	rel       = component + `(?:/` + component + `)*`
	listRE    = regexp.MustCompile(`\A(?s:(?:\.|\./` + rel + `)\x00)*\z`)
	rulesRE   = regexp.MustCompile(`\A(?s:(?:- \*|[-H+] /` + rel + `(?:/|/\*|/\*\*|/\*\*\*)?)\x00)*\z`)
)

func within(b []byte, limit int) bool {
	for _, e := range strings.Split(string(b), "\x00") {
		if len(e) > limit {
			return false
		}
	}
	return true
}

func FuzzCheckList(f *testing.F) {
	f.Add([]byte("./a\x00.\x00./b/..c\x00"))
	f.Add([]byte("./a/../b\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		want := listRE.Match(latin(b)) && within(b, MaxRel+2)
		if err := CheckList(b); (err == nil) != want {
			t.Errorf("%q: %v, want %v", b, err, want)
		}
	})
}

func FuzzCheckRules(f *testing.F) {
	f.Add([]byte("- /a\x00H /b/***\x00- *\x00"))
	f.Add([]byte("+ /a/*\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		want := rulesRE.Match(latin(b)) && within(b, 2*MaxRel+8)
		if err := CheckRules(b); (err == nil) != want {
			t.Errorf("%q: %v, want %v", b, err, want)
		}
	})
}

// latin turns bytes into characters, since a regexp matches characters.
func latin(b []byte) []byte {
	var s strings.Builder
	for _, c := range b {
		s.WriteRune(rune(c))
	}
	return []byte(s.String())
}

package narrow

import (
	"fmt"
	"strings"
	"testing"
)

func rules(s *Set, alike uint64) string {
	return strings.ReplaceAll(string(s.Rules(alike)), "\x00", "|")
}

// Includes come before excludes; a directory is listed with all above it; what
// is in a name is no wildcard.
func TestRules(t *testing.T) {
	s := &Set{}
	if !s.Empty() || s.Over() {
		t.Error("a new set has something in it")
	}
	s.Differs([]byte("b/a*"), []uint32{2, 2, 2})
	s.Enter([]byte("b/new"), []uint32{2, 2})
	s.Enter([]byte("[x"), []uint32{2})
	s.Differs([]byte("b/a*"), []uint32{2, 2, 2})
	want := `+ /b/new/***|+ /\[x/***|+ /b/|+ /b/a\*/|- /*/|- /b/*/|- /b/a\*/*/|`
	if got := rules(s, 100); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if s.Empty() || s.Dirs() != 3 || s.names != 6 {
		t.Errorf("%d directories, %d names", s.Dirs(), s.names)
	}
}

// What cannot be said, or would not save anything, is not said.
func TestRulesAreBounded(t *testing.T) {
	for name, fill := range map[string]func(*Set){
		"the root":      func(s *Set) { s.Enter(nil, nil) },
		"few are alike": func(s *Set) { s.Differs([]byte("a/b/c/d"), []uint32{1, 1, 1, 1, 1}) },
		"many tries":    func(s *Set) { s.Differs(nil, []uint32{10 * worthTries}) },
		"a long rule":   func(s *Set) { s.Differs([]byte(strings.Repeat("a", 5000)), []uint32{1, 1}) },
		"given up":      func(s *Set) { s.GiveUp() },
		"many": func(s *Set) {
			for i := range maxDirs + 1 {
				s.Differs(fmt.Appendf(nil, "%d", i), []uint32{1, 1})
			}
		},
		"many to enter": func(s *Set) {
			for i := range maxEnter + 1 {
				s.Enter(fmt.Appendf(nil, "%d", i), []uint32{1})
			}
		},
		"long paths": func(s *Set) {
			for i := range maxBytes / 3000 {
				s.Differs(fmt.Appendf(nil, "%3000d", i), []uint32{1, 1})
			}
		},
	} {
		s := &Set{}
		if fill(s); s.Rules(9) != nil || s.Empty() {
			t.Errorf("%s: %.100q", name, s.Rules(9))
		}
		if held := len(s.dirs); held > maxDirs+8 {
			t.Errorf("%s: %d are held", name, held)
		}
	}
}

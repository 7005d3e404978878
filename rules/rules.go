// Package rules decides by gitignore(5) patterns, and by ordered rules, which
// paths of a tree are left out.
//
// Trust: runs in the worker. Patterns come from the configuration; the names
// they are matched with are hostile.
// Imports: the standard library, one glob engine (doublestar) and what is below
// this folder; no os, net or syscall here.
//
// Invariants: matching is by bytes, as git's is, so a name that is not UTF-8
// is a name like any other; the last pattern that matches decides; what is
// below an excluded directory is excluded and no pattern brings it back.
package rules

import (
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"lockstep/rules/octet"
	"lockstep/rules/ordered"
)

// Set is an immutable list of patterns, and perhaps of ordered rules beside them.
type Set struct {
	pats    []pattern
	active  bool
	ordered *ordered.Set // nil: none
}

// form is how a pattern is compared: most are plain words or "*.suffix".
type form uint8

const (
	formNone   form = iota // blank line or comment: matches nothing
	formExact              // text equals
	formSuffix             // name ends with text
	formGlob               // doublestar
)

type pattern struct {
	text    string
	form    form
	negate  bool // "!": brings back
	dirOnly bool // trailing slash
	path    bool // compared with the whole path, not with the last name
}

// New compiles patterns in gitignore(5) syntax, in order. A blank line and a
// comment have no effect. The error names the first pattern that could never
// match anything, and says why.
func New(patterns []string) (*Set, error) {
	s := &Set{pats: make([]pattern, len(patterns))}
	for i, text := range patterns {
		p, err := compile(text)
		if err != nil {
			return nil, err
		}
		s.pats[i] = p
		s.active = s.active || p.form != formNone
	}
	return s, nil
}

// With is the set with ordered rules beside the patterns: what either leaves out
// is left out. What is in a directory that is not walked is, too; and as with a
// pattern, nothing brings back what is below a directory that is not synced.
func (s *Set) With(o *ordered.Set) *Set {
	if o.Len() == 0 {
		return s
	}
	return &Set{pats: s.pats, active: true, ordered: o}
}

// Unheard says that changes in the directory that holds rel are not to be heard
// of: a rule rejects to monitor it.
func (s *Set) Unheard(rel string) bool {
	if s.ordered == nil || rel == "" {
		return false
	}
	permit, _ := s.ordered.Decide(parent(rel), ordered.Dir, ordered.Monitor)
	return !permit
}

// parent is the directory that holds rel.
func parent(rel string) string { return rel[:max(strings.LastIndexByte(rel, '/'), 0)] }

// Empty says that no pattern has an effect.
func (s *Set) Empty() bool { return !s.active }

// Excluded says whether rel, or a directory that holds it, is left out. The
// root ("") never is.
func (s *Set) Excluded(rel string, isDir bool) bool {
	excluded, _ := s.Decide(rel, isDir)
	return excluded
}

// Decide is Excluded with the index of the pattern that decided, -1 when none
// matched; indexes from the number of patterns on are of ordered rules. The
// topmost excluded directory decides for all below it.
func (s *Set) Decide(rel string, isDir bool) (excluded bool, index int) {
	if !s.active || rel == "" {
		return false, -1
	}
	for i := 0; i < len(rel); i++ {
		if rel[i] != '/' {
			continue
		}
		if excluded, index := s.Self(rel[:i], true); excluded {
			return true, index
		}
	}
	return s.Self(rel, isDir)
}

// Self decides for rel alone. It is for a walk from the top down that never
// enters what is excluded; elsewhere use Decide.
func (s *Set) Self(rel string, isDir bool) (excluded bool, index int) {
	if !s.active || rel == "" {
		return false, -1
	}
	excluded, index = s.pattern(rel, isDir)
	if excluded || s.ordered == nil {
		return excluded, index
	}
	if permit, i := s.ordered.Decide(parent(rel), ordered.Dir, ordered.Walk); !permit {
		return true, len(s.pats) + i
	}
	kind := ordered.File
	if isDir {
		kind = ordered.Dir
	}
	if permit, i := s.ordered.Decide(rel, kind, ordered.Sync); !permit {
		return true, len(s.pats) + i
	}
	return false, index
}

// pattern is what the patterns say of rel alone.
func (s *Set) pattern(rel string, isDir bool) (excluded bool, index int) {
	base := rel[strings.LastIndexByte(rel, '/')+1:]
	var wideRel, wideBase string // filled when a glob first needs them
	for i := len(s.pats) - 1; i >= 0; i-- {
		p := &s.pats[i]
		if p.form == formNone || p.dirOnly && !isDir {
			continue
		}
		name, wideName := base, &wideBase
		if p.path {
			name, wideName = rel, &wideRel
		}
		if p.form == formGlob && *wideName == "" {
			*wideName = octet.Widen(name)
		}
		if p.match(name, *wideName) {
			return !p.negate, i
		}
	}
	return false, -1
}

func (p *pattern) match(name, wideName string) bool {
	switch p.form {
	case formExact:
		return name == p.text
	case formSuffix:
		return strings.HasSuffix(name, p.text)
	case formGlob:
		return doublestar.MatchUnvalidated(p.text, wideName)
	case formNone:
	}
	return false
}

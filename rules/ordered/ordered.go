// Package ordered decides by an ordered list of rules, in the language of
// clsync's rule files, what is walked, watched and synced.
//
// A rule is a line: a sign (+ permits, - rejects), a letter for the kinds of
// object that it fits and the actions that it decides, and a POSIX extended
// regular expression, which is searched for in the path below the root, without
// a slash before it; the root is the empty path.
//
//	letter  fits                decides
//	f       all but directories walk, monitor, sync
//	d       directories         walk, monitor, sync
//	*       everything          walk, monitor, sync
//	w       directories         walk: to go into it
//	m       directories         monitor: to watch what is in it
//	W       directories         walk, monitor
//	s       directories         sync
//
// For each action the first rule that decides it, fits and matches, counts; what
// no rule decides is permitted. Empty lines and lines that begin with # are no
// rules.
//
// Trust: a leaf of rules, linked where it is. Rules are the configuration's;
// the names that they are matched with are hostile. It is pure.
// Imports: the standard library, internal/escape and leaves of rules; no os, net
// or syscall here.
//
// Invariants: only the object's own path is looked at, so what is below a
// rejected directory is rejected by nothing but that it is never reached; a
// decision takes time linear in the path, and an index keeps it from trying
// each rule; a Set does not change.
package ordered

import "lockstep/rules/ere"

// Kind is what an object is. A symbolic link is never what it points to.
type Kind uint8

// The kinds. Whether an object is a directory is all that is known of one that has
// gone, so that nothing finer can be asked.
const (
	File Kind = iota // all but directories
	Dir
	kinds
)

// Action is what a rule permits or rejects.
type Action uint8

// The actions.
const (
	Walk    Action = iota // go into a directory
	Monitor               // watch what is in a directory
	Sync                  // bring it to the targets
	actions
)

// Decision is what is decided for one action, and the index of the rule that
// does; -1: none does.
type Decision struct {
	Permit bool
	Rule   int
}

// Set is a list of rules, safe for concurrent use.
type Set struct {
	file  string
	rules []rule
	index index
}

// mask is a set of kinds or of actions.
type mask uint8

func (m mask) has(bit uint8) bool { return m>>bit&1 != 0 }

type rule struct {
	expr    *ere.Expr
	permit  bool
	kinds   mask
	actions mask
	line    int
	text    string
}

// Decide decides one action for a path.
func (s *Set) Decide(path string, kind Kind, action Action) (permit bool, rule int) {
	d, _ := s.decide(path, kind, 1<<action)
	return d[action].Permit, d[action].Rule
}

// DecideAll decides every action for a path, in one go.
func (s *Set) DecideAll(path string, kind Kind) [3]Decision {
	d, _ := s.decide(path, kind, 1<<actions-1)
	return d
}

// decide decides the wanted actions and says how many expressions it tried.
func (s *Set) decide(path string, kind Kind, wanted mask) (d [3]Decision, tried int) {
	for i := range d {
		d[i] = Decision{Permit: true, Rule: -1}
	}
	var room [128]int32
	few := s.index.candidates(path, room[:0])
	always := s.index.always
	subject := ere.Of(path)
	for wanted != 0 && len(few)+len(always) > 0 {
		var i int32
		if len(always) == 0 || len(few) > 0 && few[0] < always[0] {
			i, few = few[0], few[1:]
		} else {
			i, always = always[0], always[1:]
		}
		r := &s.rules[i]
		if !r.kinds.has(uint8(kind)) || r.actions&wanted == 0 {
			continue
		}
		tried++
		if !r.expr.Match(&subject) {
			continue
		}
		for a := range actions {
			if (r.actions & wanted).has(uint8(a)) {
				d[a] = Decision{r.permit, int(i)}
			}
		}
		wanted &^= r.actions
	}
	return d, tried
}

// Len is the number of rules; nil has none.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return len(s.rules)
}

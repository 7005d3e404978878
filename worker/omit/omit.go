// Package omit collects what is left out: the rules of a whole pass for the
// names that it must neither copy nor delete, and tallies of names that are not
// copied at all.
//
// Trust: part of the worker, untrusted. Names are hostile.
// Imports: ipc's limits and rsync's filter syntax.
//
// Invariant: a pass whose list took all that was added leaves out at least that;
// of a list that could not, Rules says so and the pass must not be made.
package omit

import (
	"slices"
	"strings"

	"lockstep/ipc"
	"lockstep/rsync"
)

// List grows into the stdin of one whole pass, for all targets that make it.
type List struct {
	rules []byte
	last  string // of them
	over  bool   // they would exceed ipc.MaxList
}

// Leave adds rules for one name. rsync drops a rule that is too long without a
// word (it is empty here), so that a directory above is left out instead.
func (l *List) Leave(rel string, rules ...string) {
	for slices.Contains(rules, "") && rel != "" {
		rel = rel[:max(strings.LastIndexByte(rel, '/'), 0)]
		rules = []string{whole(rel)}
	}
	for _, rule := range rules {
		if rule == l.last && rule != "" {
			continue // of names beside each other the same directory was left out instead
		}
		if rule == "" || len(l.rules)+len(rule)+1 > ipc.MaxList {
			l.over = true
			return
		}
		l.rules, l.last = append(append(l.rules, rule...), 0), rule
	}
}

// All leaves out the name itself with all that is below it.
func (l *List) All(rel string) { l.Leave(rel, whole(rel)) }

// whole leaves out a name with all that is below it; of the root itself, which no rule
// can name, all that is in it.
func whole(rel string) string {
	if rel == "" {
		return rsync.Exclude + rsync.Children
	}
	return rsync.Rule(rsync.Exclude, rel, rsync.Itself)
}

// Hide treats the name as missing in the source: it is deleted on the target.
func (l *List) Hide(rel string) { l.Leave(rel, rsync.Rule(rsync.Hide, rel, rsync.Itself)) }

// Rules are the rules, NUL-terminated. Nothing may be added any more: they
// belong to the passes now. over says that they are not complete.
func (l *List) Rules() (rules []byte, over bool) { return slices.Clip(l.rules), l.over }

package ordered

import (
	"fmt"
	"strconv"

	"lockstep/internal/escape"
)

// Where is a rule as a person wrote it.
type Where struct {
	File string
	Line int
	Text string
}

// Where returns where the rule with that index is.
func (s *Set) Where(rule int) Where {
	r := &s.rules[rule]
	return Where{s.file, r.line, r.text}
}

// Verdict is a Decision for a person.
type Verdict struct {
	Permit bool
	By     *Where // nil: no rule says anything
}

// String is such as "rejected by /etc/lockstep/www.rules:3: -*".
func (v Verdict) String() string {
	word := "rejected"
	if v.Permit {
		word = "permitted"
	}
	if v.By == nil {
		return word + ": no rule says anything"
	}
	return fmt.Sprintf("%s by %s:%d: %s", word, escape.Name(v.By.File), v.By.Line, escape.Name(v.By.Text))
}

func (s *Set) verdict(d Decision) Verdict {
	v := Verdict{Permit: d.Permit}
	if d.Rule >= 0 {
		w := s.Where(d.Rule)
		v.By = &w
	}
	return v
}

// Step is a directory on the way to a path.
type Step struct {
	Path                string // "": the root
	Walk, Monitor, Sync Verdict
}

// Explanation is why a path is or is not synced.
type Explanation struct {
	Path string
	Kind Kind
	// Above are the directories that hold the path, from the root down.
	Above               []Step
	Walk, Monitor, Sync Verdict // of the path itself
	// Reached: all of Above are walked, so that a pass comes to the path.
	Reached bool
	// Noticed: it is reached and the directory that holds it is watched, so that
	// a change of it is seen at once.
	Noticed bool
}

// Explain tells what is decided for a path and on the way to it.
func (s *Set) Explain(path string, kind Kind) Explanation {
	e := Explanation{Path: path, Kind: kind, Reached: true, Noticed: true}
	for _, dir := range above(path) {
		d := s.DecideAll(dir, Dir)
		e.Above = append(e.Above, Step{dir, s.verdict(d[Walk]), s.verdict(d[Monitor]), s.verdict(d[Sync])})
		e.Reached = e.Reached && d[Walk].Permit
		e.Noticed = d[Monitor].Permit
	}
	e.Noticed = e.Noticed && e.Reached
	d := s.DecideAll(path, kind)
	e.Walk, e.Monitor, e.Sync = s.verdict(d[Walk]), s.verdict(d[Monitor]), s.verdict(d[Sync])
	return e
}

// above are the directories that hold a path, the root first; the root has none.
func above(path string) []string {
	if path == "" {
		return nil
	}
	all := []string{""}
	for i := range len(path) {
		if path[i] == '/' {
			all = append(all, path[:i])
		}
	}
	return all
}

// CheckRoot returns an error if the root is not walked or not synced, with which
// nothing would be: for rsync that is no sync at all, and a mistake in the rules.
func (s *Set) CheckRoot() error {
	d := s.DecideAll("", Dir)
	var faults Faults
	for _, c := range []struct {
		action Action
		words  string
	}{{Walk, "going into"}, {Sync, "syncing"}} {
		if !d[c.action].Permit {
			w := s.Where(d[c.action].Rule)
			faults = append(faults, Fault{w.File, w.Line, fmt.Sprintf("%s rejects %s the root, the empty path, so that nothing would be synced; write the line +d^$ above it",
				strconv.QuoteToASCII(w.Text), c.words)})
		}
	}
	return faults.orNil()
}

// String is a name for messages.
func (a Action) String() string {
	switch a {
	case Walk:
		return "walk"
	case Monitor:
		return "monitor"
	case Sync:
		return "sync"
	case actions:
	}
	return "Action(" + strconv.Itoa(int(a)) + ")"
}

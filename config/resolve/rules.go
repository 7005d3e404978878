package resolve

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"lockstep/config"
	"lockstep/rules/ordered"
)

// rules reads a sync's rule file, and says what is wrong with its rules.
func (r *resolver) rules(s *config.Sync) {
	key := "rules"
	if s.RulesFile != "" {
		key = "rules_file"
		if len(s.Rules) > 0 {
			r.add(key, problem(r.say(key), "there are rules beside it", "write them all into the file, or none"))
			return
		}
		found := len(r.problems)
		if s.RulesFile = r.keyFile(key, s.RulesFile, false); len(r.problems) > found {
			return
		}
		text, err := os.ReadFile(s.RulesFile)
		if err != nil {
			r.add(key, failed(r.say(key)+" "+show(s.RulesFile), err, "make it readable for root"))
			return
		}
		s.Rules = strings.Split(string(text), "\n")
	}
	set, err := s.OrderedRules()
	if err == nil {
		err = set.CheckRoot()
	}
	var faults ordered.Faults
	switch {
	case errors.As(err, &faults):
		for _, f := range faults {
			thing := fmt.Sprintf("%s, rule %d", r.say(key), f.Line)
			if s.RulesFile != "" {
				thing = fmt.Sprintf("%s %s:%d", r.say(key), show(s.RulesFile), f.Line)
			}
			r.add(key, problem(thing, f.Reason, "mend it, then run lockstep check"))
		}
	case err != nil:
		r.add(key, problem(r.say(key), err.Error(), "mend it, then run lockstep check"))
	}
}

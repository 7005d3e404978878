package omit

import (
	"strings"
	"testing"

	"lockstep/ipc"
)

// What is left out is in a list that the helper takes; of the root, which cannot be
// named, all that is in it.
func TestAll(t *testing.T) {
	for rel, want := range map[string]string{"": "- /*\x00", "d": "- /d\x00", "d/e": "- /d/e\x00"} {
		var l List
		l.All(rel)
		rules, over := l.Rules()
		if string(rules) != want || over || ipc.CheckRules(rules) != nil {
			t.Errorf("%q: %q %v %v", rel, rules, over, ipc.CheckRules(rules))
		}
	}
	// A name that no rule can hold, in the root.
	var l List
	l.Leave("x", "")
	if rules, over := l.Rules(); string(rules) != "- /*\x00" || over {
		t.Errorf("%q %v", rules, over)
	}
	l.Leave(strings.Repeat("n", 200), "- /other")
	if rules, _ := l.Rules(); !strings.HasSuffix(string(rules), "- /other\x00") {
		t.Errorf("%q", rules)
	}
}

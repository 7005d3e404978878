package jail

import (
	"strings"
	"testing"
)

// Each role is given what its table has, and nothing else.
func TestDonates(t *testing.T) {
	for role, names := range map[string]string{
		"helper": "control config inotify filter root1", "worker": "helper status inotify filter rules output resolver",
		"resolver": "fanotify worker filter root1 crossed1", "runner": "helper config filter gate list-01 list-16", "gate": "clients supervisor config filter",
	} {
		if err := Donates(role, strings.Fields(names)...); err != nil {
			t.Error(err)
		}
	}
	for role, name := range map[string]string{"helper": "worker", "worker": "control", "resolver": "inotify", "runner": "lists", "helper ": "list-01", "nobody": "config"} {
		if err := Donates(role, name); err == nil {
			t.Errorf("%s is given %s", role, name)
		}
	}
}

// A row takes the place of one that there is, and each has a kind.
func TestDescriptorsFit(t *testing.T) {
	for _, role := range []string{"helper", "worker", "resolver", "runner", "gate"} {
		names := map[string]bool{}
		for _, d := range Descriptors(role) {
			if names[d.Name] {
				t.Errorf("%s: two rows %q", role, d.Name)
			}
			if names[d.Name] = true; d.Instead != "" && !names[d.Instead] {
				t.Errorf("%s: %s takes the place of %s, which does not come before it", role, d.Name, d.Instead)
			}
			if (len(d.Kinds) == 0) != (d.Origin == Used) {
				t.Errorf("%s: %s has the kinds %q", role, d.Name, d.Kinds)
			}
		}
	}
}

//go:build less

package seccomp

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// lessVar names one rule, as ROLE:NUMBER, by its place in the table's list.
const lessVar = "LOCKSTEP_LESS"

// less of a build for tests leaves the rule out that is named: whether anything
// needs it, a run without it shows. Where what is in no list is answered, it kills
// instead, so that it is seen. The product is never built with the tag.
func less(f Filter) (Filter, error) {
	role, number, found := strings.Cut(os.Getenv(lessVar), ":")
	if !found || role != string(f.Role) {
		return f, nil
	}
	var i int
	if _, err := fmt.Sscanf(number, "%d", &i); err != nil || i < 0 || i >= len(f.Allow) {
		return f, fmt.Errorf("%s=%s:%s names no rule", lessVar, role, number)
	}
	gone := f.Allow[i]
	fmt.Fprintf(os.Stderr, "<4>TEST BUILD (tag less): the %s has no rule %d, %s%s\n", f.Role, i, gone.Name, describeConds(gone.If))
	f.Allow = slices.Delete(slices.Clone(f.Allow), i, i+1)
	if f.Default != Kill {
		f.Deny = append(slices.Clone(f.Deny), gone)
	}
	return f, nil
}

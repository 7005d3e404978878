package testenv

import (
	"os/user"
	"strconv"
	"testing"
)

// IDs are those of a user with its own group, and of another group of this host.
func IDs(t testing.TB, name, group string) (uid, own, other int) {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		Lacks(t, "a user called "+name)
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		Lacks(t, "a group called "+group)
	}
	id := func(text string) int {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return id(u.Uid), id(u.Gid), id(g.Gid)
}

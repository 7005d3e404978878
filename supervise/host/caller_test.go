package host

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Lent rights are refused; root's and nobody's are not.
func TestWhoCalls(t *testing.T) {
	for _, c := range []struct {
		uids, gids [3]int
		caps       uint32
		want       string
	}{
		{[3]int{0, 0, 0}, [3]int{0, 0, 0}, 1, ""},
		{[3]int{1000, 1000, 1000}, [3]int{100, 100, 100}, 0, ""},
		{[3]int{1000, 0, 0}, [3]int{100, 100, 100}, 1, "setuid"},
		{[3]int{1000, 1000, 0}, [3]int{100, 100, 100}, 0, "setuid"},
		{[3]int{0, 1000, 0}, [3]int{0, 0, 0}, 0, "setuid"},
		{[3]int{1000, 1000, 1000}, [3]int{100, 0, 0}, 0, "setgid"},
		{[3]int{1000, 1000, 1000}, [3]int{100, 100, 100}, 4, "with capabilities (0x4)"},
	} {
		for _, sets := range [][2]unix.CapUserData{{{Effective: c.caps}, {}}, {{Permitted: c.caps}, {}}} {
			got, err := whoCalls(c.uids, c.gids, sets)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v: %v, %v", c, got, err)
			}
			if err == nil && (got.UID != c.uids[0] || got.GID != c.gids[0] || got.Root() != (c.uids[0] == 0)) {
				t.Errorf("%+v: %+v", c, got)
			}
		}
	}
}

// As a user, programs of another user are not run, though they be of who owns
// this one.
func TestOwners(t *testing.T) {
	if got := (Caller{}).owners(1000); !slices.Equal(got, []uint32{0, 1000}) {
		t.Errorf("as root: %v", got)
	}
	if got := (Caller{UID: 1001}).owners(1000); !slices.Equal(got, []uint32{0, 1001}) {
		t.Errorf("as a user: %v", got)
	}
}

// A feature that is needed cannot be allowed to be missing.
func TestNeed(t *testing.T) {
	k := Kernel{missing: []missing{{"landlock", "no Landlock"}, {"x", "no x"}}}
	k.Need("landlock", "nothing else is there")
	err := k.Refuse(func(string) bool { return true }, func(string) {})
	if err == nil || !strings.Contains(err.Error(), "no Landlock; nothing else is there") || strings.Contains(err.Error(), "no x") {
		t.Error(err)
	}
}

package user

import (
	"strings"
	"testing"
)

// Whom a handler runs as, and rsync, and why not; "!" begins a reason.
func TestUsers(t *testing.T) {
	told := func(name string, refused []Refused) string {
		for _, r := range refused {
			name += "!" + r.Option + ": " + r.Reason
			if r.Advice == "" {
				t.Error(r)
			}
		}
		return name
	}
	for _, c := range []struct{ uid, gid, handler, here, there string }{
		{"", "", "", "", ""},
		{"lab", "", "lab", "!sync-handler-uid: rsync to a directory", "lab"},
		{"lab", "tty", "lab:tty", "!sync-handler-uid: rsync to a directory", "lab!sync-handler-gid: rsync has the group"},
		{"root", "", "", "", "!sync-handler-uid: rsync to another host is never root"},
		{"0", "0", "", "", "!sync-handler-uid: rsync to another host is never root"},
		{"", "tty", "!sync-handler-gid: a handler has", "!sync-handler-gid: rsync has", "!sync-handler-gid: rsync has"},
		{"lab", "root", "!sync-handler-gid: root is no name", "!sync-handler-uid: rsync to a directory", "lab!sync-handler-gid: rsync has"},
		{"nobody", "", "!sync-handler-uid: nobody is no name", "!sync-handler-uid: rsync to a directory", "!sync-handler-uid: nobody is no name"},
		{"7", "", "!sync-handler-uid: 7 is no name", "!sync-handler-uid: rsync to a directory", "!sync-handler-uid: 7 is no name"},
		{"a b", "", "!sync-handler-uid: ", "!sync-handler-uid: ", "!sync-handler-uid: "},
	} {
		for want, got := range map[string]string{
			"handler " + c.handler: "handler " + told(Of(c.uid, c.gid)),
			"here " + c.here:       "here " + told(OfRsync(c.uid, c.gid, false)),
			"there " + c.there:     "there " + told(OfRsync(c.uid, c.gid, true)),
		} {
			if !strings.HasPrefix(got, want) || !strings.Contains(want, "!") && got != want {
				t.Errorf("%q, %q: %s, want %s", c.uid, c.gid, got, want)
			}
		}
	}
}

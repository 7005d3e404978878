package resolve_test

import (
	"strings"
	"testing"

	"lockstep/config"
	"lockstep/config/keys"
	"lockstep/config/resolve"
	"lockstep/internal/testenv"
)

// A handler's user is one of this host, with the group that is his own or another; it is
// never root, nobody, or the workers'; and a target that would be made is not his.
func TestResolveHandlerUser(t *testing.T) {
	testenv.NeedRoot(t)
	dir := resolve.Place(t)
	uid, gid, other := testenv.IDs(t, "daemon", "tty")
	for _, c := range []struct {
		text, worker, target, want string
		ids                        config.IDs
	}{
		{"daemon", "lockstep", "dst", "", config.IDs{UID: uid, GID: gid}},
		{"daemon:tty", "lockstep", "dst", "", config.IDs{UID: uid, GID: other}},
		{"", "lockstep", "new", "", config.IDs{}},
		{"no-such-user", "lockstep", "dst", `--handler-user no-such-user: there is no user "no-such-user"`, config.IDs{}},
		{"daemon:no-such-group", "lockstep", "dst", `there is no group "no-such-group"`, config.IDs{}},
		{"sync", "lockstep", "dst", "--handler-user sync: has an id of", config.IDs{}}, // Debian's group of it is nogroup
		{"daemon", "daemon", "dst", "is whom lockstep's own workers run as", config.IDs{}},
		{"daemon", "lockstep", "new", "/new: is missing, and would be made as root's, where daemon cannot write; make it", config.IDs{}},
	} {
		b := keys.NewBuilder()
		for key, v := range map[string]string{"source": dir + "/src", "targets": dir + "/" + c.target, "mode": "shell", "handler": "/bin/true", "user": c.worker, "handler_user": c.text} {
			if v != "" {
				b.Set(key, v)
			}
		}
		set, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		set, err = resolve.Set(set)
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
		if err == nil && set.Syncs[0].HandlerIDs != c.ids {
			t.Errorf("%+v: %+v", c, set.Syncs[0].HandlerIDs)
		}
	}
}

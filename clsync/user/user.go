// Package user reads as whom clsync's users have a handler run.
//
// Trust: pure; it reads what whoever configures the daemon wrote.
//
// Invariant: what it returns can be a key handler_user; root and nobody are none.
package user

import (
	"slices"

	"lockstep/clsync/values"
	"lockstep/config"
	"lockstep/internal/escape"
)

// Nobody are the names of those who are nobody in particular: clsync's own choice.
func Nobody(v string) bool {
	return slices.Contains([]string{"", "nobody", "nogroup", "65534"}, v)
}

// Root is a name of root's, or of his group.
func Root(v string) bool { return v == "root" || v == "0" }

// Refused is why an option cannot be.
type Refused struct{ Option, Reason, Advice string }

const uidOption, gidOption = "sync-handler-uid", "sync-handler-gid"

func isName(v string) bool {
	return config.IsUser(v) && !values.Digits(v) && !Nobody(v) && !Root(v)
}

// Of is the user of a handler, and his group, for handler_user; "": it is root's uid, in
// a jail, as without the two options.
func Of(uid, gid string) (string, []Refused) {
	switch {
	case uid == "" || Root(uid):
		if gid != "" && !Root(gid) {
			return "", []Refused{{gidOption, "a handler has a group of its own where it has a user of its own", "add --sync-handler-uid, or take it out"}}
		}
		return "", nil
	case !isName(uid):
		return "", []Refused{{uidOption, escape.Name(uid) + " is no name of a user of its own", "write one, or take it out: then it has root's uid, in a jail, and the rights to copy alone"}}
	case gid == "":
		return uid, nil
	case !isName(gid):
		return "", []Refused{{gidOption, escape.Name(gid) + " is no name of a group that a handler can have: root's and nobody's are none", "write the name of another, or take it out: then it is the user's own"}}
	}
	return uid + ":" + gid, nil
}

// OfRsync is the user of lockstep's own rsync, for run_as. To a directory of this host
// that is root's uid: under another one rsync leaves owners out, and says nothing.
func OfRsync(uid, gid string, remote bool) (name string, refused []Refused) {
	switch {
	case uid == "" || Root(uid) && !remote:
	case Root(uid):
		refused = append(refused, Refused{uidOption, "rsync to another host is never root here", "take it out, or name a user"})
	case !remote:
		refused = append(refused, Refused{uidOption, "rsync to a directory of this host has root's uid, in a jail: under another one it leaves owners out, and says nothing", "take it out; or have a handler of your own call rsync (mode rsyncshell): it can have a user"})
	case !isName(uid):
		refused = append(refused, Refused{uidOption, escape.Name(uid) + " is no name of a user of its own", "write one, or take it out: then it is a free uid"})
	default:
		name = uid
	}
	if gid != "" && (remote || !Root(gid)) {
		refused = append(refused, Refused{gidOption, "rsync has the group of its user, and to a directory of this host root's", "take it out; a handler of your own (mode rsyncshell) can have another group"})
	}
	return name, refused
}

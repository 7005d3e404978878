// Package whom finds out who users and groups of this host are.
//
// Trust: linked into the supervisor, which is root; what it reads is root's.
//
// Invariant: a user that a handler may have is not root, nobody or the workers', by
// number, whatever he is called.
package whom

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"strings"

	"lockstep/config"
)

// Owner reads USER, USER:GROUP or :GROUP, names or numbers of this host; nothing is
// root's. A user alone has the group of root.
func Owner(text string) (uid, gid int, err error) {
	name, group, _ := strings.Cut(text, ":")
	if name != "" {
		if uid, err = number(name, func() (string, error) {
			u, err := user.Lookup(name)
			if err != nil {
				return "", err
			}
			return u.Uid, nil
		}); err != nil {
			return 0, 0, fmt.Errorf("there is no user %q", name)
		}
	}
	if group != "" {
		if gid, err = number(group, func() (string, error) {
			g, err := user.LookupGroup(group)
			if err != nil {
				return "", err
			}
			return g.Gid, nil
		}); err != nil {
			return 0, 0, fmt.Errorf("there is no group %q", group)
		}
	}
	return uid, gid, nil
}

// number is an id that is written as one, or looked up.
func number(text string, look func() (string, error)) (int, error) {
	const last = 1<<32 - 2 // the one above means none, for chown(2)
	found, err := look()
	if err == nil {
		text = found
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n > last {
		return 0, errors.New("no id")
	}
	return int(n), nil
}

// nobody is the overflow uid and gid, which the kernel shows for every id that it
// cannot map.
const nobody = 65534

// Handler reads USER or USER:GROUP, by their names; a user alone has the group that is
// his own. worker is the name of the workers' user.
func Handler(text, worker string) (config.IDs, error) {
	ids, err := handlerIDs(text)
	if err != nil {
		return config.IDs{}, config.Problem{Reason: err.Error(), Advice: "name a user of this host, and a group of it if another than the user's own is meant"}
	}
	const advice = "name a user, and a group, that nothing of lockstep's runs as"
	switch other, err := user.Lookup(worker); {
	case ids.UID == 0 || ids.GID == 0:
		return config.IDs{}, config.Problem{Reason: "has an id of root's", Advice: "name another; without the key a handler has root's uid, and the rights to copy alone"}
	case ids.UID == nobody || ids.GID == nobody:
		return config.IDs{}, config.Problem{Reason: "has an id of nobody's, which all share who have none", Advice: advice}
	case err == nil && other.Uid == strconv.Itoa(ids.UID):
		return config.IDs{}, config.Problem{Reason: "is whom lockstep's own workers run as", Advice: advice}
	}
	return ids, nil
}

func handlerIDs(text string) (ids config.IDs, err error) {
	name, group, _ := strings.Cut(text, ":")
	u, err := user.Lookup(name)
	if err != nil {
		return ids, fmt.Errorf("there is no user %q", name)
	}
	gid := u.Gid
	if group != "" {
		g, err := user.LookupGroup(group)
		if err != nil {
			return ids, fmt.Errorf("there is no group %q", group)
		}
		gid = g.Gid
	}
	if ids.UID, err = strconv.Atoi(u.Uid); err == nil {
		ids.GID, err = strconv.Atoi(gid)
	}
	return ids, err
}

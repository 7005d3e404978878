package compile

import (
	"fmt"

	"lockstep/clsync/user"
	"lockstep/clsync/values"
	"lockstep/config"
	"lockstep/config/field"
	"lockstep/internal/escape"
)

// ids are the users of the processes. None has more rights than without the
// options.
func (c *compiler) ids() {
	o := c.o
	switch {
	case !c.given("uid"):
	case user.Nobody(o.UID):
		c.remark("--uid: the process that decides has a uid of its own, never nobody's")
	case user.Root(o.UID):
		c.fail("uid", "the process that decides is never root", "take it out, or name a user of its own")
	case !config.IsUser(o.UID) || values.Digits(o.UID):
		c.fail("uid", escape.Name(o.UID)+" is no name of a user", "write the name, or take it out: there is a uid of its own")
	default:
		c.service = append(c.service, entry{"user", quoted(o.UID), []string{"--uid: when the host has no such user, a free uid; the process reads no file either way"}})
	}
	if c.given("gid") {
		switch {
		case user.Root(o.GID):
			c.fail("gid", "the process that decides is never in root's group", "take it out")
		case !user.Nobody(o.GID):
			c.warn("gid", "has no effect here: the process that decides has the group of its uid, and no other", "take it out")
		default:
			c.remark("--gid: the process that decides has the group of its uid, and no other")
		}
	}
	for _, one := range []struct{ name, value string }{{"privileged-uid", o.PrivilegedUID}, {"privileged-gid", o.PrivilegedGID}} {
		if c.given(one.name) && !user.Root(one.value) {
			c.fail(one.name, "the helper that watches has root's ids and CAP_DAC_READ_SEARCH alone; others are not built yet", "take it out")
		}
	}
	if o.DetachNetwork == "everywhere" && c.target.Remote() {
		c.fail("detach-network", "rsync reaches "+escape.Name(c.target.Spec)+" by the network", "write --detach-network=non-privileged")
	}
	c.handlerIDs()
}

// handlerIDs are as whom the handler runs, or rsync.
func (c *compiler) handlerIDs() {
	key, remark := "run_as", ""
	name, refused := user.OfRsync(c.o.HandlerUID, c.o.HandlerGID, c.target.Remote())
	if byHandler(c.o) {
		key, remark = "handler_user", "--sync-handler-uid, --sync-handler-gid: without a group the user's own; no capability, and no other group"
		name, refused = user.Of(c.o.HandlerUID, c.o.HandlerGID)
	}
	for _, r := range refused {
		c.fail(r.Option, r.Reason, r.Advice)
	}
	if name != "" {
		c.put(key, quoted(name), remark)
	}
}

// control is the control socket, and who may ask there.
func (c *compiler) control() {
	o := c.o
	c.service = append(c.service, entry{key: "control_socket", value: c.quote("socket", o.Socket),
		remarks: []string{"lockstep ctl asks there; clsync's own protocol is not spoken (docs/control.md)"}})
	var scratch config.Config
	one := func(option, key, value string, read func(*config.Config, string) error, advice string) {
		if err := read(&scratch, value); err != nil {
			c.fail(option, escape.Name(value)+": "+err.Error(), advice)
			return
		}
		c.service = append(c.service, entry{key: key, value: quoted(value)})
	}
	if c.given("socket-mod") {
		one("socket-mod", "control_mode", fmt.Sprintf("%04o", o.SocketMode), field.ReadControlMode, "write 600 for its owner alone, or 660 for its group as well")
	} else {
		c.remark("--socket: its mode is 0600, its owner root; clsync's were those of its umask and its user")
	}
	if o.SocketOwner != "" {
		one("socket-own", "control_owner", o.SocketOwner, field.ReadControlOwner, "write USER, USER:GROUP or :GROUP")
	}
}

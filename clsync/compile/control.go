package compile

import (
	"fmt"

	"lockstep/config"
	"lockstep/config/field"
	"lockstep/internal/escape"
)

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

package resolve

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"

	"lockstep/config"
	"lockstep/config/whom"
)

// maxSocketPath is the longest name of a socket (struct sockaddr_un), with which
// clients come.
const maxSocketPath = 107

// control is the control socket as far as files do not decide it: where it is, and
// who may ask.
func (r *resolver) control() {
	c := &r.Control
	if c.Socket == "" {
		if c.Socket = config.NoControl; r.Path != "" {
			c.Socket = filepath.Join(r.RuntimeDir, "control")
		}
	}
	if !c.On() {
		return
	}
	if n := len(c.Socket); n > maxSocketPath {
		r.add("control_socket", problem(r.say("control_socket")+" "+show(c.Socket), fmt.Sprintf("has %d bytes, and the name of a socket has %d at most", n, maxSocketPath), "name one with a shorter path, or none"))
	}
	uid, gid, err := whom.Owner(c.Owner)
	if err != nil {
		r.add("control_owner", problem(r.say("control_owner")+" "+show(c.Owner), err.Error(), "name a user and a group of this host, as for chown"))
		return
	}
	if uid == 0 && (gid == 0 || c.Mode&0o020 == 0) || filepath.Dir(c.Socket) != r.RuntimeDir {
		return
	}
	if info, err := os.Lstat(r.RuntimeDir); err != nil || info.Mode().Perm()&0o011 == 0 {
		r.add("control_owner", problem(r.say("control_owner")+" "+show(c.Owner), "could not reach "+show(c.Socket)+", which is in a directory that root alone can enter",
			"name another "+r.say("control_socket")+", such as /run/lockstep.control"))
	}
}

// ControlSocket is where a set that was not resolved has its control socket, when
// it is a file's; "" when it has none.
func ControlSocket(s config.Set) string {
	switch s.Control.Socket {
	case config.NoControl:
		return ""
	case "":
		return filepath.Join(cmp.Or(s.RuntimeDir, runtimeDir), "control")
	}
	return s.Control.Socket
}

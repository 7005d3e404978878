// Lockstep-gate reads what the clients of the control socket send, and asks the
// supervisor for them; it is started by lockstep only.
//
// Trust: untrusted from its first client on, in an empty root without a right.
package main

import (
	"fmt"
	"os"

	"lockstep/gate"
	"lockstep/ipc/control"
	"lockstep/ipc/wire"
	"lockstep/sandbox/lock"
)

func main() {
	fds := lock.Begin("clients", "supervisor", "config", "filter")
	cfg := lock.Config(fds["config"], wire.Decode[control.Config], func(c *control.Config) string { return c.Build })

	clients, err := lock.File(fds["clients"], "clients")
	if err != nil {
		lock.Fail("clients", err)
	}
	supervisor, err := lock.File(fds["supervisor"], "supervisor")
	if err != nil {
		lock.Fail("supervisor", err)
	}

	if err := lock.Enter(fds["filter"]); err != nil {
		lock.Fail("filter", err)
	}
	if err := gate.Run(gate.Ends{Clients: clients, Supervisor: supervisor, Log: os.Stderr, Config: cfg}, gate.Usual()); err != nil {
		fmt.Fprintf(os.Stderr, "<3>%v\n", err)
		os.Exit(70)
	}
}

// Package role names the roles that have a system-call filter.
//
// Trust: trusted, values only.
// Imports: nothing.
package role

// Role selects a table.
type Role string

// The roles that have a filter. A runner's filter survives execve, so it is
// the filter of the command that the runner starts, too.
const (
	Helper Role = "helper"
	Worker Role = "worker"
	Runner Role = "runner"
	// Remote is a runner whose target is reached by TCP.
	Remote Role = "remote"
	// Handler is a runner whose command is a person's program.
	Handler Role = "handler"
	// HandlerNetwork is the same where the program has the host's network.
	HandlerNetwork Role = "handler-network"
	// Resolver reads the events of a whole file system.
	Resolver Role = "resolver"
	// Dnotify is the same program where it holds a descriptor of each directory.
	Dnotify Role = "dnotify"
	// Gate speaks to the clients of the control socket.
	Gate Role = "gate"
	// UserWorker is the worker where lockstep was not started as root.
	UserWorker Role = "user-worker"
)

package escape

// roles are the programs, without their tables.
func roles() []Role {
	const (
		capability = "no capability"
		network    = "network namespace of its own"
		pid        = "pid namespace of its own"
		landlock   = "Landlock"
	)
	return []Role{
		{Name: "worker", Title: "The worker", Least: 80, Note: "It decodes what the kernel tells of the tree. Nothing of the list is permitted by design.", Answers: map[string]string{
			"ENOENT": "its root is empty", "EROFS": "its root is read-only (and Landlock)", "EPERM": capability, "ESRCH": pid, "ENETUNREACH": network, "ECONNREFUSED": network + " (and Landlock)"}},
		{Name: "helper", Title: "The helper", Least: 80, Note: "Uid 0 with CAP_DAC_READ_SEARCH, in the host's pid namespace. By design it opens and lists directories below the roots, and watches them. kill(2) of all processes (-1) is left out: it answers success whatever was refused. To become root is nothing to uid 0.", Answers: map[string]string{
			"ENOENT": "its jail shows the roots alone", "EROFS": "its mounts are read-only (and Landlock)", "EPERM": capability, "EACCES": landlock, "ENETUNREACH": network, "ECONNREFUSED": network + " (and Landlock)", "not done": landlock}},
		{Name: "runner", Title: "The runner of a local target, and rsync", Least: 40, Note: "What the filter lets through is seen in a jail that is open: the host's files shown and all mounts writable, executable and with devices, in the host's namespaces of processes, network and IPC. By design it makes processes, starts rsync, reads the source and writes to the target. In the rows that begin with rsync, the attacker has the real rsync run.", Answers: map[string]string{
			"ENOENT": "its jail shows source, target and rsync alone", "EROFS": "its root is read-only (and Landlock)", "EPERM": capability, "EACCES": landlock, "ESRCH": pid, "ENETUNREACH": network, "ECONNREFUSED": network + " (and Landlock)"}},
		{Name: "remote", Title: "The runner of a remote target, rsync and ssh", Least: 40, Note: "It has the host's network, a uid of its own, and CAP_DAC_READ_SEARCH. By design it makes processes, starts rsync and ssh, reads the source, and connects to one port by TCP. In the rows that begin with rsync or ssh, the attacker has the real one run. What ssh holds is in SECURITY.md, by tests of its own (TestSSHHoldsNothing).", Answers: map[string]string{
			"ENOENT": "its jail has no such file", "EROFS": "its root is read-only (and Landlock)", "EPERM": capability, "EACCES": landlock, "ESRCH": pid}},
		{Name: "command", Title: "A handler", Least: 40, Note: "The attacker is the person's program, which the runner becomes by execve(2), in the jail of a handler without a network. By design it makes processes, executes what is in the host's directories of programs, reads the source and writes to the target. Acts whose means the filter refuses beforehand, and those on descriptors that it does not have, are left out.", Answers: map[string]string{
			"ENOENT": "its jail has no such file", "EROFS": "its root is read-only (and Landlock)", "EPERM": capability, "EACCES": landlock, "ESRCH": pid, "ENETUNREACH": network, "ECONNREFUSED": network + " (and Landlock)"}},
		{Name: "networked", Title: "A handler with the network", Least: 40, Note: "A handler for which a person has said `network = true`: it has the host's network, by design, to connect and to send datagrams wherever this host can; those acts are left out. Everything else is as for a handler.", Answers: map[string]string{
			"ENOENT": "its jail has no such file", "EROFS": "its root is read-only (and Landlock)", "EPERM": capability, "EACCES": landlock, "ESRCH": pid}},
		{Name: "module", Title: "The process of a module", Least: 40, Note: "lockstep-plugin, which the runner becomes by execve(2), before it loads the module: what it can do, the module's code can. As for a handler.", Answers: map[string]string{
			"ENOENT": "its jail has no such file", "EROFS": "its root is read-only (and Landlock)", "EPERM": capability, "EACCES": landlock, "ESRCH": pid, "ENETUNREACH": network, "ECONNREFUSED": network + " (and Landlock)"}},
		{Name: "resolver", Title: "The resolver (fanotify)", Least: 80, Note: "Uid 0 with CAP_DAC_READ_SEARCH, in the host's pid namespace. By design it opens directories by their handles, to ask for their paths.", Answers: map[string]string{
			"ENOENT": "its jail shows the source alone", "EROFS": "its mounts are read-only (and Landlock)", "EPERM": capability, "EACCES": landlock, "ENETUNREACH": network, "ECONNREFUSED": network + " (and Landlock)"}},
		{Name: "dnotify", Title: "The resolver (dnotify)", Least: 80, Note: "Uid 0 with CAP_DAC_READ_SEARCH. By design it opens and lists directories below the source.", Answers: map[string]string{
			"ENOENT": "its jail shows the source alone", "EROFS": "its mounts are read-only (and Landlock)", "EPERM": capability, "EACCES": landlock, "ESRCH": pid, "ENETUNREACH": network, "ECONNREFUSED": network + " (and Landlock)"}},
		{Name: "gate", Title: "The gate", Least: 80, Note: "It speaks to the clients of the control socket. Nothing of the list is permitted by design.", Answers: map[string]string{
			"ENOENT": "its root is empty", "EROFS": "its root is read-only (and Landlock)", "EPERM": capability, "EACCES": landlock, "ESRCH": pid, "ENETUNREACH": network, "ECONNREFUSED": network + " (and Landlock)"}},
	}
}

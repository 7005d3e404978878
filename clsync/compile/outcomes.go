package compile

import "lockstep/clsync/options"

// Kind says what becomes of an option.
type Kind uint8

// The kinds.
const (
	Mapped  Kind = iota // lockstep does it, by a key or by a flag of one run
	Already             // lockstep does it in any case
	Useless             // it has no effect here, and a warning says so
	Told                // the same; the reader of the options warns
	Refused             // lockstep does not do it yet
)

// Outcome is what becomes of one option.
type Outcome struct {
	Name   string
	Kind   Kind
	Help   string // Mapped: what it is; Already, Useless: why; Refused: what it asks for
	Advice string
	// asks says that it asks for what is refused, for less than there is already,
	// or at all for something; nil: whenever it is given.
	asks func(*options.Options) bool
}

func never(*options.Options) bool { return false }

// choosesChanges says that a handler is told of each path by itself, so that some need
// not be told.
func choosesChanges(x *options.Options) bool { return byHandler(x) && !x.Mode.Rsync() }

// Outcomes is every option of clsync's table.
func Outcomes() []Outcome {
	return []Outcome{
		{"watch-dir", Mapped, "the directory to follow", "", nil},
		{"sync-handler", Mapped, "the rsync (/usr/bin/rsync), or the handler", "", nil},
		{"rules-file", Mapped, "rules, converted where clsync's meaning was another", "", nil},
		{"destination-dir", Mapped, "the target; a handler may have none", "", nil},
		{"mode", Mapped, "rsyncdirect; simple, direct, shell, rsyncshell, so and rsyncso, with a handler in a jail", "", nil},
		{"socket", Mapped, "the control socket, of another protocol than clsync's: docs/control.md", "", nil},
		{"socket-auth", Already, "who asks at the control socket is known by the kernel's word", "", never},
		{"socket-mod", Mapped, "its mode: who may write to it may ask", "", nil},
		{"socket-own", Mapped, "its owner and group", "", nil},
		{"status-file", Mapped, "a file with the state, in clsync's words", "", nil},
		{"background", Told, "", "", nil},
		{"config-file", Mapped, "the file with blocks of options; /NULL/ for none", "", nil},
		{"config-block", Mapped, "the block that is read", "", nil},
		{"config-block-inherits", Mapped, "the block that it inherits", "", nil},
		{"custom-signals", Mapped, "blocks that signals load, N:BLOCK", "", nil},
		{"pid-file", Mapped, "a file with the process id", "", nil},
		{"uid", Mapped, "the user of the process that decides, when it is one of its own", "", nil},
		{"gid", Mapped, "none but that user's own", "", nil},
		{"privileged-uid", Mapped, "root: the helper that watches has its uid, and one capability", "", nil},
		{"privileged-gid", Mapped, "root, in the same way", "", nil},
		{"sync-handler-uid", Mapped, "the user of a handler and of hooks, or of rsync to another host", "", nil},
		{"sync-handler-gid", Mapped, "the group of a handler; rsync has that of its user", "", nil},
		{"chroot", Refused, "another root directory, below which paths would mean other files", "take it out: each process that reads names or content has a root of its own, with nothing but the source and the target", func(x *options.Options) bool { return x.Chroot != "" && x.Chroot != "/" }},
		{"pivot-root", Already, "each process that reads names or content has a root of its own", "", never},
		{"detach-network", Already, "no process has a network but those that go to a target on another host, which reach one port", "", func(x *options.Options) bool { return x.DetachNetwork == "off" }},
		{"detach-ipc", Already, "each process has namespaces of its own", "", func(x *options.Options) bool { return !x.DetachIPC }},
		{"detach-miscellanea", Already, "each process has namespaces of its own", "", func(x *options.Options) bool { return !x.DetachMiscellanea }},
		{"splitting", Already, "what reads hostile names has no privilege, and what has some reads none", "", func(x *options.Options) bool { return x.Splitting == "off" }},
		{"secure-splitting", Already, "all that it stands for is always on", "", never},
		{"check-execvp-arguments", Already, "rsync's command line is made before the start, and no process can name another", "", func(x *options.Options) bool { return !x.CheckArguments }},
		{"add-permitted-hook-files", Already, "the hooks are fixed at the start, and nothing names another one", "", never},
		{"seccomp-filter", Already, "each process has a filter of system calls of its own", "", func(x *options.Options) bool { return !x.Seccomp }},
		{"forget-privthread-info", Told, "", "", nil},
		{"permit-mprotect", Told, "", "", nil},
		{"shm-mprotect", Told, "", "", nil},
		{"mountpoints", Useless, "nothing is mounted for any process but the source, the target and what rsync needs", "take it out", func(x *options.Options) bool { return len(x.Mountpoints) > 0 }},
		{"preserve-capabilities", Useless, "each process has the capabilities that it needs and no other", "take it out: nothing adds to them", nil},
		{"inherit-capabilities", Told, "", "", nil},
		{"forbid-devices", Already, "a device filter lets no process open a device", "", func(x *options.Options) bool { return !x.ForbidDevices }},
		{"cgroup-group-name", Told, "", "", nil},
		{"threading", Already, "changes are gathered while rsync runs; two commands never have the same path", "", never},
		{"retries", Useless, "what fails is tried again until it works, and lockstep does not end", "take it out", func(x *options.Options) bool { return x.Retries != 0 && !x.IgnoreFailures }},
		{"ignore-failures", Already, "what fails ends nothing, and is tried again", "", never},
		{"exit-on-sync-skipping", Told, "", "", nil},
		{"output", Mapped, "where messages go: stderr, or syslog", "", nil},
		{"one-file-system", Mapped, "leave out what is mounted inside the source", "", nil},
		{"exclude-mount-points", Mapped, "the same", "", nil},
		{"cluster-iface", Told, "", "", nil},
		{"cluster-ip", Told, "", "", nil},
		{"cluster-port", Told, "", "", nil},
		{"cluster-timeout", Told, "", "", nil},
		{"cluster-node-name", Told, "", "", nil},
		{"cluster-hash-dl-min", Told, "", "", nil},
		{"cluster-hash-dl-max", Told, "", "", nil},
		{"cluster-scan-dl-max", Told, "", "", nil},
		{"standby-file", Mapped, "a file that holds syncs back", "", nil},
		{"max-iterations", Mapped, "end after so many syncs; the first pass counts twice, as for clsync, and a directory that is made does not", "", nil},
		{"modification-signature", Mapped, "a handler is told of changes of these fields alone; rsync leaves alone what the target has", "", nil},
		{"timeout-sync", Mapped, "kill an rsync that takes longer, and try again", "", nil},
		{"delay-sync", Mapped, "wait after a failure, at first", "", nil},
		{"delay-collect", Mapped, "wait since a path's first change", "", nil},
		{"delay-collect-bigfile", Mapped, "wait since a big file's last change; at most twice that since its first", "", nil},
		{"threshold-bigfile", Mapped, "files above this size are big; 0: none is", "", nil},
		{"cancel-syscalls", Told, "", "", nil},
		{"lists-dir", Useless, "lists go through pipes, or are where a handler alone finds them", "take it out", func(x *options.Options) bool { return x.ListsDir != "" }},
		{"have-recursive-sync", Mapped, "a handler is told of a whole directory by one call", "", nil},
		{"synclist-simplify", Mapped, "a handler's lists are paths alone", "", nil},
		{"rsync-inclimit", Useless, "rsync is given lists of names, not of patterns, and they are not limited by lines", "take it out", nil},
		{"rsync-prefer-include", Useless, "rsync is given lists of names, not of patterns", "take it out", func(x *options.Options) bool { return x.PreferInclude && !byHandler(x) }},
		{"auto-add-rules-w", Told, "", "", nil},
		{"ignore-exitcode", Useless, "no exit code ends lockstep; paths that failed are tried again", "take it out", func(x *options.Options) bool {
			return !byHandler(x) && (len(x.IgnoreExitCodes) > 1 || len(x.IgnoreExitCodes) == 1 && x.IgnoreExitCodes[0] != 24)
		}},
		{"dont-unlink-lists", Mapped, "copies of a handler's newest lists stay, below lockstep's own directory", "", nil},
		{"fts-experimental-optimization", Told, "", "", nil},
		{"full-initialsync", Mapped, "a first pass over the whole tree, as without it; what the rules leave out is left out of it", "", nil},
		{"only-initialsync", Mapped, "end when the target is in step", "", nil},
		{"skip-initialsync", Mapped, "begin without a first pass: what changed before is not copied", "", nil},
		{"exit-on-no-events", Mapped, "end when the target is in step", "", nil},
		{"exit-hook", Mapped, "a program that is called when all has ended, in a jail", "", nil},
		{"pre-exit-hook", Mapped, "a program that is called before the last pass, in a jail", "", nil},
		{"sync-on-quit", Mapped, "copy what waits at SIGQUIT before the end", "", nil},
		{"verbose", Mapped, "which messages are logged: 0 and 1 errors, 2 warnings too, 3 all", "", nil},
		{"debug", Useless, "there are no messages for debugging", "take it out; USR1 writes the state to the log", func(x *options.Options) bool { return x.Debug > 0 }},
		{"dump-dir", Useless, "dumps are made below the runtime directory, where nobody else can write", "take it out; the log says where each dump is", nil},
		{"quiet", Mapped, "log errors only", "", nil},
		{"monitor", Mapped, "how changes are learnt; without it, as suits the file system", "", nil},
		{"label", Mapped, "the name of the sync in messages; without it, that of the directory", "", nil},
		{"--", Mapped, "rsync's words: of %RSYNC-ARGS%, and those that lockstep's rsync can be told; or those of the handler", "", nil},
		{"---", Mapped, "the words of a call for a whole directory (handler_recursive_args)", "", nil},
		{"help", Mapped, "this text", "", nil},
		{"version", Mapped, "the version", "", nil},
		{"lenient", Mapped, "ignore unknown keys of a file, with a warning", "", nil},
		{"print-config", Mapped, "only print the lockstep.toml that is meant", "", nil},
	}
}

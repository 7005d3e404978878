// Package table is the table of clsync's options: what each is called, how it is
// read, and what has become of it.
//
// Trust: pure data.
// Imports: the forms of arguments, of clsync/cmdline.
//
// Invariant: one line an option; whatever names options names them from here.
package table

import (
	"slices"

	"lockstep/clsync/cmdline"
)

// Type says how a value is read.
type Type uint8

// The types.
const (
	Text    Type = iota
	Path         // of this host; a relative one begins in the start directory
	Target       // a directory of this host, or of another: URL or user@host:dir
	Program      // a bare word is looked for in PATH
	Number       // as strtol(3) with base 0: 010 is 8, 0x10 is 16
	Octal
	Seconds // a Number, or one with a fraction
	Flag    // a Number; without a value it is counted up; not 0 is on
	Count   // the same, but how many is of interest
	Choice  // one of Words
	Choices // some of Words, with commas
	Paths   // with commas; an empty one forgets those before
	Codes   // exit codes, with commas; 0 forgets those before
	Signals // number:block, with commas; 0 forgets those before
)

// Class says what has become of an option of clsync's.
type Class uint8

// The classes.
const (
	Essential Class = iota
	Useful
	Legacy // read, and something else is done
	NoOp   // read, and nothing is done
	Own    // clsync has none of that name
)

// Place says where an option may stand.
type Place uint8

// The places.
const (
	Anywhere Place = iota
	CommandLine
	InFile
)

// Option is one option.
type Option struct {
	Name    string
	Short   byte // 0 for none
	Arg     cmdline.Arg
	Type    Type
	Default string // as it would be written
	Class   Class
	Instead string // of Legacy and NoOp: what is done
	Words   string // of Choice and Choices: a|b, and c=a for another word for a
	Place   Place
	Start   bool // read once: a custom signal does not change it

}

// Spec is how the command line has the option.
func (o Option) Spec() cmdline.Spec { return cmdline.Spec{Name: o.Name, Short: o.Short, Arg: o.Arg} }

// Short names, so that an option is a line.
const (
	none = cmdline.None
	opt  = cmdline.Optional
	req  = cmdline.Required
)

// The texts that more than one option has.
const (
	noCluster = "there is no cluster of clsync's; the option has no effect"
	noMapping = "no memory is shared between processes of different rights; the option has no effect"
)

const signature = "dev|ino|mode|nlink|uid|gid|rdev|size|blksize|blocks|atime|mtime|ctime|*"

const capabilities = "AUDIT_CONTROL|AUDIT_READ|AUDIT_WRITE|BLOCK_SUSPEND|BPF|CHECKPOINT_RESTORE|CHOWN|DAC_OVERRIDE|DAC_READ_SEARCH|FOWNER|FSETID|" +
	"IPC_LOCK|IPC_OWNER|KILL|LEASE|LINUX_IMMUTABLE|MAC_ADMIN|MAC_OVERRIDE|MKNOD|NET_ADMIN|NET_BIND_SERVICE|NET_BROADCAST|NET_RAW|PERFMON|SETFCAP|SETGID|" +
	"SETPCAP|SETUID|SYS_ADMIN|SYS_BOOT|SYS_CHROOT|SYS_MODULE|SYS_NICE|SYS_PACCT|SYS_PTRACE|SYS_RAWIO|SYS_RESOURCE|SYS_TIME|SYS_TTY_CONFIG|SYSLOG|WAKE_ALARM"

// All is every option, in the order of clsync's own.
func All() []Option {
	return []Option{
		{Name: "watch-dir", Short: 'W', Arg: req, Type: Path, Start: true},
		{Name: "sync-handler", Short: 'S', Arg: req, Type: Program},
		{Name: "rules-file", Short: 'R', Arg: req, Type: Path},
		{Name: "destination-dir", Short: 'D', Arg: req, Type: Target},
		{Name: "mode", Short: 'M', Arg: req, Type: Choice, Words: "simple|direct|shell|rsyncdirect|rsyncshell|rsyncso|so"},
		{Name: "socket", Short: 's', Arg: req, Type: Path, Class: Useful},
		{Name: "socket-auth", Arg: req, Type: Choice, Words: "null", Class: Useful},
		{Name: "socket-mod", Arg: req, Type: Octal, Class: Useful},
		{Name: "socket-own", Arg: req, Type: Text, Class: Useful},
		{Name: "status-file", Arg: req, Type: Path, Class: Useful},
		{Name: "background", Short: 'b', Arg: opt, Type: Flag, Class: Legacy, Instead: "stays in the foreground; a service manager, or & of a shell, puts it in the background"},
		{Name: "config-file", Short: 'H', Arg: req, Type: Path, Place: CommandLine, Start: true},
		{Name: "config-block", Short: 'K', Arg: req, Type: Text, Default: "default", Place: CommandLine, Start: true},
		{Name: "config-block-inherits", Arg: req, Type: Text, Start: true},
		{Name: "custom-signals", Arg: req, Type: Signals, Class: Useful, Start: true},
		{Name: "pid-file", Short: 'z', Arg: req, Type: Path, Class: Useful},
		{Name: "uid", Short: 'u', Arg: req, Type: Text},
		{Name: "gid", Short: 'g', Arg: req, Type: Text},
		{Name: "privileged-uid", Arg: req, Type: Text, Class: Useful},
		{Name: "privileged-gid", Arg: req, Type: Text, Class: Useful},
		{Name: "sync-handler-uid", Arg: req, Type: Text},
		{Name: "sync-handler-gid", Arg: req, Type: Text},
		{Name: "chroot", Arg: req, Type: Path, Class: Useful, Start: true},
		{Name: "pivot-root", Arg: req, Type: Choice, Default: "off", Words: "off|direct|auto|auto-ro", Class: Useful},
		{Name: "detach-network", Arg: req, Type: Choice, Default: "off", Words: "off|non-privileged|everywhere", Class: Useful},
		{Name: "detach-ipc", Arg: req, Type: Flag, Default: "1", Class: Useful},
		{Name: "detach-miscellanea", Arg: opt, Type: Flag, Class: Useful},
		{Name: "splitting", Arg: req, Type: Choice, Default: "off", Words: "off|thread|process|0=off|1=thread|2=process"},
		{Name: "secure-splitting", Arg: none, Type: Flag},
		{Name: "check-execvp-arguments", Arg: opt, Type: Flag},
		{Name: "add-permitted-hook-files", Arg: req, Type: Paths, Class: Useful},
		{Name: "seccomp-filter", Arg: opt, Type: Flag},
		{Name: "forget-privthread-info", Arg: opt, Type: Flag, Class: Legacy, Instead: "no thread holds rights that another lacks; the option has no effect"},
		{Name: "permit-mprotect", Arg: opt, Type: Flag, Class: Legacy, Instead: "new executable memory is never permitted; the option has no effect"},
		{Name: "shm-mprotect", Arg: opt, Type: Flag, Class: Legacy, Instead: noMapping},
		{Name: "mountpoints", Arg: req, Type: Paths, Class: Useful},
		{Name: "preserve-capabilities", Short: 'C', Arg: req, Type: Choices, Default: "DAC_READ_SEARCH,SETUID,SETGID,KILL", Words: capabilities, Class: Useful},
		{Name: "inherit-capabilities", Arg: opt, Type: Choice, Default: "empty", Words: "permitted|dont-touch|clsync|empty|permittied=permitted", Class: Legacy, Instead: "a handler gets the capabilities of its own user, and inherits none"},
		{Name: "forbid-devices", Arg: opt, Type: Flag, Class: Useful},
		{Name: "cgroup-group-name", Arg: req, Type: Text, Default: "clsync/%PID%", Class: Legacy, Instead: "cgroups have names of lockstep's own"},
		{Name: "threading", Short: 'p', Arg: req, Type: Choice, Default: "off", Words: "off|safe|full"},
		{Name: "retries", Short: 'r', Arg: req, Type: Number, Default: "1"},
		{Name: "ignore-failures", Arg: opt, Type: Flag},
		{Name: "exit-on-sync-skipping", Arg: opt, Type: Flag, Class: NoOp, Instead: "when events are lost the whole tree is compared; nothing is skipped"},
		{Name: "output", Short: 'Y', Arg: req, Type: Choice, Default: "stderr", Words: "stderr|stdout|syslog"},
		{Name: "one-file-system", Arg: opt, Type: Flag},
		{Name: "exclude-mount-points", Short: 'X', Arg: opt, Type: Flag},
		{Name: "cluster-iface", Short: 'c', Arg: req, Type: Text, Class: NoOp, Instead: noCluster},
		{Name: "cluster-ip", Short: 'm', Arg: req, Type: Text, Default: "227.108.115.121", Class: NoOp, Instead: noCluster},
		{Name: "cluster-port", Short: 'P', Arg: req, Type: Number, Default: "40079", Class: NoOp, Instead: noCluster},
		{Name: "cluster-timeout", Short: 'G', Arg: req, Type: Number, Default: "1000", Class: NoOp, Instead: noCluster},
		{Name: "cluster-node-name", Short: 'n', Arg: req, Type: Text, Class: NoOp, Instead: noCluster},
		{Name: "cluster-hash-dl-min", Short: 'o', Arg: req, Type: Number, Default: "1", Class: NoOp, Instead: noCluster},
		{Name: "cluster-hash-dl-max", Short: 'O', Arg: req, Type: Number, Default: "16", Class: NoOp, Instead: noCluster},
		{Name: "cluster-scan-dl-max", Arg: req, Type: Number, Default: "32", Class: NoOp, Instead: noCluster},
		{Name: "standby-file", Arg: req, Type: Path, Class: Useful},
		{Name: "max-iterations", Arg: req, Type: Number, Default: "0", Class: Useful},
		{Name: "modification-signature", Arg: req, Type: Choices, Words: signature, Class: Useful},
		{Name: "timeout-sync", Short: 'k', Arg: req, Type: Seconds, Default: "86400"},
		{Name: "delay-sync", Short: 'w', Arg: req, Type: Seconds, Default: "30"},
		{Name: "delay-collect", Short: 't', Arg: req, Type: Seconds, Default: "30"},
		{Name: "delay-collect-bigfile", Short: 'T', Arg: req, Type: Seconds, Default: "1800"},
		{Name: "threshold-bigfile", Short: 'B', Arg: req, Type: Number, Default: "134217728"},
		{Name: "cancel-syscalls", Arg: req, Type: Choices, Words: "mon_stat", Class: Legacy, Instead: "every changed path is looked at, in batches; the option has no effect"},
		{Name: "lists-dir", Short: 'L', Arg: req, Type: Path, Class: Useful},
		{Name: "have-recursive-sync", Arg: opt, Type: Flag, Class: Useful},
		{Name: "synclist-simplify", Arg: opt, Type: Flag, Class: Useful},
		{Name: "rsync-inclimit", Arg: req, Type: Number, Default: "20000"},
		{Name: "rsync-prefer-include", Arg: opt, Type: Flag, Class: Useful},
		{Name: "auto-add-rules-w", Short: 'A', Arg: opt, Type: Flag, Class: NoOp, Instead: "no rule is added to those of the file, as in every released clsync"},
		{Name: "ignore-exitcode", Short: 'x', Arg: req, Type: Codes},
		{Name: "dont-unlink-lists", Short: 'U', Arg: opt, Type: Flag, Class: Useful},
		{Name: "fts-experimental-optimization", Arg: opt, Type: Flag, Class: NoOp, Instead: "trees are walked without fts(3); the option has no effect"},
		{Name: "full-initialsync", Short: 'F', Arg: opt, Type: Flag},
		{Name: "only-initialsync", Arg: opt, Type: Flag},
		{Name: "skip-initialsync", Arg: opt, Type: Flag},
		{Name: "exit-on-no-events", Arg: opt, Type: Flag},
		{Name: "exit-hook", Arg: req, Type: Path, Class: Useful},
		{Name: "pre-exit-hook", Arg: req, Type: Path, Class: Useful},
		{Name: "sync-on-quit", Arg: opt, Type: Flag, Class: Useful},
		{Name: "verbose", Short: 'v', Arg: opt, Type: Count, Default: "3", Class: Useful},
		{Name: "debug", Short: 'd', Arg: opt, Type: Count, Default: "0", Class: Useful},
		{Name: "dump-dir", Arg: req, Type: Path, Default: "/tmp/clsync-dump-%label%", Class: Useful},
		{Name: "quiet", Short: 'q', Arg: opt, Type: Count, Default: "0", Class: Useful},
		{Name: "monitor", Arg: req, Type: Choice, Default: "inotify", Words: "inotify|fanotify", Start: true},
		{Name: "label", Short: 'l', Arg: req, Type: Text, Default: "nolabel"},
		{Name: Arguments, Type: Text, Place: InFile},
		{Name: Recursive, Type: Text, Place: InFile, Class: Useful},
		{Name: "help", Short: 'h', Arg: opt, Type: Flag, Place: CommandLine},
		{Name: "version", Short: 'V', Arg: opt, Type: Flag, Place: CommandLine},
		{Name: "lenient", Arg: none, Type: Flag, Class: Own, Place: CommandLine},
		{Name: "print-config", Arg: none, Type: Flag, Class: Own, Place: CommandLine},
	}
}

// The names of the two keys that hold words of a handler's command line.
const (
	Arguments = "--"
	Recursive = "---"
)

// Aliases are other names that files have: the manual page of clsync names a key
// that the program does not know.
func Aliases() map[string]string {
	return map[string]string{"exit-on-sync-skip": "exit-on-sync-skipping"}
}

// Retired are keys that old files have, though no released clsync looks at them, with what
// to do.
func Retired() map[string]string {
	return map[string]string{
		"syslog":     "clsync ignored it as well; write output = syslog, or take it out",
		"rules-path": "clsync ignored it as well, so that no rules were read; write rules-file = FILE, or take it out",
	}
}

// Lookup finds an option by its full name.
func Lookup(name string) (Option, bool) {
	all := All()
	i := slices.IndexFunc(all, func(o Option) bool { return o.Name == name })
	if i < 0 {
		return Option{}, false
	}
	return all[i], true
}

// Specs are the options of a command line.
func Specs() []cmdline.Spec {
	var specs []cmdline.Spec
	for _, o := range All() {
		if o.Place != InFile {
			specs = append(specs, o.Spec())
		}
	}
	return specs
}

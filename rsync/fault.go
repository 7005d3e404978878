package rsync

import (
	"bytes"
	"slices"

	"lockstep/ipc"
)

// Fault is the name of what went wrong with a command: one of a small closed
// set of fixed words. What a command printed is hostile; it only chooses among
// these words and never becomes part of one.
type Fault uint8

// The faults. Their order is part of the reports between worker and supervisor.
const (
	FaultNone Fault = iota
	FaultUnknown

	// Of the way to the other side.
	FaultHostKeyChanged
	FaultHostKeyUnknown
	FaultDenied
	FaultHostUnknown
	FaultUnreachable
	FaultTimeout
	FaultCiphers
	FaultModuleUnknown
	FaultBusy
	FaultNoRsync
	FaultProtocol

	// Of the target.
	FaultMissing
	FaultDiskFull
	FaultReadOnly

	// Of the command, by its exit code.
	FaultUsage
	FaultUnsupported
	FaultRefused
	FaultLog
	FaultFileIO
	FaultBroken
	FaultCrash
	FaultMemory
	FaultInterrupted
	FaultPartial
	FaultVanished
	FaultDeletions
	FaultShell
	FaultWarning

	// Of the runner.
	FaultKilled
	FaultStopped
	FaultLost
	FaultNotStarted
	FaultHeld

	FaultHandler // a person's program, with whatever code

	numFaults
)

// fault is one row of the table.
type fault struct {
	name, text, advice string
	class              Class
	away               bool // nothing could be done at all: see Away
}

// FaultOf reads a number that may come from anywhere.
func FaultOf(n uint64) Fault {
	if n >= uint64(numFaults) {
		return FaultUnknown
	}
	return Fault(n)
}

func (f Fault) row() fault {
	if f >= numFaults {
		f = FaultUnknown
	}
	return faults()[f]
}

// Name is a few fixed words for the fault, "" for none.
func (f Fault) Name() string { return f.row().name }

// Class says what is to be done.
func (f Fault) Class() Class { return f.row().class }

// Text says what happened.
func (f Fault) Text() string { return f.row().text }

// Advice says what a person can do; "" when nothing is needed.
func (f Fault) Advice() string { return f.row().advice }

// Away says that the target was not reached, or takes nothing from us at all:
// whatever is sent next fails in the same way until that has changed.
func (f Fault) Away() bool { return f.row().away }

func faults() [numFaults]fault {
	return [numFaults]fault{
		FaultNone:    {},
		FaultUnknown: {name: "failed", class: Retry, text: "the command failed in an unknown way", advice: "read what it printed"},

		FaultHostKeyChanged: {name: "host key changed", class: Person, away: true,
			text:   "the other side shows another host key than the known one: it was installed anew, or somebody is in between",
			advice: "ask who runs it; if the new key is right, put it into the known_hosts file of this sync (ssh-keyscan shows it) and remove the old one"},
		FaultHostKeyUnknown: {name: "host key unknown", class: Person, away: true,
			text:   "the host's key is not in the known_hosts file of this sync",
			advice: "put it there after comparing it with what the other side's administrator says (ssh-keyscan shows it)"},
		FaultDenied: {name: "permission denied", class: Person, away: true,
			text:   "the other side refused our key, user or password",
			advice: "check that user and identity (or password_file) are right, that the other side lists our public key, and that it lets this host in"},
		FaultHostUnknown: {name: "host unknown", class: Retry, away: true,
			text:   "the host's name was not resolved to an address",
			advice: "check its spelling and the resolver (getent hosts NAME)"},
		FaultUnreachable: {name: "unreachable", class: Retry, away: true,
			text:   "no connection to the other side: refused, reset, or no way there",
			advice: "check that the host is up, that its port is right and open, and the network between"},
		FaultTimeout: {name: "timeout", class: Retry, away: true,
			text:   "the other side did not answer, or the command took too long",
			advice: "check the connection and the disks of both sides; a command that rightly takes longer needs a larger timeout"},
		FaultCiphers: {name: "no common cipher", class: Person, away: true,
			text:   "ssh on both sides have no algorithm in common",
			advice: "install a current version of OpenSSH on the other side"},
		FaultModuleUnknown: {name: "module unknown", class: Person, away: true,
			text:   "the other side's rsync daemon has no such module",
			advice: "check the module's name against rsyncd.conf there (rsync rsync://HOST lists them)"},
		FaultBusy: {name: "too many connections", class: Retry, away: true,
			text:   "the other side serves as many connections as it may",
			advice: "raise max connections in its rsyncd.conf, or lower max_jobs_per_host here"},
		FaultNoRsync: {name: "no rsync on the other side", class: Person, away: true,
			text:   "rsync was not found on the other side, or cannot be run there",
			advice: "install rsync there"},
		FaultProtocol: {name: "protocol mismatch", class: Person, away: true,
			text:   "what answers on the other side does not speak rsync's protocol, or too old a one",
			advice: "install the same version of rsync on both sides; a login shell there must print nothing, and the port must be rsync's"},

		FaultMissing: {name: "target not there", class: Person, away: true,
			text:   "the target, or the directory that it is in, could not be opened",
			advice: "check that it exists, is a directory and is mounted; nothing was deleted"},
		FaultDiskFull: {name: "disk full", class: Person,
			text:   "the target has no space or no inodes left, or a quota is used up",
			advice: "free space there (df -h, df -i, quota); it is tried again by itself"},
		// Not away when the command went on (23): only a part may be read-only.
		FaultReadOnly: {name: "target is read-only", class: Person, away: true,
			text:   "the target takes no changes",
			advice: "remount its file system writable (dmesg tells why it was not), or set read only = no for its module"},

		FaultUsage:       row("usage", 1),
		FaultUnsupported: row("not supported", 4),
		FaultRefused:     row("refused", 5),
		FaultLog:         row("log", 6),
		FaultFileIO:      row("file error", 11),
		FaultBroken:      row("broken off", 12),
		FaultCrash:       row("crash", 15),
		FaultMemory:      row("no memory", 22),
		FaultInterrupted: row("interrupted", 20),
		FaultPartial:     row("partial", 23),
		FaultVanished:    row("vanished", 24),
		FaultDeletions:   row("too many deletions", 25),
		FaultShell:       row("remote shell failed", 255),
		FaultWarning: {name: "warning", class: Partial,
			text: "the command succeeded with a warning; its paths are looked at again"},

		FaultKilled: {name: "killed", class: Retry, text: "the command was ended by a signal",
			advice: "if it repeats: look in the kernel's log for a lack of memory"},
		FaultStopped: {name: "stopped", class: Retry, text: "the command was stopped"},
		FaultLost:    {name: "runner lost", class: Retry, away: true, text: "the runner was lost; its job is tried again"},
		FaultNotStarted: {name: "not started", class: Retry, away: true, text: "the command could not be started",
			advice: "read the reason; when rsync was upgraded, restart lockstep"},
		FaultHeld: {name: "held", class: Person, text: "a guard holds the whole pass; nothing is deleted",
			advice: "look at the source; if the deletions are wanted, start once with --accept-root"},
		FaultHandler: {name: "handler failed", class: Retry, text: "the handler ended with a failure; what it was told is told again",
			advice: "read what it printed; codes that are no failure belong in ignore_exit_codes"},
	}
}

// row is a fault that is an exit code's.
func row(name string, code int) fault {
	m := ExitMeaning(code)
	return fault{name: name, class: m.Class, text: m.Text, advice: m.Advice}
}

// Diagnose names what went wrong with a command: how it ended, its exit code,
// and the end of what it printed, which is hostile and only chooses among the
// faults that its exit code leaves open.
func Diagnose(end ipc.End, code int, tail []byte) Fault {
	switch end {
	case ipc.EndNone:
		return FaultUnknown
	case ipc.EndExited:
	case ipc.EndSignalled:
		return FaultKilled
	case ipc.EndTimeout:
		return FaultTimeout
	case ipc.EndStopped:
		return FaultStopped
	case ipc.EndLost:
		return FaultLost
	case ipc.EndRefused:
		return FaultNotStarted
	case ipc.EndHeldEmpty, ipc.EndHeldMany:
		return FaultHeld
	default:
		return FaultUnknown
	}
	if code == 0 {
		if len(tail) > 0 {
			return FaultWarning
		}
		return FaultNone
	}
	if f := tell(code, tail); f != FaultNone {
		return f
	}
	return byCode(code)
}

func byCode(code int) Fault {
	switch code {
	case 1:
		return FaultUsage
	case 2:
		return FaultProtocol
	case 3:
		return FaultMissing
	case 4:
		return FaultUnsupported
	case 5:
		return FaultRefused
	case 6:
		return FaultLog
	case 10:
		return FaultUnreachable
	case 11:
		return FaultFileIO
	case 12, 13, 14:
		return FaultBroken
	case 15:
		return FaultCrash
	case 16, 19, 20, 21:
		return FaultInterrupted
	case 22:
		return FaultMemory
	case 23:
		return FaultPartial
	case 24:
		return FaultVanished
	case 25:
		return FaultDeletions
	case 30, 35:
		return FaultTimeout
	case 124, 125, 255:
		return FaultShell
	case 126, 127:
		return FaultNoRsync
	}
	return FaultUnknown
}

// sign is a line of output that tells a fault.
type sign struct {
	fault               Fault
	codes               []int
	begins, holds, ends string
}

// signs are looked for in this order. They are the words of OpenSSH 9.2 and of
// rsync 3.2 to 3.5 (fault_test.go has whole outputs), which both end the way to
// the other side with 255, or with 12 when the command saw the pipe close first.
//
// A name of a file that somebody made up stands in quotes in those of rsync's
// lines that end with a reason, and a newline in it is printed as \#012: so no
// name makes a line, nor its end.
func signs() []sign {
	ssh := []int{12, 255}
	daemon := []int{1, 5, 10, 12}
	disk := []int{3, 11, 12, 23}
	return []sign{
		{FaultHostKeyChanged, ssh, "Host key for ", "", " has changed and you have requested strict checking."},
		{FaultHostKeyUnknown, ssh, "Host key verification failed.", "", ""},
		{FaultDenied, ssh, "", ": Permission denied (", ")."},
		{FaultDenied, ssh, "", "Too many authentication failures", ""},
		{FaultHostUnknown, ssh, "ssh: Could not resolve hostname ", "", ""},
		{FaultCiphers, ssh, "Unable to negotiate with ", "", ""},
		{FaultTimeout, ssh, "Connection timed out during banner exchange", "", ""},
		{FaultTimeout, ssh, "Timeout, server ", "", " not responding."},
		{FaultUnreachable, ssh, "ssh: connect to host ", "", ""},
		{FaultUnreachable, ssh, "kex_exchange_identification: ", "", ""},
		{FaultUnreachable, ssh, "ssh_dispatch_run_fatal: ", "", ""},
		{FaultUnreachable, ssh, "client_loop: ", "", ""},
		{FaultUnreachable, ssh, "Connection closed by ", "", ""},
		{FaultUnreachable, ssh, "Connection reset by ", "", ""},
		{FaultUnreachable, ssh, "Connection to ", "", " closed by remote host."},
		{FaultTimeout, ssh, "Connection to ", "", " timed out"},

		{FaultModuleUnknown, daemon, "", "@ERROR: Unknown module ", ""},
		{FaultDenied, daemon, "", "@ERROR: auth failed on module ", ""},
		{FaultDenied, daemon, "", "@ERROR: access denied to ", ""},
		{FaultBusy, daemon, "", "@ERROR: max connections ", ""},
		{FaultMissing, daemon, "", "@ERROR: chdir failed", ""},
		{FaultMissing, daemon, "", "@ERROR: chroot failed", ""},
		{FaultReadOnly, daemon, "ERROR: module is read only", "", ""},
		{FaultProtocol, daemon, "rsync: server sent ", "", " rather than greeting"},
		{FaultHostUnknown, daemon, "rsync: getaddrinfo: ", "", ""},
		{FaultHostUnknown, daemon, "rsync: [", "getaddrinfo: ", ""},
		{FaultUnreachable, daemon, "rsync: ", "", "Connection reset by peer (104)"},

		{FaultNoRsync, []int{12}, "", "", ": command not found"},
		{FaultNoRsync, []int{12}, "", "", ": not found"},
		{FaultNoRsync, []int{12}, "", ": command not found: ", ""},
		{FaultNoRsync, []int{12}, "bash: line 1: ", "", ": No such file or directory"},
		{FaultNoRsync, []int{12}, "bash: line 1: ", "", ": Permission denied"},

		// What was a directory when the list of files was made is none any more.
		{FaultVanished, []int{2}, "ABORTING due to invalid path from sender: ", "", ""},

		{FaultDiskFull, disk, "rsync: ", "", ": No space left on device (28)"},
		{FaultDiskFull, disk, "rsync: ", "", ": Disk quota exceeded (122)"},
		{FaultReadOnly, disk, "rsync: ", "", ": Read-only file system (30)"},
		{FaultMissing, []int{3, 11}, "rsync: ", "", ": No such file or directory (2)"},
	}
}

// tell looks for the signs that an exit code allows.
func tell(code int, tail []byte) Fault {
	var lines [][]byte
	for line := range bytes.SplitSeq(tail, []byte{'\n'}) {
		lines = append(lines, bytes.TrimRight(line, "\r"))
	}
	for _, s := range signs() {
		if !slices.Contains(s.codes, code) {
			continue
		}
		for _, line := range lines {
			if bytes.HasPrefix(line, []byte(s.begins)) && bytes.HasSuffix(line, []byte(s.ends)) && bytes.Contains(line, []byte(s.holds)) {
				return s.fault
			}
		}
	}
	return FaultNone
}

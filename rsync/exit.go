package rsync

import (
	"bytes"
	"fmt"
	"strconv"
)

// Class says what is to be done about an exit code.
type Class uint8

// The classes, mildest first.
const (
	Done    Class = iota // all was done
	Partial              // some paths were not: look again and retry what is in doubt
	Retry                // the run failed; try again later
	Person               // it will fail again until a person acts; try again, but say so
)

func (c Class) String() string {
	switch c {
	case Done:
		return "done"
	case Partial:
		return "partial"
	case Retry:
		return "retry"
	case Person:
		return "person"
	}
	return "class " + strconv.Itoa(int(c))
}

// Meaning is what an exit code says.
type Meaning struct {
	Class  Class
	Text   string // what happened
	Advice string // what a person can do; "" when nothing is needed
	// Debris: rsync may have ended without cleaning up, so that files named
	// .NAME.XXXXXX remain on the target. A list never removes them; JobPrune
	// of the directories that were written to, or JobInitial, does.
	Debris bool
}

// ExitMeaning is the table of rsync(1), EXIT VALUES, for an exit code of 0 to
// 255. A code that is not documented there is one to retry.
func ExitMeaning(code int) Meaning {
	if m, ok := exitTable()[code]; ok {
		return m
	}
	return Meaning{Class: Retry, Debris: true,
		Text:   fmt.Sprintf("rsync ended with the undocumented code %d", code),
		Advice: "read what it printed"}
}

func exitTable() map[int]Meaning {
	return map[int]Meaning{
		0: {Class: Done, Text: "done"},
		1: {Class: Person, Text: "rsync refused its command line",
			Advice: "the installed rsync lacks an option that is needed, or rsync_args has one that it does not know: install rsync 3.5.0 or later, or mend rsync_args"},
		2: {Class: Person, Text: "the two rsyncs speak different protocols",
			Advice: "install the same version of rsync on both sides"},
		3: {Class: Person, Text: "rsync could not open the source or the target",
			Advice: "check that both exist, are directories and are mounted; nothing was deleted"},
		4: {Class: Person, Text: "an option is not supported on one side",
			Advice: "install rsync with ACLs and extended attributes on both sides, or switch them off"},
		5: {Class: Person, Text: "the other side refused the start of the conversation",
			Advice: "check the module's name, user and password"},
		6: {Class: Person, Text: "rsync could not write its log",
			Advice: "remove the log file from rsync_args"},
		10: {Class: Retry, Text: "the connection failed", Debris: true,
			Advice: "check that the other side can be reached"},
		11: {Class: Person, Text: "reading or writing a file failed", Debris: true,
			Advice: "look for a full disk, a quota or a read-only file system on the target (df -h, df -i), and free space; it is tried again by itself"},
		12: {Class: Retry, Text: "the conversation between the two rsyncs broke off", Debris: true,
			Advice: "if it repeats: look for a full disk on the target, an rsync killed for want of memory, or a shell that prints at login"},
		13: {Class: Retry, Text: "rsync could not report a failure of its own", Debris: true},
		14: {Class: Retry, Text: "rsync could not start or talk to a process of its own", Debris: true,
			Advice: "if it repeats: raise the limits on processes and memory"},
		15: {Class: Retry, Text: "a process of rsync crashed", Debris: true,
			Advice: "if it repeats: install another version of rsync and report the crash to its authors"},
		16: {Class: Retry, Text: "a process of rsync was killed by a signal", Debris: true,
			Advice: "if it repeats: look in the kernel's log for a lack of memory"},
		19: {Class: Retry, Text: "rsync was told to stop (SIGUSR1)", Debris: true},
		20: {Class: Retry, Text: "rsync was told to stop (SIGINT, SIGTERM or SIGHUP)", Debris: true},
		21: {Class: Retry, Text: "rsync lost a process of its own", Debris: true},
		22: {Class: Retry, Text: "rsync had too little memory", Debris: true,
			Advice: "raise the memory limit of the service, or split the tree into several syncs"},
		23: {Class: Partial, Text: "some files or attributes were not transferred",
			Advice: "read what rsync printed: permissions, a full disk, or attributes that the target cannot hold"},
		24: {Class: Partial, Text: "some files vanished while they were read"},
		25: {Class: Person, Text: "more would be deleted than max_delete allows",
			Advice: "look at the source; if the deletions are wanted, start once with --accept-root"},
		30: {Class: Retry, Text: "no data for too long", Debris: true,
			Advice: "check the connection and the disks of both sides"},
		35: {Class: Retry, Text: "the other side's daemon did not answer",
			Advice: "check that the daemon runs and that its port can be reached"},
		124: {Class: Retry, Text: "the command run for rsync on the other side failed",
			Advice: "check the remote shell and rsync's path on the other side"},
		125: {Class: Retry, Text: "the command run for rsync on the other side was killed"},
		126: {Class: Person, Text: "rsync could not be run on the other side",
			Advice: "check that rsync is executable there"},
		127: {Class: Person, Text: "rsync was not found on the other side",
			Advice: "install rsync there"},
		255: {Class: Retry, Text: "the remote shell failed",
			Advice: "check the host's name, its key and the identity"},
	}
}

// Skipped finds, in the end of what rsync printed, its count of the deletions
// that --max-delete stopped; 0 when there is none. It must be asked for next to
// exit code 25, because a deletion that stood in the way of a file of another
// type makes the code 23.
//
// rsync prints a newline in a name as \#012, so that no name makes a line.
func Skipped(tail []byte) uint64 {
	const before, after = "Deletions stopped due to --max-delete limit (", " skipped)"
	for line := range bytes.Lines(tail) {
		rest, ok := bytes.CutPrefix(bytes.TrimRight(line, "\n"), []byte(before))
		if !ok {
			continue
		}
		number, ok := bytes.CutSuffix(rest, []byte(after))
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(string(number), 10, 32)
		if err != nil {
			continue
		}
		return n
	}
	return 0
}

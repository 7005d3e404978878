// Package rsync builds rsync's command lines and filter rules, and says what
// its exit codes mean.
//
// Trust: pure; used by the supervisor, which fixes the command lines before
// distrust begins, and by the worker, which writes rules and lists.
//
// Invariants: no word of a command line depends on a file's name; a rule
// matches the one path it was made for, whatever bytes are in it; what cannot
// be said exactly is not said at all.
//
// What is written here was measured with rsync 3.5.0; the sections named are
// those of rsync(1).
package rsync

import (
	"fmt"
	"strings"

	"lockstep/ipc"
)

// Limits of rsync's own, measured. Beyond them it drops what it was given and
// exits with 0.
const (
	// MaxRel is the longest path (in bytes, without the leading "./") that a
	// list entry may have. A longer one is skipped in silence.
	MaxRel = 4093
	// MaxRule is the longest filter rule in bytes, prefix included. A longer
	// one is discarded.
	MaxRule = 4097
)

// Xattrs says which extended attributes are copied.
type Xattrs uint8

// The choices. Access control lists are attributes too, but are chosen by
// Options.ACLs alone.
const (
	XattrsNone Xattrs = iota
	XattrsUser        // user.* is made equal; every other namespace is left alone on both sides
	XattrsAll         // security.* as well: needs CAP_SETFCAP; trusted.* needs CAP_SYS_ADMIN, else rsync drops it in silence
)

// ParseXattrs reads the word used in a configuration: none, user or all.
func ParseXattrs(word string) (Xattrs, error) {
	switch word {
	case "none":
		return XattrsNone, nil
	case "user":
		return XattrsUser, nil
	case "all":
		return XattrsAll, nil
	}
	return XattrsNone, fmt.Errorf("extended attributes %q: not one of none, user, all", word)
}

// Options are what one sync asks of rsync, and what the trial at start found
// the installed rsync able to do.
type Options struct {
	Source string // absolute path of a directory; a trailing slash is added
	// Target is a directory: its absolute path; with SSH a path there, absolute
	// or below the user's home; with Daemon the module, and a path in it.
	Target string
	Remote Remote // where Target is; the zero value is this host
	Delete Delete

	Devices bool // make device nodes; needs CAP_MKNOD
	ACLs    bool
	Xattrs  Xattrs
	// ConfineRoot has rsync refuse a listed path that leaves Source through a
	// link (rsync 3.5.0 on). The jail does that anyway: a second layer.
	ConfineRoot bool
	Excludes    []string // filter rules, from Exact
	BWLimit     string   // as --bwlimit takes it; "" is no limit
	SkipEqual   bool     // lists leave a file as it is whose content the target has
	// BackupDir is the name of a directory in Target, into which what is replaced or
	// deleted is moved; "": none. No job touches what is in it otherwise.
	BackupDir string
	DryRun    bool     // change nothing, print what would be done
	Args      []string // rsync_args of the configuration, checked there
}

// Delete says which kinds of jobs delete on the target.
type Delete uint8

// The choices. Jobs that do not delete pass over what is missing; but what is of
// another type by now is replaced all the same: else the target could never hold
// what the source does. So a directory that became a file goes, with all in it.
const (
	// DeleteAlways: whole passes and lists delete.
	DeleteAlways Delete = iota
	// DeleteWhole: whole passes delete, lists do not; there is no JobPrune.
	DeleteWhole
	// DeleteNever: no job deletes; there is no JobPrune.
	DeleteNever
)

// Argv is the complete command line of a kind of job, argv[0] included.
//
// JobInitial, JobPrune and JobContent read NUL-separated filter rules from
// stdin, the others a NUL-separated list of paths; JobWide is JobList's, whose
// list several rsyncs may share. It returns nil for any other kind, and for
// JobPrune where only whole passes delete, or nothing does.
func Argv(kind ipc.JobKind, o Options) []string {
	// While a file is summed up, nothing is said: a large one takes long.
	sums := kind == ipc.JobContent || o.skipsEqual() && (kind == ipc.JobList || kind == ipc.JobWide)
	if sums && o.Remote.Kind != Local {
		o.Remote.Stall = max(o.Remote.Stall, contentStall)
	}
	switch kind {
	case ipc.JobInitial:
		return o.wrap(o.whole())
	case ipc.JobPrune:
		if o.Delete != DeleteAlways {
			return nil
		}
		// What exists is left, what is missing is not made: only deletions
		// and the attributes of directories remain.
		return o.wrap(append(o.whole(), "--existing", "--ignore-existing"))
	case ipc.JobList, ipc.JobWide:
		return o.wrap(o.changed())
	case ipc.JobAttr:
		return o.wrap(o.listed())
	case ipc.JobContent:
		// What is new has events of its own, and may be what rules made
		// before it do not leave out.
		return o.wrap(append(append(o.common(), "--checksum", "--existing", "--from0"), o.rules()...))
	case ipc.JobKnock:
		return o.wrap(append(o.listed(), "--dry-run"))
	}
	return nil
}

// Probe is the dry run of JobInitial that counts its deletions: MaxDelete's
// word is put before the "--". It reads the same rules. The runner's survey
// stands for it where it can, so that no word may hold for one side only.
//
// Not --existing: a directory that became a file deletes what is in it, and
// only the full run counts that. No hard links, ACLs or attributes: they change
// nothing that is counted and cost a read a file. It is nil where nothing is
// deleted.
func Probe(o Options) []string {
	if o.Delete == DeleteNever {
		return nil
	}
	words := []string{"-rlptgoD", o.devices(), "--specials", "--numeric-ids",
		"--modify-window=-1", "--dry-run", "--delete", "--from0"}
	return o.wrap(append(words, o.rules()...))
}

// MaxDelete is the word that has rsync stop deleting after n entries and exit
// with 25 (or with 23, when what it could not delete stood in the way of a file
// of another type: see Skipped).
func MaxDelete(n uint64) string {
	// rsync reads the number as an int; it has no use for one above that.
	const maxInt32 = 1<<31 - 1
	return fmt.Sprintf("--max-delete=%d", min(n, maxInt32))
}

// WithMaxDelete is argv with MaxDelete's word put before its "--".
func WithMaxDelete(argv []string, n uint64) []string {
	out := make([]string, 0, len(argv)+1)
	done := false
	for _, word := range argv {
		if word == "--" && !done {
			out = append(out, MaxDelete(n))
			done = true
		}
		out = append(out, word)
	}
	if !done {
		out = append(out, MaxDelete(n))
	}
	return out
}

// whole is a pass over the whole tree, with deletion or with what replacing
// needs. Never --ignore-errors: what could not be read must not be taken for
// deleted.
func (o Options) whole() []string {
	deletes := "--delete"
	if o.Delete == DeleteNever {
		deletes = "--force"
	}
	return append(append(o.common(), deletes, "--from0"), o.rules()...)
}

// rules are the patterns of the configuration, then the rules from stdin. The
// first rule that matches decides, so a configured pattern protects on the
// target also where the rules from stdin choose what to delete.
func (o Options) rules() []string {
	var words []string
	if o.BackupDir != "" {
		words = append(words, "--filter=- /"+o.BackupDir)
	}
	for _, rule := range o.Excludes {
		words = append(words, "--filter="+rule)
	}
	return append(words, "--filter=merge -")
}

// listed is a run over the paths of a list, without recursion. --force: else a
// directory that is not empty stays, with exit code 0. Never
// --no-implied-dirs: it writes through a link on the target.
func (o Options) listed() []string {
	missing := "--ignore-missing-args"
	if o.Delete == DeleteAlways {
		missing = "--delete-missing-args"
	}
	words := append(o.common(), "--files-from=-", "--from0", missing, "--force")
	// A password file is outside the root, and would be refused as well; and a backup
	// would take no older one's place: rsync 3.5.0 says nothing and loses it.
	if o.ConfineRoot && o.Remote.Kind != Daemon && o.BackupDir == "" {
		words = append(words, "--confine-root="+trimSlash(o.Source))
	}
	return words
}

// changed is a run over paths that were seen to change. An edit may keep both size and
// time, so a file is copied whatever they say, or its content is compared, which they
// do not decide either.
func (o Options) changed() []string {
	if !o.skipsEqual() {
		return append(o.listed(), "--ignore-times")
	}
	return append(o.listed(), "--checksum")
}

// common is what every job that writes has: owner, group, mode, times to the
// nanosecond (the default compares whole seconds), links, hard links, FIFOs.
func (o Options) common() []string {
	words := []string{"-aH"}
	if o.ACLs {
		words = append(words, "--acls")
	}
	if o.Xattrs != XattrsNone {
		words = append(words, "--xattrs")
	}
	if o.Xattrs == XattrsUser {
		// Both sides skip every other namespace: neither a failure to set
		// it nor a deletion on the target (FILTER RULE MODIFIERS, x).
		words = append(words, "--filter=-x! user.*")
	}
	words = append(words, o.devices(), "--specials", "--numeric-ids", "--modify-window=-1")
	if o.BWLimit != "" {
		words = append(words, "--bwlimit="+o.BWLimit)
	}
	if o.BackupDir != "" {
		words = append(words, "--backup", "--backup-dir="+o.BackupDir)
	}
	if o.DryRun {
		words = append(words, "--dry-run", "--itemize-changes")
	}
	return words
}

// skipsEqual says that lists are compared by content: also where there are backups, of
// which one that equals what it was taken for would push an older version out.
func (o Options) skipsEqual() bool { return o.SkipEqual || o.BackupDir != "" }

func (o Options) devices() string {
	if o.Devices {
		return "--devices"
	}
	return "--no-devices" // -a alone would make them
}

// wrap adds the program's name, the words of the connection, those of the
// configuration, which come last so that they count, and the two places.
func (o Options) wrap(words []string) []string {
	argv := append([]string{"rsync"}, words...)
	argv = append(append(argv, o.Remote.words()...), o.Args...)
	return append(argv, "--", trimSlash(o.Source)+"/", o.Remote.place(trimSlash(o.Target)+"/"))
}

func trimSlash(path string) string {
	return strings.TrimRight(path, "/")
}

// Package handler makes of a batch of changes what clsync's modes hand to their
// handlers: words, list files, environment.
//
// Trust: shared. Templates come from the configuration; the names of a batch are
// hostile.
// Imports: the standard library and rsync only. Pure: no os, no clock, no chance.
//
// It stands beside rsync, not below a side: the worker can make lists with it,
// and whoever starts the handler can make the same words of the same template.
//
// What comes out is what clsync 0.4.5 hands over (test/clsync has recordings of
// it), but for what Differences lists.
//
// Invariants: nothing in a name is ever expanded; a word that is a relative name
// does not begin with a dash; a list's line stands for exactly one path; a
// rejected path is excluded in every run that could copy it; an entry is in a
// run, or among what is left.
package handler

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Mode is how a handler is told.
type Mode uint8

// clsync's modes.
const (
	Simple      Mode = iota + 1 // a call for each event
	Direct                      // names as words
	Shell                       // a list of lines with label, mask and name
	RsyncDirect                 // rsync's lists, and rsync's words
	RsyncShell                  // rsync's lists
	RsyncSO                     // rsync's lists, for a function
	SO                          // entries, for a function
)

// ParseMode reads a mode's name.
func ParseMode(name string) (Mode, error) {
	for m := Simple; m <= SO; m++ {
		if m.String() == name {
			return m, nil
		}
	}
	return 0, fmt.Errorf("mode %q does not exist; the modes are simple, direct, shell, rsyncdirect, rsyncshell, rsyncso and so", name)
}

func (m Mode) String() string {
	if m < Simple || m > SO {
		return "unknown"
	}
	return [...]string{"simple", "direct", "shell", "rsyncdirect", "rsyncshell", "rsyncso", "so"}[m-1]
}

// rsync says that lists are in rsync's language.
func (m Mode) rsync() bool { return m == RsyncDirect || m == RsyncShell || m == RsyncSO }

// function says that no program is called.
func (m Mode) function() bool { return m == RsyncSO || m == SO }

// Kind is what is at a path.
type Kind uint8

// Their numbers are those of clsync's modules.
const (
	Unknown Kind = iota
	Absent
	File // whatever is no directory
	Dir
)

// Masks of what was found, not told of by the kernel.
const (
	FoundFile = 256        // IN_CREATE
	FoundDir  = 1073742080 // IN_CREATE | IN_ISDIR
)

// Entry is one path of a batch.
type Entry struct {
	Path string // below the root, of any bytes but NUL; "" is the root
	Mask uint32 // bits of inotify(7)
	Old  Kind
	New  Kind

	// The path and all that is below it. In rsync's modes a directory that is gone
	// needs it too: its own line alone leaves it on the target as long as there is
	// something in it, and rsync says so and ends with 0. clsync does not see to
	// that; nor does Make, because what came in its place since would be copied
	// with whatever of it is rejected: only the caller can know.
	Recursive bool
	Content   bool // all that is below it, and the path
}

// Batch is what is to be handed over at a time.
type Batch struct {
	Entries   []Entry
	Rejected  []string // paths that must not be copied, with all below them
	Below     []string // paths that may be, without what is below them: mounts
	Status    string   // CLSYNC_STATUS
	Iteration uint64   // CLSYNC_ITERATION
}

// Options are what does not change from batch to batch.
type Options struct {
	Mode        Mode
	Path        string   // of the handler
	Arguments   []string // words with macros; nil: the mode's own
	Recursive   []string // the same, of a call for one whole directory
	Label       string
	Watch       string            // an absolute path
	Destination string            // as it is to be in the words
	PID         int               // what %PID% becomes
	Values      map[string]string // what other lower-case macros become, by the option's name

	PreferInclude bool // rsync: every path is listed, and there is no exclude list
	// Excludes are rules of rsync's ("- PATTERN", "+ PATTERN") that stand in each
	// exclude list before what is rejected: they hold for what nobody has seen yet.
	Excludes []string
	Simplify bool // shell: lines are names alone
	Limit    int  // rsync: lines of a list, but for the last path's; 0: none

	// Bounds of one call where names are words: words in all, as clsync's 256, and
	// bytes as the kernel counts them for execve(2), without the environment. 0:
	// none. A single name goes whatever MaxWords says.
	MaxWords, MaxBytes int
	// MaxPaths is how many entries one call of a function has, and MaxName how many
	// bytes the name of one; 0: no bound.
	MaxPaths, MaxName int
	// MaxList is how many bytes of lines a list of one call has; 0: no bound. What a
	// single path needs goes whatever it says: rsync's lists have a line for each
	// directory above it. What is rejected is not among them.
	MaxList int
}

// excludes says that there are exclude lists.
func (o Options) excludes() bool { return o.Mode.rsync() && !o.PreferInclude }

// Protects says that what is rejected reaches the handler, so that a line may have all
// that is below a directory.
func (m *Maker) Protects() bool {
	return m.opt.excludes() && (m.opt.Mode.function() || has(m.list, slotExclude))
}

// Maker makes runs. It does not change.
type Maker struct {
	opt       Options
	list      []word // the template for a batch
	recursive []word
}

// New checks the options and reads the templates.
func New(o Options) (*Maker, error) {
	switch {
	case o.Mode < Simple || o.Mode > SO:
		return nil, errors.New("there is no mode")
	case o.Path == "" && !o.Mode.function():
		return nil, fmt.Errorf("mode %s needs a handler", o.Mode)
	case !strings.HasPrefix(o.Watch, "/"):
		return nil, fmt.Errorf("the watched directory %q must be an absolute path", o.Watch)
	case o.Simplify && o.Mode.rsync():
		return nil, fmt.Errorf("synclist-simplify means nothing in mode %s: its lists are rsync's; leave it out", o.Mode)
	case strings.ContainsAny(strings.Join(o.Excludes, ""), "\r\n\x00"):
		return nil, errors.New("a rule that is to be in each exclude list must be one line")
	case strings.ContainsAny(o.Label, "\n\x00"):
		return nil, fmt.Errorf("the label %q must be one line", o.Label)
	}
	m := &Maker{opt: o}
	if o.Mode.function() {
		return m, nil
	}
	arguments, recursive := o.Arguments, o.Recursive
	if arguments == nil {
		arguments = defaults(o)
	}
	if recursive == nil {
		recursive = arguments
		if o.Mode == Shell {
			recursive = []string{"initialsync", "%label%", "%INCLUDE-LIST%"}
		}
	}
	m.list, m.recursive = m.parse(arguments), m.parse(recursive)
	if o.Mode.rsync() && has(m.list, slotInclude, slotExclude) && slices.ContainsFunc(m.list, word.names) {
		return nil, fmt.Errorf("mode %s: arguments have %%INCLUDE-LIST%% beside rsync's lists; leave it out, or them", o.Mode)
	}
	if fixed := m.cost(m.list); o.MaxBytes > 0 && fixed >= o.MaxBytes {
		return nil, fmt.Errorf("the handler's arguments alone take %d bytes, at most %d are possible: shorten them", fixed, o.MaxBytes)
	}
	return m, nil
}

func defaults(o Options) []string {
	switch {
	case o.Mode == Simple:
		return []string{"sync", "%label%", "%EVENT-MASK%", "%INCLUDE-LIST%"}
	case o.Mode == Direct:
		return []string{"%INCLUDE-LIST%", "%destination-dir%/"}
	case o.Mode == Shell:
		return []string{"synclist", "%label%", "%INCLUDE-LIST-PATH%"}
	case o.Mode == RsyncDirect:
		return []string{"%RSYNC-ARGS%", "%watch-dir%/", "%destination-dir%/"}
	case o.PreferInclude:
		return []string{"rsynclist", "%label%", "%INCLUDE-LIST-PATH%"}
	}
	return []string{"rsynclist", "%label%", "%INCLUDE-LIST-PATH%", "%EXCLUDE-LIST-PATH%"}
}

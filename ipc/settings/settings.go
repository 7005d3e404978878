// Package settings is the configuration that the supervisor hands to a worker
// and to a runner.
//
// Trust: linked into supervisor, worker and runner, not into the helper, which
// passes the worker's on as bytes. The supervisor writes it; it is not hostile,
// but read as if it were.
// Imports: ipc, its codec and the standard library only.
package settings

import (
	"time"

	"lockstep/ipc"
	"lockstep/ipc/wire"
)

// Limits: far above use, so that a false length shows.
const (
	maxPath  = 4096
	maxItems = 1 << 16
	maxWord  = 128 << 10 // bytes of one argument, as MAX_ARG_STRLEN of execve(2)
)

// Worker is the worker's view: no secret, no argv, no absolute path.
type Worker struct {
	Syncs   []Sync
	Watches []Watch
}

// Watch is the engine's view of a root of which changes are told and nothing is
// copied.
type Watch struct {
	Root    ipc.RootID
	Exclude []string      // gitignore patterns
	Mounts  []string      // as in Sync
	Settle  time.Duration // how long a path must be quiet before its change is told; 0: told at once
	Follow  bool          // a root that is renamed is watched on
	JSON    bool          // lines are JSON; else text
	// As in Sync.
	Monitor   Monitor
	PollEvery time.Duration
	Inodes    bool
}

// Sync is the engine's view of one root and its targets.
type Sync struct {
	Root     ipc.RootID
	Targets  []ipc.TargetID
	Exclude  []string // gitignore patterns
	Mounts   []string // Rels of mounts inside the root: not entered, protected on the target
	Devices  bool     // copy device nodes
	Delay    time.Duration
	MaxDelay time.Duration
	BigSize  uint64 // bytes; 0: no lane for big files
	BigDelay time.Duration
	RetryMin time.Duration
	RetryMax time.Duration
	Once     bool // stop retrying after a few failures and say so in the status
	Delete   Delete
	// FullSyncEvery is how long after the end of one whole pass of a target the
	// next one is due; 0: only when there is a reason.
	FullSyncEvery time.Duration
	// SkipFirst: changes follow without a first whole pass. Those come that were made
	// since the first walk began, where times tell that, and all since it has ended.
	SkipFirst bool
	// Beside: the first pass may begin beside the first walk, because the source's
	// file system tells by ctime what has changed meanwhile: once the walk has lasted
	// BesideAfter.
	Beside      bool
	BesideAfter time.Duration
	// Unsure, in nanoseconds since 1970, is since when content may have changed that no
	// target was told of, and that size and time do not show; 0: nothing is known of that.
	Unsure uint64
	// VerifyEvery is how long after the whole tree was listed it is verified; 0: only
	// when asked for. UnwatchedEvery is how often it is compared while directories
	// have no watch; 0: that is only said.
	VerifyEvery    time.Duration
	UnwatchedEvery time.Duration
	WatchLimit     uint64 // fs.inotify.max_user_watches, for messages; 0: unknown
	// Monitor is where changes are heard of, and PollEvery how long after its last
	// listing a directory is listed again where that is how.
	Monitor   Monitor
	PollEvery time.Duration
	// Inodes: the file system gives a file the same inode number as long as it lives.
	Inodes bool
	// BusyRate is how many events a second in one directory are too many to hear of
	// each; 0: none are.
	BusyRate uint32
	// Tell: the targets' commands are handlers.
	Tell Tell
	// MaxBatches is how many batches of a target are acknowledged, whole passes
	// counted, before no further one begins; 0: no such end.
	MaxBatches uint32
}

// Tell says what a target's command is told, in the order of plan.Telling.
type Tell uint8

// The choices.
const (
	TellNothing Tell = iota // it is rsync, which gets paths
	TellPaths               // what happened to which path
	TellRsync               // the same, for lists in rsync's language
	TellLines               // as TellPaths, in lines: no name with a newline
	numTells
)

// Monitor is a way to hear of changes.
type Monitor uint8

// The ways.
const (
	MonitorInotify  Monitor = iota // the kernel tells, of each directory that is watched
	MonitorFanotify                // the kernel tells, of a whole file system
	MonitorPoll                    // nobody tells: listings are compared
	MonitorDnotify                 // the kernel tells which directory, not what
	numMonitors
)

// String is the word of a configuration.
func (m Monitor) String() string {
	switch m {
	case MonitorInotify:
		return "inotify"
	case MonitorFanotify:
		return "fanotify"
	case MonitorPoll:
		return "poll"
	case MonitorDnotify:
		return "dnotify"
	}
	return "unknown"
}

// ByPath says whether events name their directory by its path, so that no
// directory has a watch of its own.
func (m Monitor) ByPath() bool { return m != MonitorInotify }

// Compares says whether listings are compared; where it is in rounds, one begins so
// long after its last; else (0) when a directory is told to have changed.
func (m Monitor) Compares(every time.Duration) (rounds time.Duration, compares bool) {
	switch m {
	case MonitorPoll:
		return every, true
	case MonitorDnotify:
		return 0, true
	case MonitorInotify, MonitorFanotify:
	}
	return 0, false
}

// Delete says what is deleted on the targets, in the order of rsync.Delete. What
// is of another type in the source by now is replaced all the same: a directory
// that became a file goes, with all that is in it.
type Delete uint8

// The choices.
const (
	DeleteAlways Delete = iota // what the source lacks
	DeleteStart                // that, in the first whole pass only (see Runner.Later)
	DeleteNever                // nothing
	numDeletes
)

// Compare says what a whole pass carries of an entry, so that trees can be
// compared for it.
type Compare uint8

// The choices. Each has what those before it have, but for the first.
const (
	CompareNone Compare = iota // they cannot be
	CompareStat                // type, size, mode, owner, group, time of change; targets of links
	CompareUser                // user.* and access control lists
	CompareAll                 // all extended attributes
	numCompares
)

// Runner is what the supervisor tells a runner, in a sealed memfd.
type Runner struct {
	Build   string
	Program string   // absolute path inside the jail
	ProgDev uint64   // its identity at start: another file is not started
	ProgIno uint64   //
	Source  string   // absolute path inside the jail
	Target  string   // absolute path inside the jail; "" when remote, and of a handler that has none
	Env     []string // complete environment of the command
	// Argv by kind, complete and fixed.
	Argv [ipc.NumJobKinds][]string
	// Later is the command line of ipc.JobInitial once it has gone through with
	// Argv's; it deletes nothing, so that there is no guard for it. Nil: Argv's.
	Later []string
	// Probe is the dry run of ipc.JobInitial, run before it unless a survey shows
	// that it need not be, to which the runner adds one word, --max-delete=N, with
	// a number of its own; nil: no guard.
	Probe []string
	// MaxDelete: ipc.JobInitial is held when it would delete more than Percent of
	// the target's entries and more than Entries.
	MaxDeletePercent uint32
	MaxDeleteEntries uint64
	// Entries is what the last whole walk of the source listed, for a remote
	// target, which cannot be counted; 0: unknown.
	Entries uint64

	// Split is how many commands an ipc.JobWide may be divided among, which then
	// run side by side; 0 and 1: it is not.
	Split uint32
	// Fold: nothing of the source is left out, so that an ipc.JobWide may name a
	// directory in place of all that is in it.
	Fold bool

	// Compare says in what the trees are compared before ipc.JobInitial, which is
	// then run only where they differ.
	Compare Compare

	// Handler, if it has a mode, is what Program is: then there is no Argv.
	Handler Handler

	Accept     bool          // a person accepted the root: no guard until ipc.JobInitial has succeeded once
	Witness    bool          // the supervisor is told of each command before it begins, and answers
	ShowOutput bool          // pass the command's stdout on to stderr (dry run)
	Timeout    time.Duration // of one command
	Grace      time.Duration // between SIGTERM and SIGKILL
}

// Handler is how a program of a person's is told what has changed.
type Handler struct {
	Mode        string   // of package handler; "": there is no handler
	Arguments   []string // words with macros; none: the mode's own
	Label       string
	Destination string   // what the words call the target
	PID         uint32   // what %PID% becomes
	Lists       string   // directory inside the jail for files that it reads
	Ignore      string   // exit codes, a byte each, that are no failure
	Excludes    []string // rules of rsync's for each exclude list
	Module      Module
	Recursive   bool     // of a directory that came it is told by one call
	ForWhole    []string // the words of such a call; none: the mode's own
	Simplify    bool     // mode shell: lines are paths alone
	Changes     []string // fields of which a change of one makes a path be told; none: whatever happened
}

// Module is the shared object whose functions the program of a handler calls.
type Module struct {
	Path     string // "": there is none, and the program is told by words
	Dev, Ino uint64 // what it was when the supervisor looked
}

func (h *Handler) layout(c *wire.Codec) {
	wire.Blob(c, &h.Mode, 64)
	wire.List(c, &h.Arguments, maxItems, text(maxWord))
	wire.Blob(c, &h.Label, maxPath)
	wire.Blob(c, &h.Destination, maxPath)
	wire.U32(c, &h.PID)
	wire.Blob(c, &h.Lists, maxPath)
	wire.Blob(c, &h.Ignore, 256)
	wire.List(c, &h.Excludes, maxItems, text(maxPath))
	wire.Blob(c, &h.Module.Path, maxPath)
	wire.U64(c, &h.Module.Dev)
	wire.U64(c, &h.Module.Ino)
	wire.Flag(c, &h.Recursive)
	wire.List(c, &h.ForWhole, maxItems, text(maxWord))
	wire.Flag(c, &h.Simplify)
	wire.List(c, &h.Changes, maxItems, text(64))
}

func (w *Worker) Layout(c *wire.Codec) {
	wire.List(c, &w.Syncs, ipc.MaxRoots, func(c *wire.Codec, s *Sync) {
		wire.Handle(c, &s.Root)
		wire.List(c, &s.Targets, ipc.MaxRoots, wire.Handle[ipc.TargetID])
		wire.List(c, &s.Exclude, maxItems, text(maxPath))
		wire.List(c, &s.Mounts, maxItems, ipc.CodeRel)
		wire.Flag(c, &s.Devices)
		wire.Span(c, &s.Delay)
		wire.Span(c, &s.MaxDelay)
		wire.U64(c, &s.BigSize)
		wire.Span(c, &s.BigDelay)
		wire.Span(c, &s.RetryMin)
		wire.Span(c, &s.RetryMax)
		wire.Flag(c, &s.Once)
		wire.Enum(c, &s.Delete, numDeletes)
		wire.Span(c, &s.FullSyncEvery)
		wire.Flag(c, &s.SkipFirst)
		wire.Flag(c, &s.Beside)
		wire.Span(c, &s.BesideAfter)
		wire.U64(c, &s.Unsure)
		wire.Span(c, &s.VerifyEvery)
		wire.Span(c, &s.UnwatchedEvery)
		wire.U64(c, &s.WatchLimit)
		wire.Enum(c, &s.Monitor, numMonitors)
		wire.Span(c, &s.PollEvery)
		wire.Flag(c, &s.Inodes)
		wire.U32(c, &s.BusyRate)
		wire.Enum(c, &s.Tell, numTells)
		wire.U32(c, &s.MaxBatches)
	})
	wire.List(c, &w.Watches, ipc.MaxRoots, func(c *wire.Codec, s *Watch) {
		wire.Handle(c, &s.Root)
		wire.List(c, &s.Exclude, maxItems, text(maxPath))
		wire.List(c, &s.Mounts, maxItems, ipc.CodeRel)
		wire.Span(c, &s.Settle)
		wire.Flag(c, &s.Follow)
		wire.Flag(c, &s.JSON)
		wire.Enum(c, &s.Monitor, numMonitors)
		wire.Span(c, &s.PollEvery)
		wire.Flag(c, &s.Inodes)
	})
}

func (r *Runner) Layout(c *wire.Codec) {
	wire.Blob(c, &r.Build, 64)
	wire.Blob(c, &r.Program, maxPath)
	wire.U64(c, &r.ProgDev)
	wire.U64(c, &r.ProgIno)
	wire.Blob(c, &r.Source, maxPath)
	wire.Blob(c, &r.Target, maxPath)
	wire.List(c, &r.Env, maxItems, text(maxWord))
	for i := range r.Argv {
		wire.List(c, &r.Argv[i], maxItems, text(maxWord))
	}
	wire.List(c, &r.Later, maxItems, text(maxWord))
	wire.List(c, &r.Probe, maxItems, text(maxWord))
	wire.U32(c, &r.MaxDeletePercent)
	wire.U64(c, &r.MaxDeleteEntries)
	wire.U64(c, &r.Entries)
	wire.U32(c, &r.Split)
	wire.Flag(c, &r.Fold)
	wire.Enum(c, &r.Compare, numCompares)
	r.Handler.layout(c)
	wire.Flag(c, &r.Accept)
	wire.Flag(c, &r.Witness)
	wire.Flag(c, &r.ShowOutput)
	wire.Span(c, &r.Timeout)
	wire.Span(c, &r.Grace)
}

// text is a list's string of at most max bytes.
func text(max int) func(*wire.Codec, *string) {
	return func(c *wire.Codec, s *string) { wire.Blob(c, s, max) }
}

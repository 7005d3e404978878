package ipc

import "time"

// HelperConfig is what the supervisor tells the helper, in a sealed memfd.
type HelperConfig struct {
	Build    string
	Roots    []HelperRoot
	Targets  []Target
	Deadline time.Duration // of one file-system verb on one root
	Worker   []byte        // an encoded WorkerConfig, passed on in HelloAnswer
}

// HelperRoot is a root and the descriptor donated for it.
type HelperRoot struct {
	Root
	FD          int  // donated by stage one, inside the jail
	CrossMounts bool // leave RESOLVE_NO_XDEV out
}

// WorkerConfig is the worker's view: no secret, no argv, no absolute path.
type WorkerConfig struct {
	Syncs []WorkerSync
}

// WorkerSync is the engine's view of one root and its targets.
type WorkerSync struct {
	Root     RootID
	Targets  []TargetID
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
}

// RunnerConfig is what the supervisor tells a runner, in a sealed memfd.
type RunnerConfig struct {
	Build   string
	Program string   // absolute path inside the jail
	ProgDev uint64   // its identity at start: another file is not started
	ProgIno uint64   //
	Source  string   // absolute path inside the jail
	Target  string   // absolute path inside the jail; "" when remote
	Env     []string // complete environment of the command
	// Argv by kind, complete and fixed. JobProbe's is Probe, to which the
	// runner adds one word, --max-delete=N, with a number of its own.
	Argv  [NumJobKinds][]string
	Probe []string // dry run of JobInitial, run before it; nil: no guard
	// MaxDelete: JobInitial is held when it would delete more than Percent of
	// the target's entries and more than Entries.
	MaxDeletePercent uint32
	MaxDeleteEntries uint64
	Accept           bool          // a person accepted the root: no guard until JobInitial has succeeded once
	ShowOutput       bool          // pass the command's stdout on to stderr (dry run)
	Timeout          time.Duration // of one command
	Grace            time.Duration // between SIGTERM and SIGKILL
}

// ReportSize is the size of the packets that go from worker to supervisor.
const ReportSize = 8 * numReport

// State of the engine, in the order it goes through them.
type State uint64

const (
	StateStarting State = iota
	StateWalking        // placing watches, listing
	StateInitial        // the initial (or a rescan) pass runs
	StateSyncing        // changes are waiting or under way
	StateInStep         // nothing is waiting, nothing is in doubt
	StateHeld           // a guard holds: a person must decide
	StateRetrying       // the last command failed; waiting to try again
	StateDraining       // no new commands
)

// Report is the worker's account of itself: numbers only, no text. It goes to
// the supervisor as ReportSize bytes, one little-endian word a field, in order.
type Report struct {
	State       State
	Ready       uint64 // 1 once every directory is watched and events are read
	Dirs        uint64 // directories watched
	Unwatched   uint64 // directories without a watch (limit reached)
	Queue       uint64 // paths waiting
	Big         uint64 // paths waiting in the lane for big files
	InFlight    uint64 // paths in running commands
	Doubt       uint64 // paths whose last command failed
	Events      uint64 // events read
	Synced      uint64 // paths acknowledged
	Jobs        uint64 // commands ended
	Failed      uint64 // of them, not with success
	Initials    uint64 // whole passes ended with success
	Skipped     uint64 // entries not copied by policy: sockets, devices
	TooLong     uint64 // paths that are too long to be named
	Overflows   uint64 // event queue overflows
	Rescans     uint64 // whole rescans begun
	Unpaired    uint64 // renames whose second half never came: treated as moves out
	Repairs     uint64 // differences between tree and file system found and mended
	Stale       uint64 // found by the last verification: in the tree, not in the file system
	Missing     uint64 // found by the last verification: in the file system, not watched
	Verified    uint64 // verifications ended
	Held        uint64 // End of the pass that is held: EndHeldEmpty or EndHeldMany, else 0
	HeldDeletes uint64 // what it would delete
	HeldEntries uint64 // of how many on the target
	LastSync    uint64 // unix nanoseconds of the last success, 0 before
	LastCode    uint64 // exit code of the last failed command
	LastEnd     uint64 // End of the last failed command
	Attempts    uint64 // failures in a row
	Walked      uint64 // entries listed during the walk under way, or the last one
	ListDone    uint64 // bytes of lists handed over
	HeapBytes   uint64 // the worker's own heap
}

const numReport = 32

// Command goes from supervisor to worker: one fixed-size packet of 8 bytes.
type Command uint64

const (
	CommandNone   Command = iota
	CommandVerify         // compare tree and file system, both ways, and mend
	CommandResync         // make a whole pass
)

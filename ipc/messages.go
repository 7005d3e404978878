// Package ipc defines the messages between the confined processes, and the
// packets that carry them. What the helper does not use is in folders below.
//
// Trust: linked into the helper. What is decoded is hostile on both sides.
// Imports: the standard library, ipc/wire and internal/sys only.
//
// Invariants: one packet is one message; what wire promises of its values.
package ipc

import "syscall"

// Version is the protocol's version. Both sides must carry the same one and
// the same build id, or Hello is a violation.
const Version = 1

// Limits that both sides enforce.
const (
	MaxPacket = 64 << 10 // bytes in one packet, header included
	MaxRels   = 256      // paths in one Watch or Stat
	MaxRel    = 4096     // bytes in one Rel
	MaxList   = 16 << 20 // bytes in one job's list
	MaxTail   = 4 << 10  // bytes of a command's output in Exited
	MaxJobs   = 2        // jobs a target may have under way: one of each lane
)

// Type is a message's type: requests are even, what answers them is odd.
type Type uint16

// The requests a worker may make (see privileged.requests, which is the whole
// surface), their answers, and the helper's notices.
const (
	TypeHello Type = 2
	TypeWatch Type = 4
	TypeStat  Type = 6
	TypeStart Type = 8
	TypeData  Type = 10
	TypeStop  Type = 12
	TypeDrain Type = 14

	TypeHelloAnswer Type = 3
	TypeWatchAnswer Type = 5
	TypeStatAnswer  Type = 7
	TypeStartAnswer Type = 9
	// TypeData has no answer of its own: Start is answered after the last one.
	TypeStopAnswer  Type = 13
	TypeDrainAnswer Type = 15

	TypeExited   Type = 101 // notice: a job has ended
	TypeShutdown Type = 103 // notice: no more Start; finish and leave

	TypeRunStart  Type = 200 // helper → runner, with the list's descriptor
	TypeRunStop   Type = 202 // helper → runner
	TypeRunExited Type = 201 // runner → helper

	TypeCtlWorker   Type = 300 // supervisor → helper, with the worker's socket
	TypeCtlRunner   Type = 302 // supervisor → helper, with a runner's socket
	TypeCtlShutdown Type = 304 // supervisor → helper
)

// Header starts every packet (8 bytes: type, flags, sequence number).
type Header struct {
	Type Type
	// Final is bit 0 of the flags: this packet is the last of its answer.
	Final bool
	// Seq counts a worker's requests from 1 without a gap. An answer carries
	// the number of the request it answers; a notice carries 0.
	Seq uint32
}

// Handles are minted by the helper (RootID and TargetID by the supervisor),
// are never reused, and are invalid when zero.
type (
	RootID   uint16
	TargetID uint16
	JobID    uint64
)

// Status is how a request or one path of it ended: 0 is success, below 1024 a
// Linux errno, from 1024 on a reason of the helper's own. Any but 0 is a
// refusal: an honest worker can meet it.
type Status uint16

const (
	OK             Status = 0
	StatusTimeout  Status = 1024 // the root did not answer within its deadline
	StatusBusy     Status = 1025 // no free job slot, or the queue of this root is full
	StatusNoRunner Status = 1026 // the target's runner is not there at the moment
	StatusDraining Status = 1027 // no more Start
	StatusGone     Status = 1028 // the job has ended already
)

// Kind of a directory entry or of what a path names.
type Kind uint8

const (
	KindNone Kind = iota // nothing there (or a refusal)
	KindFile
	KindDir
	KindLink
	KindFIFO
	KindSocket
	KindChar
	KindBlock
)

// JobKind selects one of the fixed commands of a target.
type JobKind uint8

const (
	JobNone    JobKind = iota
	JobInitial         // whole tree with deletion; stdin: filter rules (see CheckRules)
	JobPrune           // only deletes what the source lacks; stdin: filter rules
	JobList            // listed paths, content copied whatever size and time say; stdin: list (see CheckList)
	JobAttr            // listed paths, content by size and time; stdin: list
	JobContent         // what exists on both sides, compared by content, nothing deleted; stdin: filter rules
	JobKnock           // changes nothing: shows whether the target can be reached; stdin: list
	JobWide            // JobList of many paths none of which shares an inode with another: it may be divided
	NumJobKinds
)

// Hello opens the conversation: both must equal the helper's own.
type Hello struct {
	Version uint32
	Build   string // ≤ 64 bytes
}

// HelloAnswer tells the worker what there is.
type HelloAnswer struct {
	Roots   []Root
	Targets []Target
	Config  []byte // an encoded settings.Worker
}

// Root is one watched tree.
type Root struct {
	ID   RootID
	Name string // for messages, ≤ 255 bytes
}

// Target is one destination of a root.
type Target struct {
	ID   TargetID
	Root RootID
	Name string
}

// Watch asks for up to MaxRels directories: each is first watched, then
// listed, so that nothing made in between is missed.
type Watch struct {
	Root  RootID
	Watch bool // place a watch; else only list
	// All lists every entry; else only directories, entries with several links,
	// sockets and devices. Without Watch, what directories are is told as well.
	All bool
	// Since, in nanoseconds since 1970, has entries listed as well whose status has
	// changed (ctime: inode(7)) then or later. 0: none.
	Since uint64
	Rels  []string // "" is the root itself
}

// WatchAnswer is one packet of the answer: records in the order asked for. A
// directory whose listing does not fit goes on in the next packet with the
// same Index and More set on all parts but the last.
type WatchAnswer struct {
	Dirs []Dir
}

// Dir is (part of) one directory's answer. With ENOSPC no watch could be
// placed (the limit is reached), and the entries are listed nevertheless; any
// other status than OK says that the listing is missing or not complete; EXDEV,
// that it is in a mount that is not part of the tree. The last part alone carries a
// status. WD and Ctime are the same in all parts but one that carries such a status.
type Dir struct {
	Index   uint16 // into Watch.Rels
	Status  Status
	More    bool
	WD      int32  // watch descriptor, -1 without
	Ctime   uint64 // nanoseconds since 1970; only told when Since is not 0
	Entries []Entry
}

// Entry is one name in a directory. Of a directory mostly Kind and Name alone are
// told, and of the root of a mount no more: to ask for it says whether it is part
// of the tree.
type Entry struct {
	Kind  Kind
	Nlink uint32
	Ino   uint64
	Size  uint64
	Ctime uint64 // nanoseconds since 1970
	Stamp uint64 // another one when mode, owner or time of modification is another (see Watch.All)
	Name  string // 1–255 bytes, no slash, no NUL, not . or ..
}

// Stat asks what up to MaxRels paths are now.
type Stat struct {
	Root RootID
	Rels []string // "" is the root itself
}

// StatAnswer has one record a path, in the order asked for.
type StatAnswer struct {
	Stats []PathStat
}

// PathStat is what one path is; Status is ENOENT, ENOTDIR or ELOOP when it, or
// an ancestor, is not there, is no directory, or is a symbolic link.
type PathStat struct {
	Status Status
	Kind   Kind
	Nlink  uint32
	Ino    uint64
	Size   uint64
}

// Start asks for a job; Size bytes of list follow in Data packets.
type Start struct {
	Target TargetID
	Kind   JobKind
	Size   uint32 // ≤ MaxList
}

// Data is a piece of the list of the Start before it; the last one makes it
// Size bytes long. A Start of size 0 is followed by none.
type Data struct {
	Bytes []byte
}

// StartAnswer names the job, or says why there is none.
type StartAnswer struct {
	Status Status
	Job    JobID
}

// Stop asks for a job's end (SIGTERM, then SIGKILL by the runner).
type Stop struct {
	Job JobID
}

// StopAnswer says whether the job was still there.
type StopAnswer struct {
	Status Status
}

// Drain says that the worker will make no further Start. (No fields; its
// answer has none either.)
type Drain struct{}

// DrainAnswer says that Drain has taken effect.
type DrainAnswer struct{}

// Shutdown is the notice that the supervisor wants the work to end.
type Shutdown struct{}

// End says how a job ended.
type End uint8

const (
	EndNone      End = iota
	EndExited        // Code is the exit code
	EndSignalled     // Code is the signal
	EndTimeout       // killed because its time was over
	EndStopped       // killed because Stop asked for it
	EndLost          // the runner died or was lost
	EndRefused       // the runner could not start the command; Tail says why
	EndHeldEmpty     // held: the source is empty and the target is not
	EndHeldMany      // held: it would delete more than max_delete
)

// Exited is the notice of a job's end.
type Exited struct {
	Job    JobID
	End    End
	Code   uint8
	Wall   uint64 // microseconds
	CPU    uint64 // microseconds, user and system, of the command and its children
	MaxRSS uint64 // bytes
	// Deletes and Entries are of a held job: what it would delete (at least),
	// and how many entries the target has.
	Deletes uint64
	Entries uint64
	Tail    []byte // the end of what the command printed, ≤ MaxTail, raw
}

// RunStart goes to a runner with one descriptor: the sealed list.
type RunStart struct {
	Job  JobID
	Kind JobKind
}

// RunStop asks a runner to end a job.
type RunStop struct {
	Job JobID
}

// RunExited is a runner's account of a job; the same fields as Exited.
type RunExited = Exited

// RunEnd is RunExited as the runner sends it: the same layout, another type.
type RunEnd struct{ Exited }

// CtlWorker donates the worker's socket and says whose it is: the host's pid
// and uid, which every packet's SCM_CREDENTIALS must show.
type CtlWorker struct {
	PID uint32
	UID uint32
}

// CtlRunner donates (after a restart: replaces) a target's runner socket.
type CtlRunner struct {
	Target TargetID
}

// CtlShutdown ends new Starts and has the worker told.
type CtlShutdown struct{}

// InotifyMask is the mask of every watch (inotify(7)). ONLYDIR refuses what is
// no directory any more; EXCL_UNLINK spares the events of files that have no
// name left.
const InotifyMask = syscall.IN_ATTRIB | syscall.IN_MODIFY | syscall.IN_CLOSE_WRITE |
	syscall.IN_CREATE | syscall.IN_DELETE | syscall.IN_DELETE_SELF |
	syscall.IN_MOVED_FROM | syscall.IN_MOVED_TO | syscall.IN_MOVE_SELF |
	syscall.IN_ONLYDIR | syscall.IN_DONT_FOLLOW | syscall.IN_EXCL_UNLINK

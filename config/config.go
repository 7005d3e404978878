// Package config is what syncs and their service are told, checked before
// anything is started.
//
// Trust: linked into the supervisor, which is root. What a person wrote is
// taken at its word only after Resolve; what a file system answers is checked.
//
// Invariants: a Set is a value that nothing changes after Resolve. All problems
// are told at once, each as the place where it is written, the thing, the
// reason and what to do. The table of keys, and what makes a Set of values, is
// in package keys; what reads a file is in package file.
package config

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"lockstep/config/choose"
	"lockstep/internal/escape"
	"lockstep/rootid"
	"lockstep/rules/ordered"
)

// Config is everything that one sync and its service can be told.
type Config struct {
	Service
	Run
	Sync
}

// Service is what all syncs of a process share.
type Service struct {
	RuntimeDir   string
	StateDir     string
	User         string // the workers'
	JSON         bool   // log as JSON
	LogTo        string // stderr, or a log daemon of package console/logd
	LogLevel     slog.Level
	StopTimeout  time.Duration
	AllowMissing []string
	MonitorRules []string // lines that choose.ParseRule reads

	PIDFile string // "": none
	Control Control
	Audit   Audit

	MaxJobs        uint32 // commands at a time, in all
	MaxJobsPerHost uint32 // and to one remote host
}

// Control is the socket by which a running lockstep is asked.
type Control struct {
	Socket string // NoControl: there is none; "": as is usual, until Resolve
	Mode   uint32 // of the socket: who may write to it may ask
	Owner  string // as chown(1) has it; "": root
}

// NoControl is the word for no control socket.
const NoControl = "none"

// On says that there is one, after Resolve.
func (c Control) On() bool { return c.Socket != NoControl && c.Socket != "" }

// Audit is the trail of what lockstep did (package trail).
type Audit struct {
	Mode string // AuditOff, AuditBestEffort, AuditStrict
	Dir  string
	Size uint64 // bytes of a file
	To   string // where records go beside: AuditNowhere, AuditKernel, or a log daemon of package console/logd
}

// What follows when a record cannot be written: nothing is copied any more, or it is
// counted.
const (
	AuditOff        = "off"
	AuditBestEffort = "best-effort"
	AuditStrict     = "strict"

	AuditNowhere = "none"
	AuditKernel  = "kernel" // its own audit subsystem
)

// OwnDir is a directory in which lockstep has files of its own, and its key.
type OwnDir struct {
	Key string
	Dir *string
}

// OwnDirs are those of a service. That of an audit trail which does not say is in the
// state directory.
func (s *Service) OwnDirs() []OwnDir {
	all := []OwnDir{{"runtime_dir", &s.RuntimeDir}, {"state_dir", &s.StateDir}}
	if s.Audit.On() {
		s.Audit.Dir = cmp.Or(s.Audit.Dir, s.StateDir+"/audit")
		all = append(all, OwnDir{"audit_dir", &s.Audit.Dir})
	}
	return all
}

// On says that there is a trail.
func (a Audit) On() bool { return a.Mode != AuditOff && a.Mode != "" }

// Run is what is true of one run, and never of a file.
type Run struct {
	Once       bool
	DryRun     bool
	AcceptRoot bool // of one sync; a Set has a list of names
}

// Sync is one source, its targets, and how they are kept in step.
type Sync struct {
	Name    string // unique in its Set
	Source  string // absolute and without symbolic links after Resolve
	Targets []Target

	Exclude   []string // gitignore patterns, in order
	Rules     []string // lines of a file that package rules/ordered reads
	RulesFile string   // that file, from which package resolve takes Rules; "": they are given

	Delay    time.Duration
	MaxDelay time.Duration
	BigSize  uint64 // bytes; 0: no lane for big files
	BigDelay time.Duration

	Timeout       time.Duration // of one command
	RetryInitial  time.Duration
	RetryMax      time.Duration
	FullSyncEvery time.Duration // 0: off
	FirstPass     FirstPass

	VerifyEvery    time.Duration // 0: off
	BusyRate       uint32        // events a second in one directory above which it is listed once a second instead; 0: never
	UnwatchedEvery time.Duration // how often a tree with unwatched directories is compared; 0: never

	Delete           Delete
	MaxDeletePercent uint32 // a pass is held when it would delete more than this share
	MaxDeleteEntries uint64 // and more than this many entries

	Devices     bool
	Xattrs      Xattrs
	CrossMounts bool
	Monitor     string        // one of choose.Words
	PollEvery   time.Duration // 0: as suits the file system
	AllowBlind  bool

	Mode        string   // ModeRsync, or a mode of package handler
	Handler     string   // the program; absolute and without symbolic links after Resolve
	HandlerUser string   // USER or USER:GROUP, as whom it runs; "": root's uid, with the rights to copy
	HandlerIDs  IDs      // of that user, after Resolve; the zero value where there is none
	HandlerArgs []string // its words, with macros; none: the mode's own
	Recursive   bool     // of a directory that came, and of the whole source, it is told by one call
	ForWhole    []string // the words of such a call; none: the mode's own
	PlainLists  bool     // mode shell: lines of lists are paths alone
	KeepLists   bool     // copies of its lists stay, for a person who looks for a fault
	Changes     []string // fields of a file of which one must have changed for it to be told; none: it is told
	IgnoreExit  []uint8  // its exit codes that are no failure
	Network     bool     // it has the host's network
	Reads       []string // what it may read beside; absolute and without symbolic links after Resolve
	Writes      []string // and what it may write to

	End End // how it ends

	RsyncPath string   // absolute and without symbolic links after Resolve
	RsyncArgs []string // words of the list in package keys
	BWLimit   uint64   // bytes a second; 0: no limit
	SkipEqual bool     // what an event tells of is compared before it is copied
	BackupDir string   // name of a directory in each target, for what is replaced or deleted there; "": none

	StatusFile  string // in which the state is written; "": none
	StandbyFile string // that holds commands back while it is there; "": none

	RunAs        string // the command's user for remote targets; "": a free uid
	SSH          SSH
	PasswordFile string // of an rsync daemon
}

// End is what is done before a sync ends, and when it ends by itself.
type End struct {
	PreExit     string // program that is called before the last pass; "": none
	Exit        string // and one that is called when all has ended
	HookTimeout time.Duration

	MaxIterations uint32 // batches of a target after which it ends; 0: no such end
	SyncOnQuit    bool   // what waits at SIGQUIT is copied first
}

// Hooks are the programs that are called at the end, by their keys.
func (s *Sync) Hooks() map[string]*string {
	return map[string]*string{"hooks.pre_exit": &s.End.PreExit, "hooks.exit": &s.End.Exit}
}

// Hooked says that there is one.
func (s Sync) Hooked() bool { return s.End.PreExit != "" || s.End.Exit != "" }

// SSH is how targets over ssh are reached.
type SSH struct {
	Identity   string // file of the private key
	KnownHosts string
	Port       uint16
}

// IDs are those of a process.
type IDs struct{ UID, GID int }

// LeftOut are the patterns of what is neither watched, copied nor deleted: the last one
// that fits decides, so that none takes in the directory of backups.
func (s Sync) LeftOut() []string {
	if s.BackupDir == "" {
		return s.Exclude
	}
	return append(slices.Clone(s.Exclude), "/"+s.BackupDir)
}

// Xattrs selects the extended attributes that are kept.
type Xattrs uint8

// User keeps user.* and the ACLs, All also security.capability (which needs
// CAP_SETFCAP in the runner's jail), None keeps neither xattrs nor ACLs.
const (
	XattrsUser Xattrs = iota
	XattrsAll
	XattrsNone
)

func (x Xattrs) String() string {
	switch x {
	case XattrsAll:
		return "all"
	case XattrsNone:
		return "none"
	default:
		return "user"
	}
}

// FirstPass says what a start begins with.
type FirstPass uint8

// FirstWhole compares the source with its targets. FirstSkip begins with the changes that come
// once lockstep is ready.
const (
	FirstWhole FirstPass = iota
	FirstSkip
)

func (f FirstPass) String() string {
	if f == FirstSkip {
		return "skip"
	}
	return "whole"
}

// AdviceUnpassed is what to do about Unpassed.
const AdviceUnpassed = `take it out, or first_pass = "skip"`

// Unpassed names the key of a run that is over with the first pass of a sync which has
// none, and says why the two do not go together; "": there is no such key.
func (r Run) Unpassed(s Sync) (key, reason string) {
	switch {
	case s.FirstPass != FirstSkip:
	case r.Once:
		return "once", "ends when a whole pass has brought the targets in step, and " + escape.Name(s.Name) + ` has none: first_pass is "skip"`
	case r.DryRun:
		return "dry_run", "shows what the first pass would do, and " + escape.Name(s.Name) + ` has none: first_pass is "skip"`
	}
	return "", ""
}

// Delete says when what the source lacks is deleted from a target.
type Delete uint8

// Always is with each batch and each whole pass, Start in the first whole pass
// after a start of lockstep only, Never not at all.
const (
	DeleteAlways Delete = iota
	DeleteStart
	DeleteNever
)

func (d Delete) String() string {
	switch d {
	case DeleteStart:
		return "start"
	case DeleteNever:
		return "never"
	default:
		return "always"
	}
}

// Set is all syncs of a process: of a file, or the one of a command line.
type Set struct {
	Service
	Run
	Syncs  []Sync
	Path   string   // of the file; "" for a command line
	Files  []File   // what was read, the file itself first
	Accept []string // names of syncs whose roots a person accepts

	Places Places // where keys are written
}

// File is one file that a Set was read from.
type File struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"` // of the bytes that were parsed
}

// Config is what sync i and its service are told.
func (s Set) Config(i int) Config {
	c := Config{Service: s.Service, Run: s.Run, Sync: s.Syncs[i]}
	c.AcceptRoot = slices.Contains(s.Accept, c.Name)
	return c
}

// ForRun is the set with what is true of one run: only in the command line of
// `lockstep run`.
func (s Set) ForRun(run Run, accept []string) (Set, error) {
	var p Problems
	for _, name := range accept {
		if !slices.ContainsFunc(s.Syncs, func(one Sync) bool { return one.Name == name }) {
			p = append(p, Problem{Thing: "--accept-root", Reason: fmt.Sprintf("there is no sync %q", name), Advice: "give the name of one: " + s.names()})
		}
	}
	if run.DryRun && len(accept) > 0 {
		p = append(p, Problem{Thing: "--accept-root", Reason: "is consent, and --dry-run changes nothing", Advice: "give one of them"})
	}
	p = append(p, s.unpassed(run)...)
	s.Run, s.Accept = run, slices.Clone(accept)
	return s, p.OrNil()
}

// unpassed are flags of a run that is over with its first pass, where a sync has none.
func (s Set) unpassed(run Run) (p Problems) {
	for _, one := range s.Syncs {
		if flag, reason := run.Unpassed(one); flag != "" {
			p = append(p, Problem{Thing: Say("", flag), Reason: reason, Advice: AdviceUnpassed})
		}
	}
	return p
}

func (s Set) names() string {
	var names []string
	for _, one := range s.Syncs {
		names = append(names, one.Name)
	}
	return strings.Join(names, ", ")
}

// Allows says that a person accepted the lack of a kernel feature.
func (s Service) Allows(feature string) bool { return slices.Contains(s.AllowMissing, feature) }

// Watching decides how the changes below the source are heard of, on a file system
// of which rootid knows that it is blind, or not. The mount table tells its type.
func (c Config) Watching(blind bool) choose.Choice {
	fs := choose.FS{Blind: blind}
	if mounts, err := rootid.ReadMounts(); err == nil {
		if m, ok := mounts.Of(c.Source); ok {
			fs.Type = m.Type
		}
	}
	return choose.Of(choose.Asked{Source: c.Source, Monitor: c.Monitor, Every: c.PollEvery, Rules: c.MonitorRules, AllowBlind: c.AllowBlind}, fs)
}

// Unseen says why the monitor that was chosen would not hear of all changes below
// the source, which is id; "": it hears of them, or a person has accepted that.
func (c Config) Unseen(id rootid.Identity) string {
	w := c.Watching(id.Blind())
	if !w.Blind {
		return ""
	}
	return "is on " + rootid.FSName(id.Magic) + ", where " + w.Monitor + " does not see changes by others (" + w.Why + ")"
}

// RuleText is the rules as a file, and what messages call it.
func (s Sync) RuleText() (name string, text []byte) {
	return cmp.Or(s.RulesFile, "rules"), []byte(strings.Join(s.Rules, "\n"))
}

// OrderedRules are the sync's rules, compiled.
func (s Sync) OrderedRules() (*ordered.Set, error) {
	name, text := s.RuleText()
	return ordered.Parse(name, text)
}

// Describe is one line about a sync for the log.
func (s Sync) Describe() string {
	targets := make([]string, len(s.Targets))
	for i, t := range s.Targets {
		targets[i] = escape.Name(t.String())
	}
	return escape.Name(s.Source) + " → " + strings.Join(targets, ", ")
}

// Has says that a sync has a target of a kind.
func (s Sync) Has(kind TargetKind) bool {
	return slices.ContainsFunc(s.Targets, func(t Target) bool { return t.Kind == kind })
}

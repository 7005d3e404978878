// Package config holds the keys of a sync and of the service, read once and
// checked before anything is started.
//
// Trust: linked into the supervisor, which is root. What a person wrote is
// taken at its word only after Resolve; what a file system answers is checked.
//
// Invariants: one table (Keys) names every key, its default, its unit and its
// reader; flags and help are generated from it. A Config is a value that
// nothing changes after Resolve. All problems are told at once, each as the
// thing, the reason and what to do.
package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Config is everything that a sync and its service can be told.
type Config struct {
	Source string // absolute and without symbolic links after Resolve
	Target string // likewise; its last component may be missing
	// TargetMissing says that the target is not there yet: MakeTarget makes it.
	TargetMissing bool

	Exclude  []string // gitignore patterns, in order
	Delay    time.Duration
	MaxDelay time.Duration
	BigSize  uint64 // bytes; 0: no lane for big files
	BigDelay time.Duration

	Timeout      time.Duration // of one command
	RetryInitial time.Duration
	RetryMax     time.Duration

	MaxDeletePercent uint32 // a pass is held when it would delete more than this share
	MaxDeleteEntries uint64 // and more than this many entries

	Devices     bool
	Xattrs      Xattrs
	CrossMounts bool
	Monitor     string // "auto" or "inotify"
	AllowBlind  bool

	RsyncPath string // absolute and without symbolic links after Resolve
	BWLimit   uint64 // bytes a second; 0: no limit

	RuntimeDir   string
	StateDir     string
	User         string
	JSON         bool // log as JSON
	StopTimeout  time.Duration
	AllowMissing []string

	Once       bool
	DryRun     bool
	AcceptRoot bool
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

// Problem is one thing that is wrong.
type Problem struct {
	Thing  string // the key or path
	Reason string
	Advice string // what a person can do
}

func (p Problem) Error() string {
	if p.Advice == "" {
		return fmt.Sprintf("%s: %s", p.Thing, p.Reason)
	}
	return fmt.Sprintf("%s: %s; %s", p.Thing, p.Reason, p.Advice)
}

// Problems is all that is wrong, in the order of the table.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// orNil makes an error of problems: nil when there are none.
func (p Problems) orNil() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// Builder takes values as text, key by key, and gathers what is wrong.
type Builder struct {
	cfg      Config
	problems Problems
	set      map[string]bool
}

// NewBuilder starts from the defaults.
func NewBuilder() *Builder {
	b := &Builder{set: map[string]bool{}}
	for _, k := range Keys() {
		if k.Default == "" {
			continue
		}
		if err := k.read(&b.cfg, k.Default); err != nil {
			// The table itself is wrong; a test reads every default.
			b.problems = append(b.problems, Problem{k.Name, "bad default: " + err.Error(), "report this as a bug"})
		}
	}
	return b
}

// Set reads the value of one key. What is wrong with it is told by Build.
func (b *Builder) Set(name, value string) {
	k, ok := Lookup(name)
	if !ok {
		b.fail(name, "unknown key", "see lockstep mirror --help")
		return
	}
	if b.set[name] && !k.List {
		b.fail(k.Name, "given twice", "give it once")
		return
	}
	b.set[name] = true
	if err := k.read(&b.cfg, value); err != nil {
		b.fail(k.Shown(), err.Error(), k.Advice)
	}
}

func (b *Builder) fail(thing, reason, advice string) {
	b.problems = append(b.problems, Problem{thing, reason, advice})
}

// Build returns the configuration, or Problems. It does not touch the file
// system: Resolve does.
func (b *Builder) Build() (Config, error) {
	c := b.cfg
	c.Exclude = slices.Clone(c.Exclude)
	c.AllowMissing = slices.Clone(c.AllowMissing)
	p := append(slices.Clone(b.problems), c.conflicts()...)
	if err := p.orNil(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// conflicts are values that are well formed and do not go together.
func (c Config) conflicts() Problems {
	var p Problems
	if c.Source == "" {
		p = append(p, Problem{"SRC", "missing", "name the directory to mirror: lockstep mirror SRC DST"})
	}
	if c.Target == "" {
		p = append(p, Problem{"DST", "missing", "name the directory to keep in step: lockstep mirror SRC DST"})
	}
	if c.MaxDelay < c.Delay {
		p = append(p, Problem{"--max-delay", fmt.Sprintf("%v is below --delay, which is %v", c.MaxDelay, c.Delay),
			"raise --max-delay or lower --delay"})
	}
	if c.RetryMax < c.RetryInitial {
		p = append(p, Problem{"--retry-max", fmt.Sprintf("%v is below --retry-initial, which is %v", c.RetryMax, c.RetryInitial),
			"raise --retry-max or lower --retry-initial"})
	}
	if c.DryRun && c.AcceptRoot {
		p = append(p, Problem{"--accept-root", "is consent, and --dry-run changes nothing", "give one of them"})
	}
	return p
}

// Package options reads clsync's command line and configuration files into one
// struct.
//
// Trust: linked into the supervisor, which is root; what it reads is root's.
// Files are read by a function that the caller gives, who checks whose they are.
// Imports: no os; the readers of clsync/…, which are pure.
//
// Invariants: one table names every option, and what became of it; an option
// has the value of the nearest place that names it, the command line before a
// block before the blocks that it inherits; values are made when all places are
// known, so that no order matters; every fault is told at once, each with its
// option, its place, the reason and what to do.
package options

import (
	"errors"
	"slices"
	"time"

	"lockstep/config"
)

// Mode is how a handler is told of changes.
type Mode string

// The modes.
const (
	Simple      Mode = "simple"
	Direct      Mode = "direct"
	Shell       Mode = "shell"
	RsyncDirect Mode = "rsyncdirect"
	RsyncShell  Mode = "rsyncshell"
	RsyncSO     Mode = "rsyncso"
	SO          Mode = "so"
)

// Rsync says that lists are rsync's.
func (m Mode) Rsync() bool { return m == RsyncDirect || m == RsyncShell || m == RsyncSO }

// Module says that the handler is a shared object.
func (m Mode) Module() bool { return m == RsyncSO || m == SO }

// Cluster is what the options of clsync's unfinished cluster say.
type Cluster struct {
	Interface string `clsync:"cluster-iface"`
	IP        string `clsync:"cluster-ip"`
	NodeName  string `clsync:"cluster-node-name"`
	Port      int    `clsync:"cluster-port"`
	Timeout   int    `clsync:"cluster-timeout"`
	HashMin   int    `clsync:"cluster-hash-dl-min"`
	HashMax   int    `clsync:"cluster-hash-dl-max"`
	ScanMax   int    `clsync:"cluster-scan-dl-max"`
}

// Options is what is asked for. Paths are absolute, and what is not given has the
// default of the table; Given tells which are. A tag is the option's name.
type Options struct {
	WatchDir       string `clsync:"watch-dir"`
	DestinationDir string `clsync:"destination-dir"`
	SyncHandler    string `clsync:"sync-handler"`
	RulesFile      string `clsync:"rules-file"`
	Mode           Mode   `clsync:"mode"`
	Label          string `clsync:"label"`

	// Arguments are the handler's words, those of the mode when none are given;
	// RecursiveArguments those of a recursive call. In them %% is a percent sign
	// and the only names are those of macro.RunTime: macro.Cut takes them apart.
	Arguments, RecursiveArguments []string
	OwnArguments                  bool // they are not the mode's

	ConfigFile    string         // that was read, or ""
	ConfigBlock   string         `clsync:"config-block"`
	ConfigChain   []string       // the block, and those that it inherits
	CustomSignals map[int]string `clsync:"custom-signals"`
	Lenient       bool           `clsync:"lenient"`
	Help          bool           `clsync:"help"`
	Version       bool           `clsync:"version"`
	PrintConfig   bool           `clsync:"print-config"` // only show what is meant

	Background  bool   `clsync:"background"`
	PIDFile     string `clsync:"pid-file"`
	StatusFile  string `clsync:"status-file"`
	StandbyFile string `clsync:"standby-file"`
	ListsDir    string `clsync:"lists-dir"`
	DumpDir     string `clsync:"dump-dir"`
	Output      string `clsync:"output"`
	Monitor     string `clsync:"monitor"`
	Debug       int    `clsync:"debug"`
	Verbose     int    `clsync:"verbose"`
	Quiet       int    `clsync:"quiet"`
	Socket      string `clsync:"socket"`
	SocketAuth  string `clsync:"socket-auth"`
	SocketOwner string `clsync:"socket-own"`
	SocketMode  uint32 `clsync:"socket-mod"`

	Threading          string        `clsync:"threading"`
	Retries            int           `clsync:"retries"`
	MaxIterations      int           `clsync:"max-iterations"`
	RsyncIncLimit      int           `clsync:"rsync-inclimit"`
	IgnoreFailures     bool          `clsync:"ignore-failures"`
	ExitOnSkip         bool          `clsync:"exit-on-sync-skipping"`
	IgnoreExitCodes    []int         `clsync:"ignore-exitcode"`
	OneFileSystem      bool          `clsync:"one-file-system"`
	ExcludeMountPoints bool          `clsync:"exclude-mount-points"`
	Signature          []string      `clsync:"modification-signature"`
	CancelSyscalls     []string      `clsync:"cancel-syscalls"`
	TimeoutSync        time.Duration `clsync:"timeout-sync"`
	DelaySync          time.Duration `clsync:"delay-sync"`
	DelayCollect       time.Duration `clsync:"delay-collect"`
	DelayBigfile       time.Duration `clsync:"delay-collect-bigfile"`
	ThresholdBigfile   int           `clsync:"threshold-bigfile"`
	RecursiveSync      bool          `clsync:"have-recursive-sync"`
	SimpleLists        bool          `clsync:"synclist-simplify"`
	PreferInclude      bool          `clsync:"rsync-prefer-include"`
	KeepLists          bool          `clsync:"dont-unlink-lists"`
	AutoAddRules       bool          `clsync:"auto-add-rules-w"`
	FTSOptimization    bool          `clsync:"fts-experimental-optimization"`
	FullInitialSync    bool          `clsync:"full-initialsync"`
	OnlyInitialSync    bool          `clsync:"only-initialsync"`
	SkipInitialSync    bool          `clsync:"skip-initialsync"`
	ExitOnNoEvents     bool          `clsync:"exit-on-no-events"`
	SyncOnQuit         bool          `clsync:"sync-on-quit"`
	ExitHook           string        `clsync:"exit-hook"`
	PreExitHook        string        `clsync:"pre-exit-hook"`

	UID                 string   `clsync:"uid"` // this and the next are names or numbers; "" is the caller's choice
	GID                 string   `clsync:"gid"`
	PrivilegedUID       string   `clsync:"privileged-uid"`
	PrivilegedGID       string   `clsync:"privileged-gid"`
	HandlerUID          string   `clsync:"sync-handler-uid"`
	HandlerGID          string   `clsync:"sync-handler-gid"`
	Capabilities        []string `clsync:"preserve-capabilities"` // without CAP_
	InheritCapabilities string   `clsync:"inherit-capabilities"`
	Splitting           string   `clsync:"splitting"`
	SecureSplitting     bool     `clsync:"secure-splitting"`
	CheckArguments      bool     `clsync:"check-execvp-arguments"`
	Seccomp             bool     `clsync:"seccomp-filter"`
	PermittedHooks      []string `clsync:"add-permitted-hook-files"`
	Mountpoints         []string `clsync:"mountpoints"`
	ForgetPrivthread    bool     `clsync:"forget-privthread-info"`
	PermitMprotect      bool     `clsync:"permit-mprotect"`
	ShmMprotect         bool     `clsync:"shm-mprotect"`
	Chroot              string   `clsync:"chroot"`
	PivotRoot           string   `clsync:"pivot-root"`
	DetachNetwork       string   `clsync:"detach-network"`
	CgroupName          string   `clsync:"cgroup-group-name"`
	DetachIPC           bool     `clsync:"detach-ipc"`
	DetachMiscellanea   bool     `clsync:"detach-miscellanea"`
	ForbidDevices       bool     `clsync:"forbid-devices"`
	Cluster             Cluster

	Given    map[string]config.Pos // the options that are given; the zero Pos is the command line
	Warnings config.Problems       // what is done otherwise than clsync would, and what looks like a mistake

	in *input // what With reads again
}

// Env is what is around the command line.
type Env struct {
	Dir    string   // absolute: where every relative path begins, also one of a file
	Search []string // the files one of which is read when none is named; see Search
	Block  string   // the block that is read when none is named; "" is "default"
	PID    int

	ReadFile func(path string) ([]byte, error)
	// RealPath finds where the watched and a local destination directory are
	// without links; nil leaves paths as they are written.
	RealPath func(path string) (string, error)
	Lenient  bool // unknown keys and names are warnings, as by --lenient
}

// Search lists where clsync looks for its file, for a home directory.
func Search(home string) []string {
	return []string{home + "/.clsync.conf", "/etc/clsync/clsync.conf", "/etc/clsync.conf", "/usr/local/etc/clsync/clsync.conf", "/usr/local/etc/clsync.conf"}
}

// NoFile is the name of a file that asks for none.
const NoFile = "/NULL/"

// Read reads a command line, without the program's name, and the file and block
// that it names. What is wrong comes as config.Problems. With --help or
// --version nothing else is looked at.
func Read(args []string, env Env) (*Options, error) {
	in := newInput(env)
	in.commandLine(args)
	if o := in.asked(); o != nil {
		return o, nil
	}
	in.file()
	o, problems := in.options()
	for _, number := range sorted(o.CustomSignals) {
		if in.parsed == nil {
			break // told by check
		}
		// What a signal will ask for is read now: nobody sees a fault then.
		next, err := o.With(o.CustomSignals[number])
		if err != nil {
			problems = append(problems, news(problems, err)...)
		}
		o.Warnings = append(o.Warnings, news(o.Warnings, next.Warnings)...)
	}
	problems.Sort([]config.File{{Path: ""}, {Path: o.ConfigFile}})
	return o, problems.OrNil()
}

// With is what is asked for when a block is loaded while all runs: what the
// block says comes before all else, the command line too. o stays as it is.
// Options that are read once keep their values.
func (o *Options) With(block string) (*Options, error) {
	if o.in == nil {
		return nil, errors.New("nothing was read")
	}
	in := o.in.clone()
	in.load(block)
	next, problems := in.options()
	return next, problems.OrNil()
}

// news are those of an error's problems that are not in a list.
func news(old config.Problems, err error) config.Problems {
	var all config.Problems
	errors.As(err, &all)
	return slices.DeleteFunc(slices.Clone(all), func(p config.Problem) bool {
		return slices.ContainsFunc(old, func(q config.Problem) bool { return p == q })
	})
}

func sorted(m map[int]string) []int {
	var keys []int
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

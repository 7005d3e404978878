package unit

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// Plan is what is done to a process before it becomes the unit's.
type Plan struct {
	Exec     []string
	Watchdog time.Duration // 0: none
	Group    string        // below the root of cgroup v2
	Delegate bool
	Closed   bool // DevicePolicy=closed
	Tunable  []Limit
	Umask    int
	Keyring  bool // one of its own

	Namespaces uintptr // besides that of mounts
	Made       []Dir   // runtime and state directories
	Places     []Place
	Dev        bool // a /dev with pseudo devices alone
	Nodes      bool // device nodes can be made
	Proc       string
	NoIP       bool

	Caps       []cap.Value // the bounding set
	NoNewPrivs bool
	Filters    []Filter
}

// Limit is a resource limit, soft and hard.
type Limit struct {
	Resource int
	Value    uint64
}

// Dir is a directory that systemd makes.
type Dir struct {
	Path string
	Mode uint32
}

// Place is a path and what can be done below it.
type Place struct {
	Path string
	Mode Mode
	Must bool // it has to be there
}

// Mode is what can be done below a Place.
type Mode int

// From the least to the most.
const (
	Hidden Mode = iota
	ReadOnly
	Writable
	Own // an empty directory in its place, which anybody can write to
)

// setting is how the values of one key become a part of the plan.
type setting func(p *Plan, values []string) error

// NewPlan makes the plan of an instance; name is the unit's.
func NewPlan(name string, all []Setting) (*Plan, error) {
	p := &Plan{Umask: 0o022, Group: "system.slice/" + name}
	for c := range cap.MaxBits() {
		p.Caps = append(p.Caps, c)
	}
	known := settings()
	for _, key := range keys(all) {
		do, ok := known[key]
		if !ok {
			return nil, fmt.Errorf("%s: this test does not know how to apply it", key)
		}
		if err := do(p, Values(all, key)); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	for i, d := range p.Made {
		if d.Mode == 0 {
			p.Made[i].Mode = 0o755
		}
	}
	return p, nil
}

// settings are all that is known.
func settings() map[string]setting {
	return map[string]setting{
		// Of starting, stopping and the end: nothing is done to the process.
		"Type": one("notify"), "NotifyAccess": one("main"), "TimeoutStartSec": ignored, "TimeoutStopSec": ignored,
		"KillMode": ignored, "Restart": ignored, "RestartSec": ignored, "RestartPreventExitStatus": ignored,
		"WatchdogSignal": ignored, "OOMPolicy": ignored, "RuntimeDirectoryPreserve": ignored,

		"ExecStart":            func(p *Plan, v []string) error { p.Exec = strings.Fields(v[0]); return only(v) },
		"WatchdogSec":          watchdog,
		"Slice":                one("system.slice"), // NewPlan says the same
		"Delegate":             yes(func(p *Plan) { p.Delegate = true }),
		"UMask":                func(p *Plan, v []string) (err error) { p.Umask, err = octal(v); return err },
		"LimitCORE":            limit(unix.RLIMIT_CORE),
		"LimitNOFILE":          limit(unix.RLIMIT_NOFILE),
		"KeyringMode":          func(p *Plan, v []string) error { p.Keyring = true; return want(v, "private") },
		"StateDirectory":       made("/var/lib"),
		"RuntimeDirectory":     made("/run"),
		"StateDirectoryMode":   modeOf("/var/lib/"),
		"RuntimeDirectoryMode": modeOf("/run/"),

		"ReadWritePaths":        writable,
		"ProtectSystem":         func(p *Plan, v []string) error { p.system(); return want(v, "strict") },
		"ProtectHome":           func(p *Plan, v []string) error { p.all(ReadOnly, homes()); return want(v, "read-only") },
		"ProtectControlGroups":  groups,
		"ProtectKernelTunables": yes((*Plan).tunables),
		"ProtectKernelModules": yes(func(p *Plan) {
			p.all(Hidden, []string{"/usr/lib/modules"})
			p.without(cap.SYS_MODULE)
			p.refuse(group("@module")...)
		}),
		"ProtectKernelLogs": yes(func(p *Plan) {
			p.all(Hidden, []string{"/dev/kmsg", "/proc/kmsg"})
			p.without(cap.SYSLOG)
			p.refuse("syslog")
		}),
		"ProtectClock": yes(func(p *Plan) { p.without(cap.SYS_TIME, cap.WAKE_ALARM); p.refuse(group("@clock")...) }),
		"ProtectHostname": yes(func(p *Plan) {
			p.Namespaces |= unix.CLONE_NEWUTS
			p.refuse("sethostname", "setdomainname")
		}),
		"ProtectProc":    func(p *Plan, v []string) error { p.Proc = "hidepid=" + v[0]; return want(v, "invisible") },
		"PrivateTmp":     yes(func(p *Plan) { p.all(Own, []string{"/tmp", "/var/tmp"}) }),
		"PrivateMounts":  yes(func(*Plan) {}), // every plan has its own
		"PrivateNetwork": yes(func(p *Plan) { p.Namespaces |= unix.CLONE_NEWNET }),
		"PrivateDevices": devices,
		"DeviceAllow":    func(p *Plan, v []string) error { p.Nodes = true; return all(v, "char-* m", "block-* m") },
		"DevicePolicy":   func(p *Plan, v []string) error { p.Closed = true; return want(v, "closed") },
		"IPAddressDeny":  func(p *Plan, v []string) error { p.NoIP = true; return want(v, "any") },

		"CapabilityBoundingSet":   bounding,
		"AmbientCapabilities":     none,
		"NoNewPrivileges":         yes(func(p *Plan) { p.NoNewPrivs = true }),
		"LockPersonality":         yes((*Plan).lockPersonality),
		"MemoryDenyWriteExecute":  yes((*Plan).noExecMemory),
		"RestrictRealtime":        yes((*Plan).noRealtime),
		"RestrictSUIDSGID":        yes((*Plan).noSetID),
		"RestrictNamespaces":      namespaces,
		"RestrictAddressFamilies": families,
		"SystemCallArchitectures": one("native"), // so is every filter
		"SystemCallFilter":        calls,
		"SystemCallErrorNumber":   one("EPERM"), // calls says the same
	}
}

func ignored(*Plan, []string) error { return nil }

func none(_ *Plan, values []string) error {
	if len(values) > 0 {
		return fmt.Errorf("%q: only the empty value is known here", values)
	}
	return nil
}

func only(values []string) error {
	if len(values) != 1 {
		return fmt.Errorf("%q: one value is known here", values)
	}
	return nil
}

// want is an error unless that is the one value.
func want(values []string, value string) error { return all(values, value) }

// all is an error unless those are the values.
func all(values []string, known ...string) error {
	if !slices.Equal(values, known) {
		return fmt.Errorf("%q: only %q is known here", values, known)
	}
	return nil
}

func one(value string) setting { return func(_ *Plan, v []string) error { return want(v, value) } }

func yes(do func(*Plan)) setting {
	return func(p *Plan, v []string) error {
		do(p)
		return want(v, "yes")
	}
}

// groups is ProtectControlGroups=, of which a drop-in says no; the last one counts.
func groups(p *Plan, v []string) error {
	last := v[len(v)-1:]
	if last[0] == "no" {
		return nil
	}
	p.all(ReadOnly, []string{"/sys/fs/cgroup"})
	return want(last, "yes")
}

// devices is PrivateDevices=, of which a drop-in says no; the last one counts.
func devices(p *Plan, v []string) error {
	last := v[len(v)-1:]
	if last[0] == "no" {
		return nil
	}
	p.Dev, p.Closed = true, true
	p.without(cap.MKNOD, cap.SYS_RAWIO)
	p.refuse(group("@raw-io")...)
	return want(last, "yes")
}

func limit(resource int) setting {
	return func(p *Plan, v []string) error {
		n, err := strconv.ParseUint(v[0], 10, 64)
		p.Tunable = append(p.Tunable, Limit{resource, n})
		return err
	}
}

func octal(v []string) (int, error) {
	n, err := strconv.ParseUint(v[0], 8, 32)
	return int(n), err
}

func watchdog(p *Plan, v []string) (err error) {
	p.Watchdog, err = time.ParseDuration(v[0])
	return err
}

// made is a directory that is made below another, with those above it.
func made(below string) setting {
	return func(p *Plan, v []string) error {
		for _, name := range strings.Fields(v[0]) {
			path := filepath.Join(below, name)
			p.Made = append(p.Made, Dir{Path: path})
			p.Places = append(p.Places, Place{path, Writable, true})
		}
		return only(v)
	}
}

// modeOf is the mode of those that made has made: the keys are in that order.
func modeOf(below string) setting {
	return func(p *Plan, v []string) error {
		mode, err := octal(v)
		for i, d := range p.Made {
			if strings.HasPrefix(d.Path, below) {
				p.Made[i].Mode = uint32(mode)
			}
		}
		return err
	}
}

func writable(p *Plan, v []string) error {
	for _, path := range strings.Fields(strings.Join(v, " ")) {
		name, optional := strings.CutPrefix(path, "-")
		p.Places = append(p.Places, Place{name, Writable, !optional})
	}
	return nil
}

func bounding(p *Plan, v []string) error {
	var kept []cap.Value
	for _, name := range strings.Fields(strings.Join(v, " ")) {
		c, err := cap.FromName(strings.ToLower(name))
		if err != nil {
			return err
		}
		if slices.Contains(p.Caps, c) { // no other setting has taken it
			kept = append(kept, c)
		}
	}
	p.Caps = kept
	return nil
}

func (p *Plan) without(caps ...cap.Value) {
	p.Caps = slices.DeleteFunc(p.Caps, func(c cap.Value) bool { return slices.Contains(caps, c) })
}

func (p *Plan) all(mode Mode, paths []string) {
	for _, path := range paths {
		p.Places = append(p.Places, Place{Path: path, Mode: mode})
	}
}

func homes() []string { return []string{"/home", "/run/user", "/root"} }

// system is ProtectSystem=strict: of homes it says nothing.
func (p *Plan) system() {
	p.all(ReadOnly, []string{"/"})
	for _, path := range append(homes(), "/proc", "/sys", "/dev") {
		// Before all others, which then win.
		p.Places = append([]Place{{Path: path, Mode: Writable}}, p.Places...)
	}
}

// tunables are those of systemd.exec(5), ProtectKernelTunables=.
func (p *Plan) tunables() {
	p.all(ReadOnly, []string{"/proc/acpi", "/proc/apm", "/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/latency_stats",
		"/proc/mtrr", "/proc/scsi", "/proc/sys", "/proc/sysrq-trigger", "/proc/timer_stats",
		"/sys", "/sys/fs/bpf", "/sys/kernel/debug", "/sys/kernel/tracing"})
	p.all(Hidden, []string{"/proc/kallsyms", "/proc/kcore"})
	p.Places = append([]Place{{Path: "/sys/fs/cgroup", Mode: Writable}}, p.Places...)
}

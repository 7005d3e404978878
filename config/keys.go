package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Group gathers keys that are shown together.
type Group string

// The groups, in the order of the help text.
const (
	GroupPaths   Group = "paths"
	GroupWatch   Group = "what is watched"
	GroupTiming  Group = "when it is copied"
	GroupCopy    Group = "how it is copied"
	GroupDelete  Group = "what may be deleted"
	GroupRun     Group = "this run"
	GroupService Group = "service"
)

// Groups lists the groups in the order of the help text.
func Groups() []Group {
	return []Group{GroupWatch, GroupTiming, GroupCopy, GroupDelete, GroupRun, GroupService}
}

// Key is one key: of a configuration file by Name, of the command line by
// Flag.
type Key struct {
	Name    string
	Group   Group
	Unit    string // what a value looks like; "" for a switch
	Default string // as it would be written; "" is empty or off
	Help    string
	Advice  string // what to do about a bad value
	List    bool   // may be given several times
	Word    bool   // a word of the command line, not a flag

	read func(c *Config, value string) error
}

// Flag is the key's name on the command line, without dashes before it.
func (k Key) Flag() string { return strings.ReplaceAll(k.Name, "_", "-") }

// Shown is how messages name the key.
func (k Key) Shown() string {
	switch k.Name {
	case "source":
		return "SRC"
	case "targets":
		return "DST"
	}
	return "--" + k.Flag()
}

// Switch says that the key is on or off and needs no value.
func (k Key) Switch() bool { return k.Unit == "" }

// Lookup finds a key by its name.
func Lookup(name string) (Key, bool) {
	keys := Keys()
	i := slices.IndexFunc(keys, func(k Key) bool { return k.Name == name })
	if i < 0 {
		return Key{}, false
	}
	return keys[i], true
}

// Features are the names that allow_missing takes: what the kernel may lack.
// Mounts and seccomp are never among them.
func Features() []string {
	return []string{"landlock", "cgroup-kill", "cgroup-devices", "cgroup-memory", "cgroup-pids"}
}

const (
	adviceDuration = "write a duration such as 200ms, 2s, 30m or 24h"
	adviceSize     = "write a size such as 64KiB, 128MiB or 1GiB"
)

// Keys is the table: every key there is.
func Keys() []Key {
	return []Key{
		{Name: "source", Group: GroupPaths, Unit: "DIR", Word: true,
			Help: "the directory whose contents are mirrored", read: readSource},
		{Name: "targets", Group: GroupPaths, Unit: "DIR", Word: true, List: true,
			Help: "the directory that is kept in step; made when missing", read: readTarget},

		{Name: "exclude", Group: GroupWatch, Unit: "PATTERN", List: true,
			Help: "neither watch, copy nor delete what matches (gitignore syntax); may be repeated", read: readExclude},
		{Name: "cross_mounts", Group: GroupWatch,
			Help: "include what is mounted inside SRC (else it is left out, and kept on the target)",
			read: boolean(func(c *Config) *bool { return &c.CrossMounts })},
		{Name: "monitor", Group: GroupWatch, Unit: "auto|inotify", Default: "auto",
			Help: "how changes are learnt", Advice: "use auto or inotify", read: readMonitor},
		{Name: "allow_blind", Group: GroupWatch,
			Help: "accept a file system on which changes by others are not seen (NFS, SMB, FUSE, …)",
			read: boolean(func(c *Config) *bool { return &c.AllowBlind })},

		{Name: "delay", Group: GroupTiming, Unit: "DURATION", Default: "200ms", Advice: adviceDuration,
			Help: "wait since a path's last event", read: duration(0, time.Hour, func(c *Config) *time.Duration { return &c.Delay })},
		{Name: "max_delay", Group: GroupTiming, Unit: "DURATION", Default: "2s", Advice: adviceDuration,
			Help: "limit since a path's first event", read: duration(0, 24*time.Hour, func(c *Config) *time.Duration { return &c.MaxDelay })},
		{Name: "big_file_size", Group: GroupTiming, Unit: "SIZE", Default: "128MiB", Advice: adviceSize + ", or 0 for no such lane",
			Help: "files of this size and above wait in a lane of their own", read: size(func(c *Config) *uint64 { return &c.BigSize })},
		{Name: "big_file_delay", Group: GroupTiming, Unit: "DURATION", Default: "30m", Advice: adviceDuration,
			Help: "limit since the first event of a big file", read: duration(0, 30*24*time.Hour, func(c *Config) *time.Duration { return &c.BigDelay })},
		{Name: "retry_initial", Group: GroupTiming, Unit: "DURATION", Default: "1s", Advice: adviceDuration,
			Help: "wait after a first failure", read: duration(10*time.Millisecond, time.Hour, func(c *Config) *time.Duration { return &c.RetryInitial })},
		{Name: "retry_max", Group: GroupTiming, Unit: "DURATION", Default: "5m", Advice: adviceDuration,
			Help: "longest wait after repeated failures", read: duration(10*time.Millisecond, 24*time.Hour, func(c *Config) *time.Duration { return &c.RetryMax })},

		{Name: "timeout", Group: GroupCopy, Unit: "DURATION", Default: "24h", Advice: adviceDuration,
			Help: "kill a command that takes longer", read: duration(time.Second, 365*24*time.Hour, func(c *Config) *time.Duration { return &c.Timeout })},
		{Name: "devices", Group: GroupCopy,
			Help: "copy device nodes too (else they are skipped and counted)",
			read: boolean(func(c *Config) *bool { return &c.Devices })},
		{Name: "xattrs", Group: GroupCopy, Unit: "user|all|none", Default: "user",
			Help: "extended attributes to keep; all adds file capabilities", Advice: "use user, all or none", read: readXattrs},
		{Name: "rsync_path", Group: GroupCopy, Unit: "FILE", Default: "/usr/bin/rsync",
			Help: "the rsync to use", Advice: "name the program by its absolute path", read: absolute(func(c *Config) *string { return &c.RsyncPath })},
		{Name: "bwlimit", Group: GroupCopy, Unit: "SIZE", Advice: adviceSize + ", or 0 for no limit",
			Help: "bytes a second that rsync may write, on average", read: size(func(c *Config) *uint64 { return &c.BWLimit })},

		{Name: "max_delete_percent", Group: GroupDelete, Unit: "PERCENT", Default: "50", Advice: "write a number from 0 to 100",
			Help: "hold a pass that would delete more than this share of the target", read: readPercent},
		{Name: "max_delete_entries", Group: GroupDelete, Unit: "NUMBER", Default: "1000", Advice: "write a number of entries",
			Help: "and more than this many entries", read: readEntries},

		{Name: "once", Group: GroupRun,
			Help: "end when the target is in step", read: boolean(func(c *Config) *bool { return &c.Once })},
		{Name: "dry_run", Group: GroupRun,
			Help: "only show what the first pass would do", read: boolean(func(c *Config) *bool { return &c.DryRun })},
		{Name: "accept_root", Group: GroupRun,
			Help: "the source or target is meant to be another one now, or so many deletions are meant",
			read: boolean(func(c *Config) *bool { return &c.AcceptRoot })},

		{Name: "runtime_dir", Group: GroupService, Unit: "DIR",
			Help: "the lock of this mirror (default /run/lockstep/mirror-…)", Advice: "name a directory by its absolute path",
			read: absolute(func(c *Config) *string { return &c.RuntimeDir })},
		{Name: "state_dir", Group: GroupService, Unit: "DIR", Default: "/var/lib/lockstep",
			Help: "what is remembered across restarts, and scratch files", Advice: "name a directory by its absolute path",
			read: absolute(func(c *Config) *string { return &c.StateDir })},
		{Name: "user", Group: GroupService, Unit: "NAME", Default: "lockstep",
			Help: "the worker's user; a free uid when the host has no such user", Advice: "name a user that is not root", read: readUser},
		{Name: "log_format", Group: GroupService, Unit: "text|json", Default: "text",
			Help: "how log lines are written", Advice: "use text or json", read: readLogFormat},
		{Name: "stop_timeout", Group: GroupService, Unit: "DURATION", Default: "10s", Advice: adviceDuration,
			Help: "wait for running commands at the end", read: duration(0, time.Hour, func(c *Config) *time.Duration { return &c.StopTimeout })},
		{Name: "allow_missing", Group: GroupService, Unit: "FEATURE", List: true,
			Help:   "start although the kernel lacks this: " + strings.Join(Features(), ", "),
			Advice: "use one of " + strings.Join(Features(), ", "), read: readAllowMissing},
	}
}

func boolean(field func(*Config) *bool) func(*Config, string) error {
	return func(c *Config, v string) error {
		b, err := strconv.ParseBool(v)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", v)
		}
		*field(c) = b
		return nil
	}
}

func duration(low, high time.Duration, field func(*Config) *time.Duration) func(*Config, string) error {
	return func(c *Config, v string) error {
		d, err := time.ParseDuration(v)
		if err != nil {
			return fmt.Errorf("%q is not a duration", v)
		}
		if d < low || d > high {
			return fmt.Errorf("%v is not between %v and %v", d, low, high)
		}
		*field(c) = d
		return nil
	}
}

func size(field func(*Config) *uint64) func(*Config, string) error {
	return func(c *Config, v string) error {
		n, err := ParseSize(v)
		if err != nil {
			return err
		}
		*field(c) = n
		return nil
	}
}

func absolute(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error {
		if err := checkPath(v); err != nil {
			return err
		}
		if v[0] != '/' {
			return fmt.Errorf("%q is not an absolute path", v)
		}
		*field(c) = v
		return nil
	}
}

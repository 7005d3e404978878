// Package keys holds the table of all keys of a configuration, and builds a
// configuration of values that are given key by key.
//
// Trust: linked into the supervisor, which is root; its input is what root
// wrote.
//
// Invariants: one table names every key, its default, its unit and its reader;
// flags, keys of the file, help and documents are generated from it. All
// problems are told at once, each where it is written.
package keys

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"lockstep/config"
	"lockstep/config/choose"
	"lockstep/config/field"
)

// Group gathers keys that are shown together.
type Group string

// The groups, in the order of the help text.
const (
	GroupSync    Group = "what is kept in step"
	GroupWatch   Group = "what is watched"
	GroupTiming  Group = "when it is copied"
	GroupCopy    Group = "how it is copied"
	GroupHandler Group = "who copies it"
	GroupDelete  Group = "what may be deleted"
	GroupRemote  Group = "remote targets"
	GroupFiles   Group = "files for other programs"
	GroupEnd     Group = "how it ends"
	GroupRun     Group = "this run"
	GroupService Group = "service"
	GroupAudit   Group = "audit trail"
)

// Groups lists the groups in the order of the help text.
func Groups() []Group {
	return []Group{GroupSync, GroupWatch, GroupTiming, GroupCopy, GroupHandler, GroupDelete, GroupRemote, GroupFiles, GroupEnd, GroupRun, GroupService, GroupAudit}
}

// Scope says where a key belongs.
type Scope uint8

// The scopes: one run (on the command line only), all syncs of a process
// ([service]), one sync ([[sync]]).
const (
	ScopeSync Scope = iota
	ScopeService
	ScopeRun
)

// Key is one key: of a configuration file by Name, of the command line by
// Flag.
type Key struct {
	Name    string // as in a file, with its table: "big_file.size"
	Group   Group
	Scope   Scope
	Unit    string // what a value looks like; "" for a switch
	Default string // as it would be written; "" is empty or off
	Help    string
	Advice  string // what to do about a bad value
	List    bool   // may be given several times
	Number  bool   // written without quotes in a file
	Word    bool   // a word of the command line, not a flag

	field field.Field
}

// Values is what a configuration says of the key, as it would be written; none
// is empty.
func (k Key) Values(c config.Config) []string { return k.field.Write(&c) }

// Flag is the key's name on the command line, without dashes before it.
func (k Key) Flag() string { return config.Flag(k.Name) }

// Switch says that the key is on or off and needs no value.
func (k Key) Switch() bool { return k.Unit == "" }

// Lookup finds a key by its name.
func Lookup(name string) (Key, bool) {
	keys := Table()
	i := slices.IndexFunc(keys, func(k Key) bool { return k.Name == name })
	if i < 0 {
		return Key{}, false
	}
	return keys[i], true
}

const (
	adviceDuration = "write a duration such as 200ms, 2s, 30m or 24h"
	adviceSize     = "write a size such as 64KiB, 128MiB or 1GiB"
	adviceTarget   = "write /DIR, USER@HOST:/PATH or rsync://HOST/MODULE/PATH; a local path with a colon is written ./HOST:/PATH"
)

// Table is every key there is.
func Table() []Key {
	return slices.Concat(syncKeys(), copyKeys(), handlerKeys(), fileKeys(), endKeys(), runKeys(), serviceKeys(), auditKeys())
}

// either is "a, b or c".
func either(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

func syncKeys() []Key {
	return []Key{
		{Name: "source", Group: GroupSync, Unit: "DIR", Word: true, Advice: "name a directory",
			Help: "the directory whose contents are mirrored", field: field.Text(field.ReadSource, func(c *config.Config) *string { return &c.Source })},
		{Name: "targets", Group: GroupSync, Unit: "TARGET", Word: true, List: true, Advice: adviceTarget,
			Help: "a place that is kept in step: DIR (made when missing), [USER@]HOST:PATH (by ssh), rsync://[USER@]HOST[:PORT]/MODULE[/PATH]; a handler may have none", field: field.Field{Read: field.ReadTarget, Write: field.WriteTargets}},
		{Name: "name", Group: GroupSync, Unit: "NAME", Advice: "use at most 64 letters, digits and . _ -, beginning with a letter or digit",
			Help: "the name of the sync in messages (default: the last component of the source)", field: field.Text(field.ReadName, func(c *config.Config) *string { return &c.Name })},

		{Name: "exclude", Group: GroupWatch, Unit: "PATTERN", List: true,
			Help: "neither watch, copy nor delete what matches (gitignore syntax); may be repeated", field: field.List(field.ReadExclude, func(c *config.Config) *[]string { return &c.Exclude })},
		{Name: "rules", Group: GroupWatch, Unit: "RULE", List: true, Advice: `write a line such as "-f\.bak$" or "+*^etc(/|$)": a sign, a letter of f d w m W s *, and an extended regular expression`,
			Help: "an ordered rule: + or -, what it is for (f d w m W s *), and an extended regular expression for the path; the first that fits decides; may be repeated", field: field.Field{Read: field.ReadRule, Write: field.WriteRules}},
		{Name: "rules_file", Group: GroupWatch, Unit: "FILE", Advice: "name the file by its absolute path",
			Help: "a file of such rules, one a line", field: field.Absolute(func(c *config.Config) *string { return &c.RulesFile })},
		{Name: "cross_mounts", Group: GroupWatch,
			Help:  "include what is mounted inside the source (else it is left out, and kept on the target)",
			field: field.Bool(func(c *config.Config) *bool { return &c.CrossMounts })},
		{Name: "monitor", Group: GroupWatch, Unit: strings.Join(choose.Words(), "|"), Default: choose.Auto,
			Help: "how changes are learnt: auto is as suits the file system of the source", Advice: "use " + either(choose.Words()), field: field.Text(field.ReadMonitor, func(c *config.Config) *string { return &c.Monitor })},
		{Name: "poll_every", Group: GroupWatch, Unit: "DURATION", Default: "0", Advice: "write a duration such as 1s, or 0 for what suits the file system",
			Help: "where listings are compared, list each directory this often (0: 1s to 5s)", field: field.OrNever(choose.LeastEvery, choose.MostEvery, func(c *config.Config) *time.Duration { return &c.PollEvery })},
		{Name: "allow_blind", Group: GroupWatch,
			Help:  "accept that changes by others are not seen on a file system that does not tell of them (NFS, SMB, FUSE, …), instead of polling it",
			field: field.Bool(func(c *config.Config) *bool { return &c.AllowBlind })},
		{Name: "verify_every", Group: GroupWatch, Unit: "DURATION", Default: "0", Advice: "write a duration such as 1h, or 0 for never",
			Help: "compare what is watched with the source's directories, both ways, this often, and mend what differs", field: field.OrNever(time.Second, field.Longest, func(c *config.Config) *time.Duration { return &c.VerifyEvery })},
		{Name: "unwatched_every", Group: GroupWatch, Unit: "DURATION", Default: "1m", Advice: "write a duration such as 1m, or 0 to be told only",
			Help: "when the kernel gives too few watches, compare the whole tree this often", field: field.OrNever(time.Second, field.Longest, func(c *config.Config) *time.Duration { return &c.UnwatchedEvery })},
		{Name: "busy_rate", Group: GroupWatch, Unit: "NUMBER", Default: "5000", Number: true, Advice: "write a number from 0 to 1000000; 0 is never",
			Help: "list a directory once a second instead of hearing of each change while more events a second than this come from it (0: never)", field: field.Number(0, 1_000_000, func(c *config.Config) *uint32 { return &c.BusyRate })},

		{Name: "delay", Group: GroupTiming, Unit: "DURATION", Default: "200ms", Advice: adviceDuration,
			Help: "wait since a path's last event", field: field.Duration(0, time.Hour, func(c *config.Config) *time.Duration { return &c.Delay })},
		{Name: "max_delay", Group: GroupTiming, Unit: "DURATION", Default: "2s", Advice: adviceDuration,
			Help: "limit since a path's first event", field: field.Duration(0, 24*time.Hour, func(c *config.Config) *time.Duration { return &c.MaxDelay })},
		{Name: "big_file.size", Group: GroupTiming, Unit: "SIZE", Default: "128MiB", Advice: adviceSize + ", or 0 for no such lane",
			Help: "files of this size and above wait in a lane of their own", field: field.Size(func(c *config.Config) *uint64 { return &c.BigSize })},
		{Name: "big_file.delay", Group: GroupTiming, Unit: "DURATION", Default: "30m", Advice: adviceDuration,
			Help: "limit since the first event of a big file", field: field.Duration(0, 30*24*time.Hour, func(c *config.Config) *time.Duration { return &c.BigDelay })},
		{Name: "retry.initial", Group: GroupTiming, Unit: "DURATION", Default: "1s", Advice: adviceDuration,
			Help: "wait after a first failure", field: field.Duration(10*time.Millisecond, time.Hour, func(c *config.Config) *time.Duration { return &c.RetryInitial })},
		{Name: "retry.max", Group: GroupTiming, Unit: "DURATION", Default: "5m", Advice: adviceDuration,
			Help: "longest wait after repeated failures", field: field.Duration(10*time.Millisecond, 24*time.Hour, func(c *config.Config) *time.Duration { return &c.RetryMax })},
		{Name: "full_sync_every", Group: GroupTiming, Unit: "DURATION", Default: "0", Advice: "write a duration such as 24h, or 0 for never",
			Help: "compare the whole source with the targets this often, besides the changes that are seen", field: field.OrNever(time.Minute, field.Longest, func(c *config.Config) *time.Duration { return &c.FullSyncEvery })},
		{Name: "first_pass", Group: GroupTiming, Unit: "whole|skip", Default: "whole", Advice: "use whole or skip",
			Help: "what a start begins with: whole compares the source with the targets; skip does not, and what changed before it is ready is not copied", field: field.Field{Read: field.ReadFirstPass, Write: func(c *config.Config) []string { return []string{c.FirstPass.String()} }}},
	}
}

func copyKeys() []Key {
	return []Key{
		{Name: "timeout", Group: GroupCopy, Unit: "DURATION", Default: "24h", Advice: adviceDuration,
			Help: "kill a command that takes longer", field: field.Duration(time.Second, 365*24*time.Hour, func(c *config.Config) *time.Duration { return &c.Timeout })},
		{Name: "devices", Group: GroupCopy,
			Help:  "copy device nodes too (else they are skipped and counted)",
			field: field.Bool(func(c *config.Config) *bool { return &c.Devices })},
		{Name: "xattrs", Group: GroupCopy, Unit: "user|all|none", Default: "user",
			Help: "extended attributes to keep; all adds file capabilities", Advice: "use user, all or none", field: field.Field{Read: field.ReadXattrs, Write: func(c *config.Config) []string { return []string{c.Xattrs.String()} }}},
		{Name: "rsync_path", Group: GroupCopy, Unit: "FILE", Default: "/usr/bin/rsync",
			Help: "the rsync to use", Advice: "name the program by its absolute path", field: field.Absolute(func(c *config.Config) *string { return &c.RsyncPath })},
		{Name: "rsync_args", Group: GroupCopy, Unit: "WORD", List: true, Advice: "use words of this list: " + allowedArgs(),
			Help: "a word to add to rsync's command line, from a short list; may be repeated", field: field.List(readRsyncArg, func(c *config.Config) *[]string { return &c.RsyncArgs })},
		{Name: "bwlimit", Group: GroupCopy, Unit: "SIZE", Advice: adviceSize + ", or 0 for no limit",
			Help: "bytes a second that rsync may write, on average", field: field.Size(func(c *config.Config) *uint64 { return &c.BWLimit })},
		{Name: "skip_equal", Group: GroupCopy,
			Help:  "compare the content of a changed file with the target's, and leave that as it is where both are the same (else what changed is copied)",
			field: field.Bool(func(c *config.Config) *bool { return &c.SkipEqual })},
		{Name: "backup_dir", Group: GroupCopy, Unit: "NAME", Advice: "write one name, such as decrement",
			Help: "the name of a directory in each target, into which what is replaced or deleted there is moved, at its own path; the last version alone is kept, and nobody clears it up", field: field.Text(field.ReadBackupDir, func(c *config.Config) *string { return &c.BackupDir })},

		{Name: "delete", Group: GroupDelete, Unit: "always|start|never", Default: "always", Advice: "use always, start or never",
			Help: "when to delete what the source lacks: always; in the first whole pass after a start only; or never", field: field.Field{Read: field.ReadDelete, Write: func(c *config.Config) []string { return []string{c.Delete.String()} }}},
		{Name: "max_delete.percent", Group: GroupDelete, Unit: "PERCENT", Default: "50", Number: true, Advice: "write a number from 0 to 100",
			Help: "hold a pass that would delete more than this share of the target", field: field.Number(0, 100, func(c *config.Config) *uint32 { return &c.MaxDeletePercent })},
		{Name: "max_delete.entries", Group: GroupDelete, Unit: "NUMBER", Default: "1000", Number: true, Advice: "write a number of entries",
			Help: "and more than this many entries", field: field.Field{Read: field.ReadEntries, Write: func(c *config.Config) []string { return []string{fmt.Sprint(c.MaxDeleteEntries)} }}},

		{Name: "ssh.identity", Group: GroupRemote, Unit: "FILE", Advice: "name the file of the private key by its absolute path",
			Help: "the private key for targets by ssh; no other is tried", field: field.Absolute(func(c *config.Config) *string { return &c.SSH.Identity })},
		{Name: "ssh.known_hosts", Group: GroupRemote, Unit: "FILE", Advice: "name the file by its absolute path",
			Help: "the keys of the hosts; a host whose key is not in it is refused", field: field.Absolute(func(c *config.Config) *string { return &c.SSH.KnownHosts })},
		{Name: "ssh.port", Group: GroupRemote, Unit: "PORT", Default: "22", Number: true, Advice: "write a number from 1 to 65535",
			Help: "the port of targets by ssh", field: field.Field{Read: field.ReadSSHPort, Write: func(c *config.Config) []string { return []string{fmt.Sprint(c.SSH.Port)} }}},
		{Name: "password_file", Group: GroupRemote, Unit: "FILE", Advice: "name the file by its absolute path",
			Help:  "the password for rsync daemons; it is sent over the network in a form that can be attacked, and the files in plain text",
			field: field.Absolute(func(c *config.Config) *string { return &c.PasswordFile })},
		{Name: "run_as", Group: GroupRemote, Unit: "NAME", Advice: "name a user that is not root",
			Help: "the user of commands to remote targets (default: a free uid)", field: field.User(func(c *config.Config) *string { return &c.RunAs })},
	}
}

func fileKeys() []Key {
	const advice = "name a file by its absolute path, in a directory that is there and that only root can write"
	return []Key{
		{Name: "status_file", Group: GroupFiles, Unit: "FILE", Advice: advice,
			Help: "a file that says in a word where the sync stands, as clsync's: starting, initsync, running, synchandler error, hold on, preexit, lastsync, terminating, exiting; it is removed at the end", field: field.Absolute(func(c *config.Config) *string { return &c.StatusFile })},
		{Name: "standby_file", Group: GroupFiles, Unit: "FILE", Advice: advice,
			Help: "begin no command while this file is there: what has begun goes on to its end, and what changes is gathered", field: field.Absolute(func(c *config.Config) *string { return &c.StandbyFile })},
		{Name: "pid_file", Group: GroupFiles, Scope: ScopeService, Unit: "FILE", Advice: advice,
			Help: "a file with the process id; it is removed at the end", field: field.Absolute(func(c *config.Config) *string { return &c.PIDFile })},
		{Name: "control_socket", Group: GroupFiles, Scope: ScopeService, Unit: "FILE|none", Advice: advice + ", or write none",
			Help: "the socket at which lockstep ctl asks (default: control in the runtime directory of lockstep run, none of a mirror)", field: field.Text(field.ReadControlSocket, func(c *config.Config) *string { return &c.Control.Socket })},
		{Name: "control_mode", Group: GroupFiles, Scope: ScopeService, Unit: "MODE", Default: "0600", Advice: "write 0600 for the owner alone, or 0660 for the group as well",
			Help: "the mode of that socket: who may write to it may ask", field: field.Field{Read: field.ReadControlMode, Write: field.WriteControlMode}},
		{Name: "control_owner", Group: GroupFiles, Scope: ScopeService, Unit: "USER[:GROUP]", Advice: "write names or numbers as for chown: www, www:adm or :adm",
			Help: "the owner and group of that socket, who may ask beside root as control_mode says", field: field.Text(field.ReadControlOwner, func(c *config.Config) *string { return &c.Control.Owner })},
	}
}

func runKeys() []Key {
	return []Key{
		{Name: "once", Group: GroupRun, Scope: ScopeRun,
			Help: "end when the targets are in step", field: field.Bool(func(c *config.Config) *bool { return &c.Once })},
		{Name: "dry_run", Group: GroupRun, Scope: ScopeRun,
			Help: "only show what the first pass would do", field: field.Bool(func(c *config.Config) *bool { return &c.DryRun })},
		{Name: "accept_root", Group: GroupRun, Scope: ScopeRun,
			Help:  "the source or target is meant to be another one now, or so many deletions are meant",
			field: field.Bool(func(c *config.Config) *bool { return &c.AcceptRoot })},
	}
}

func serviceKeys() []Key {
	return []Key{
		{Name: "runtime_dir", Group: GroupService, Scope: ScopeService, Unit: "DIR",
			Help: "where the lock of this process is (default: /run/lockstep/mirror-… of a mirror, /run/lockstep of a file)", Advice: "name a directory by its absolute path",
			field: field.Absolute(func(c *config.Config) *string { return &c.RuntimeDir })},
		{Name: "state_dir", Group: GroupService, Scope: ScopeService, Unit: "DIR", Default: "/var/lib/lockstep",
			Help: "what is remembered across restarts, and scratch files", Advice: "name a directory by its absolute path",
			field: field.Absolute(func(c *config.Config) *string { return &c.StateDir })},
		{Name: "user", Group: GroupService, Scope: ScopeService, Unit: "NAME", Default: "lockstep", Advice: "name a user that is not root",
			Help: "the workers' user; a free uid when the host has no such user", field: field.User(func(c *config.Config) *string { return &c.User })},
		{Name: "log_format", Group: GroupService, Scope: ScopeService, Unit: "text|json", Default: "text",
			Help: "how log lines are written", Advice: "use text or json", field: field.Field{Read: field.ReadLogFormat, Write: field.WriteLogFormat}},
		{Name: "log_to", Group: GroupService, Scope: ScopeService, Unit: strings.Join(field.LogPlaces(), "|"), Default: "stderr",
			Help: "where log lines go: the standard error, the log daemon of this host by /dev/log, or its journal with fields; messages that a daemon does not take are counted, and that is told on the standard error", Advice: "use " + either(field.LogPlaces()), field: field.Text(field.ReadLogTo, func(c *config.Config) *string { return &c.LogTo })},
		{Name: "log_level", Group: GroupService, Scope: ScopeService, Unit: "error|warn|info", Default: "info",
			Help: "leave out of the log what matters less; the state that SIGUSR1 asks for is info", Advice: "use error, warn or info", field: field.Field{Read: field.ReadLogLevel, Write: field.WriteLogLevel}},
		{Name: "stop_timeout", Group: GroupService, Scope: ScopeService, Unit: "DURATION", Default: "10s", Advice: adviceDuration,
			Help: "wait for running commands at the end", field: field.Duration(0, time.Hour, func(c *config.Config) *time.Duration { return &c.StopTimeout })},
		{Name: "max_jobs", Group: GroupService, Scope: ScopeService, Unit: "NUMBER", Default: "16", Number: true, Advice: "write a number from 1 to 1000",
			Help: "commands that may run at a time; from 4 on, two that share a large list for a local target count as one", field: field.Number(1, 1000, func(c *config.Config) *uint32 { return &c.MaxJobs })},
		{Name: "max_jobs_per_host", Group: GroupService, Scope: ScopeService, Unit: "NUMBER", Default: "4", Number: true, Advice: "write a number from 1 to 1000",
			Help: "commands that may run at a time to one remote host", field: field.Number(1, 1000, func(c *config.Config) *uint32 { return &c.MaxJobsPerHost })},
		{Name: "monitor_rules", Group: GroupService, Scope: ScopeService, Unit: "RULE", List: true,
			Help:   "how changes are learnt by place or file system, for syncs that do not say: [mandatory] path PATTERN|fs PATTERN MONITOR [DURATION]; the first that fits, a mandatory one before what the sync says",
			Advice: `write a line such as "path /mnt/* poll 5s", "fs nfs* poll" or "mandatory fs fuse.* poll"`, field: field.List(field.ReadMonitorRule, func(c *config.Config) *[]string { return &c.MonitorRules })},
		{Name: "allow_missing", Group: GroupService, Scope: ScopeService, Unit: "FEATURE", List: true,
			Help:   "start although the kernel lacks this: " + strings.Join(field.Features(), ", "),
			Advice: "use one of " + strings.Join(field.Features(), ", "), field: field.List(field.ReadAllowMissing, func(c *config.Config) *[]string { return &c.AllowMissing })},
	}
}

package config

import (
	"slices"
	"strings"

	"lockstep/config/choose"
	"lockstep/handler"
)

// ModeRsync is the mode in which lockstep's own rsync keeps the targets in step.
const ModeRsync = "rsync"

// Modes are all modes.
func Modes() []string {
	return []string{ModeRsync, "simple", "direct", "shell", "rsyncshell", "so", "rsyncso"}
}

// Handled says that a program of a person's keeps the targets in step.
func (s Sync) Handled() bool { return s.Mode != "" && s.Mode != ModeRsync }

// ToldByLists says that the handler has rsync compare what is there.
func (s Sync) ToldByLists() bool { return s.Mode == "rsyncshell" || s.Mode == "rsyncso" }

// CallsModule says that the handler is no program but a shared object, of which
// functions are called.
func (s Sync) CallsModule() bool { return s.Function() != "" }

// Function is the one that is called with what has changed; "": the handler is a
// program.
func (s Sync) Function() string {
	switch s.Mode {
	case "so":
		return "clsyncapi_sync"
	case "rsyncso":
		return "clsyncapi_rsync"
	}
	return ""
}

// ToldByLines says that the handler gets lists with a line for each path, in which
// none can have a newline.
func (s Sync) ToldByLines() bool {
	return s.Mode == "shell" && (len(s.HandlerArgs) == 0 || strings.Contains(strings.Join(s.HandlerArgs, " "), "%INCLUDE-LIST-PATH%"))
}

// NoNames is why a monitor cannot be had with a handler that compares nothing.
const NoNames = "dnotify tells in which directory something has changed and not what, and the handler would not be told what is gone"

// HandlerDirs are directories of the host that the jail of a handler shows, and in
// which programs can be executed: no source or target may have to do with them.
func HandlerDirs() []string {
	return []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"}
}

// HandlerOptions are what package handler makes words of.
func (s Sync) HandlerOptions(t Target) (handler.Options, error) {
	mode, err := handler.ParseMode(s.Mode)
	o := handler.Options{Mode: mode, Path: s.Handler, Label: s.Name, Watch: s.Source, Destination: t.Path}
	if len(s.HandlerArgs) > 0 {
		o.Arguments = s.HandlerArgs
	}
	if len(s.ForWhole) > 0 {
		o.Recursive = s.ForWhole
	}
	o.Simplify = s.PlainLists
	return o, err
}

// Untargeted says that a handler is told, and that there is no directory for it.
func (s Sync) Untargeted() bool { return s.Has(None) }

// Told names what a sync without a target is to those who compare two: its handler is
// told of one source under one name.
func (s Sync) Told() string { return s.Mode + " " + s.Handler + " " + s.Name }

// Misfit is a key that does not go together with a sync's mode.
type Misfit struct{ Key, Reason, Advice string }

// Misfits are those of a sync of which own says which keys are its own.
func (s Sync) Misfits(own func(key string) bool) []Misfit {
	var out []Misfit
	add := func(key, reason, advice string) { out = append(out, Misfit{key, reason, advice}) }
	if !s.Handled() {
		for _, key := range []string{"handler", "handler_user", "handler_args", "handler_recursive", "handler_recursive_args", "handler_plain_lists", "handler_keep_lists", "handler_changes", "ignore_exit_codes", "network", "handler_reads", "handler_writes"} {
			if own(key) {
				add(key, "nothing would use it: the mode is "+ModeRsync, "remove it, or write a mode that has a handler")
			}
		}
		return out
	}
	if s.Handler == "" {
		add("handler", "missing, and mode "+s.Mode+" needs it", "name the program, or of so and rsyncso the shared object, by its absolute path")
	}
	if s.CallsModule() && own("handler_args") {
		add("handler_args", "are words for a program, and mode "+s.Mode+" calls functions", "remove it")
	}
	s.misfitWhole(own, add)
	for _, key := range []string{"rsync_path", "rsync_args", "bwlimit", "skip_equal", "backup_dir", "xattrs", "delete", "max_delete.percent", "max_delete.entries"} {
		if own(key) {
			add(key, "is about lockstep's own rsync, and mode "+s.Mode+" has a handler in its place", "remove it")
		}
	}
	if s.Untargeted() && s.namesDestination() {
		add("targets", "missing, and the words of the handler name it", "name the one directory that it can write to, or give it words without %destination-dir%")
	}
	if s.Monitor == choose.Dnotify && !s.ToldByLists() {
		add("monitor", NoNames, "use another")
	}
	if s.Has(SSHTarget) || s.Has(Daemon) {
		add("targets", "a handler's target is a directory of this host", "name one, or none and network = true for a handler that reaches others itself, or use mode "+ModeRsync)
	}
	return out
}

// misfitWhole adds what does not go together with calls for whole directories, and
// with lists of paths alone.
func (s Sync) misfitWhole(own func(string) bool, add func(key, reason, advice string)) {
	switch {
	case s.Recursive && s.ToldByLists():
		add("handler_recursive", "asks for calls for whole directories, and rsync's lists name them in any case", "remove it")
	case s.Recursive && s.Mode == "simple":
		add("handler_recursive", "asks for calls for whole directories, and mode simple has a call for each path", "remove it, or use mode direct or shell")
	case s.Recursive && (len(s.Exclude) > 0 || len(s.Rules) > 0 || s.RulesFile != ""):
		add("handler_recursive", "asks for calls for whole directories, which could not say what rules or exclude leave out in them", "remove it, or them")
	}
	if own("handler_recursive_args") && (!s.Recursive || s.CallsModule()) {
		add("handler_recursive_args", "are words for calls for whole directories, of which a program is told with handler_recursive", "remove it, or add handler_recursive = true")
	}
	if len(s.Changes) > 0 && s.ToldByLists() {
		add("handler_changes", "chooses what is told, and rsync's lists have what is below a directory as well", "remove it")
	}
	if s.PlainLists && s.Mode != "shell" {
		add("handler_plain_lists", "is about the lists of mode shell", "remove it")
	}
	if s.KeepLists && s.Mode == "so" {
		add("handler_keep_lists", "is about files with lists, and mode so has none", "remove it")
	}
}

// ChangeFields are the fields of lstat(2) that handler_changes knows.
func ChangeFields() []string {
	return []string{"dev", "ino", "mode", "nlink", "uid", "gid", "rdev", "size", "blksize", "blocks", "atime", "mtime", "ctime"}
}

// namesDestination says that the words of a handler have the target's path.
func (s Sync) namesDestination() bool {
	if len(s.HandlerArgs) == 0 && s.Mode == "direct" {
		return true
	}
	return slices.ContainsFunc(slices.Concat(s.HandlerArgs, s.ForWhole), func(w string) bool {
		return strings.Contains(strings.ReplaceAll(w, "%%", ""), "%destination-dir%") // %% is a per cent sign
	})
}

// WithoutRsync has no value of keys that are about lockstep's own rsync, but for
// what std says: defaults are for those who can use them.
func (s Sync) WithoutRsync(std Sync) Sync {
	if !s.Handled() {
		return s
	}
	s.Delete, s.MaxDeletePercent, s.MaxDeleteEntries, s.Xattrs = std.Delete, std.MaxDeletePercent, std.MaxDeleteEntries, std.Xattrs
	s.RsyncPath, s.RsyncArgs, s.BWLimit, s.SkipEqual, s.BackupDir = "", nil, 0, false, ""
	return s
}

package fromclsync

import (
	"slices"
	"testing"

	"lockstep/handler"
	"lockstep/test/sidebyside"
)

// change is something that lockstep does otherwise on purpose.
type change struct {
	what, was, is, why string
	defects            []int
}

func changes() []change {
	return []change{
		{"failures", "tried `--retries` times, then clsync ends with the handler's code; with `--ignore-failures` they are forgotten", "tried again, later and later, until they work; lockstep does not end",
			"a daemon that ends, or forgets, leaves a target that differs", []int{18}},
		{"a command that a signal ended, or that took too long", "counts as done; the time limit neither ends it nor says so", "counts as failed; at the limit its whole process group is ended",
			"nothing but success may be taken for it", []int{16, 19}},
		{"lost events", "not looked for", "the whole tree is compared, and it is counted", "no change may be lost in silence", []int{1}},
		{"renamed directories", "watched under their old names, or not at all", "followed by what they are", "the same", []int{2, 3}},
		{"delays", "`-t` counts from the first of all that wait, in whole seconds, and `-w` keeps passes apart", "`-t` counts for each path, in parts of a second; `-w` is the pause after a failure, at first",
			"a path that changed last need not wait for others, and nothing sleeps in between", nil},
		{"big files", "`-B0` makes all files big; all that is due goes in one call", "`-B0`: none is; they have a queue and commands of their own", "a large file must not keep small ones waiting", []int{6, 27}},
		{"rules: letters", "`W` is read as `w`, which decides watching too; `m` is not looked at", "`W` is walk and monitor, `m` is monitor; what is read from a rule file of clsync's is converted, with a remark at each place",
			"the letters mean what the manual says", []int{9}},
		{"rules: kinds", "links, FIFOs and sockets are files at the start only", "`f` is all that is no directory, always", "what was left out must not come later", []int{8}},
		{"rules: the root", "rejected, all is copied", "refused", "the opposite of what was written happened", []int{4}},
		{"rules: the file", "256 rules, the last line cut when no newline ends it; read anew at SIGHUP, and a fault in it crashes", "20,000 rules; all faults are told at once, with their lines; at SIGHUP all files are read anew, and the tree is compared by the new rules, or nothing changes",
			"a file is good or refused", []int{15, 24, 28}},
		{"rules: expressions", "back-references, and what glibc makes of them", "refused, as is all that takes more than linear time", "a name must not be able to make it slow", nil},
		{"mounts inside the source", "with `-X` left out at the start only", "with `-X` left out always, and kept on the target; without it the sync is held while one is missing", "an unmounted disk is no deletion", []int{10}},
		{"first pass", "`--full-initialsync` has it copy what the rules leave out, in rsync's modes, and leaves it out altogether in some others; what `--skip-initialsync` misses is not told", "`--full-initialsync` is the first pass that there is in any case, by the rules; with `--skip-initialsync` a warning says what is not copied, and all other whole passes are made (ADR 0030)",
			"what changed while nothing ran must not be missed unless that is asked for, and never in silence", []int{7}},
		{"configuration files", "unknown keys are passed over; `%label%` is what was set before; a circle of blocks spins", "unknown keys are errors (`--lenient`: warnings); values are made when all is read; a circle is told",
			"a key that is passed over in silence (`rules-path`) cost its users their rules", []int{21, 33}},
		{"relative paths", "some begin where clsync was started, some in the watched directory", "all begin where it was started", "one rule", []int{26}},
		{"background", "a fork, after which `%PID%` is another's", "stays in the foreground, with a warning", "a service manager does it better", []int{22}},
		{"lists", "files in a directory that others can know, with names that can be guessed; divided ones lose the excludes", "pipes and sealed memory; names, not patterns", "nobody can read or change what is to be copied", []int{5, 32}},
		{"names", "some are changed, dropped, or options to the handler", "names of any bytes are copied as they are", "a user who chooses names must not choose what is done", []int{11, 12, 13, 14}},
		{"times", "rsync takes times in the same second for equal: what it made just now keeps them, and a change that keeps the size is missed", "compared to the nanosecond", "a second is a long time", nil},
		{"the end", "children get SIGKILL at once; then a last pass", "commands may finish within `stop_timeout`; what waits is left to the first pass of the next start, but for `sync_on_quit` at SIGQUIT, within `stop_timeout`", "a pass that cannot be ended keeps a host from going down", []int{34}},
		{"hooks", "run as clsync does, as root, for as long as they like", "run in a jail like a handler's, for `hooks.timeout` at most; they cannot stop or start a service of the host", "code of others belongs into no process that has more to do", nil},
		{"`--max-iterations`", "counts the first pass twice, and each directory that is made", "counts batches that the target has acknowledged; what waits at the end is told", "the number says how often something was copied", []int{17}},
		{"deaths", "without its other half clsync goes on and does nothing", "what dies is started afresh, with what depends on it, and nothing is forgotten", "it works, or it says that it does not", []int{31}},
		{"the control socket", "clsync's own protocol; whoever can reach it may dump into any directory; `set` is answered and does nothing, and the library for it never received anything", "lines of JSON, to a process without any right (`lockstep ctl`, docs/control.md); dumps go below the runtime directory; `set` is refused",
			"what a client writes is hostile", []int{23, 29, 30}},
		{"deletions", "followed, whatever they are", "a pass over an empty source or another file system, or one that would delete more than half of the target and more than 1,000 entries, is held until a person agrees", "an unmounted disk is no deletion", nil},
		{"extended attributes, access control lists", "`-X` keeps the ones, `-A` the others", "either keeps both: `-A` those of `user.*`, `-X` file capabilities too", "one key says it: `xattrs`", nil},
		{"who may have written configuration and rules", "anybody", "root, or who starts lockstep", "it runs as root", nil},
		{"ssh", "all keys and settings of root's", "one key and one file of known hosts, both named", "no other key is tried, and no unknown host is believed", nil},
		{"`--modification-signature`", "remembers what is gone: what comes in its place is not told if it looks the same", "for handlers what is gone is forgotten, with all below it, and how often a path was not told is counted; lockstep's own rsync remembers nothing: with fields that include size and mtime it compares each file with the target's, by content too (`skip_equal`), and others are refused",
			"a deletion that was told, and no arrival after it, leaves a target that differs; what is on the target is known better than what was there", nil},
		{"calls for whole directories", "`CLSYNC_STATUS` stays initsync for those that come later", "it is running then", "the first pass and later ones can be told apart", nil},
		{"calls of a handler", "mode simple makes one for each event; with splitting=process they lack `CLSYNC_STATUS` and `CLSYNC_ITERATION`", "one for each path that changed, with all that happened to it; every call has both", "a write is one thing to do, and a handler must know what it is asked for", []int{20, 25}},
		{"processes", "the handler is root", "rsync, or the handler, is in a jail that holds the source, the target and little else; see SECURITY.md", "what reads hostile names must not be able to do more", nil},
		{"modules (`so`, `rsyncso`)", "loaded into clsync itself, and one that crashes ends it", "compiled anew against `include/clsync/clsync.h`, and loaded into a process of their own in the jail: a crash is one failed call; `clsyncapi_deinit` is hardly ever called",
			"code of others belongs into no process that has more to do", nil},
	}
}

// telling is what clsync tells handlers of, where lockstep tells something else. (How
// it is told is handler.Differences.)
func telling() []change {
	return []change{
		{"marks", "the kernel's bits as they came: 2 and 8 written, 64 and 128 moved, 1024 and 2048 for what was a directory",
			"256 came, 512 went, 8 written, 4 attributes; what came while it runs has 268, a directory 1073742084, however it came",
			"a rename is a name that went and one that came, and not every monitor tells more", nil},
		{"kinds", "mode so: `objtype_old` is what the event says; a directory that was moved out is a file now", "`objtype_old` is 0, unknown; `objtype_new` is what is there",
			"what was at each name is not remembered", nil},
		{"came", "rsync's lists: a directory that came has one line, `/DIR/***`, and excludes for what is rejected in it", "a line for each path in it that rules do not leave out",
			"what comes into it meanwhile is decided by rules as well", nil},
		{"gone", "each path of which the kernel tells, in rsync's lists with its own line alone, so that a directory that was moved out stays on the target",
			"the topmost one, in rsync's lists with all below it", "what was in it is gone with it", nil},
		{"above", "a directory in which names came or went is not told of, but in rsync's lists as the way to them", "it is told of with 4, the source too", "its times have changed", nil},
		{"unwalked", "rsync's lists: at the start, what is in a directory that rules do not let it go into is not excluded, so that rsync copies it", "it is excluded", "what is not gone into is left out, in every mode", nil},
		{"iteration", "`CLSYNC_ITERATION` begins with 1, in mode simple with 0, and counts directories that came too", "it counts jobs, from 0", "it says which calls belong together", nil},
		{"status", "mode simple: `CLSYNC_STATUS` is initsync until the first directory comes", "running, after the whole pass", "a handler must know what it is asked for", nil},
	}
}

// ofLists are the defects that the differences of handlers' lists leave behind.
func ofLists() map[string][]int {
	return map[string][]int{
		"escaping": {11}, "excludes": {5}, "parts": nil, "root": {4}, "dash": {13}, "macros": {12}, "newline": {14}, "return": nil, "percent": {12},
	}
}

// What is compared side by side with the real clsync (TestSideBySide in test/e2e) has
// the names of the guide's tables, and all of those of two of them.
func TestSideBySideKnowsTheGuide(t *testing.T) {
	var lists, told, other []string
	for _, d := range handler.Differences() {
		lists = append(lists, d.Name)
	}
	for _, c := range telling() {
		if c.what == "" || c.was == "" || c.is == "" || c.why == "" {
			t.Errorf("%+v", c)
		}
		told = append(told, c.what)
	}
	for _, c := range changes() {
		other = append(other, c.what)
	}
	names := func(rows []sidebyside.Row) (out []string) {
		for _, r := range rows {
			out = append(out, string(r))
		}
		return out
	}
	if got := names(sidebyside.Lists()); !slices.Equal(got, lists) {
		t.Errorf("compared are %q of %q", got, lists)
	}
	if got := names(sidebyside.Told()); !slices.Equal(got, told) {
		t.Errorf("compared are %q of %q", got, told)
	}
	for _, name := range names(slices.Concat(sidebyside.Changes(), sidebyside.Sometimes())) {
		if !slices.Contains(other, name) {
			t.Errorf("the guide has no row %q", name)
		}
	}
}

// Each defect that is no matter of what is not built yet is the reason of some
// difference, and each difference of package handler is known.
func TestChangesNameDefects(t *testing.T) {
	var named []int
	for _, c := range changes() {
		if c.what == "" || c.was == "" || c.is == "" || c.why == "" {
			t.Errorf("%+v", c)
		}
		named = append(named, c.defects...)
	}
	if n := len(handler.Differences()); n != len(ofLists()) {
		t.Errorf("%d differences of lists, of which %d are known", n, len(ofLists()))
	}
	for _, d := range handler.Differences() {
		of, ok := ofLists()[d.Name]
		if !ok {
			t.Errorf("the difference %q is not known", d.Name)
		}
		named = append(named, of...)
	}
	for _, d := range defects() {
		if slices.Contains(named, d.number) == (len(d.lacks) > 0) {
			t.Errorf("defect %d: %s, and some difference names it: %v", d.number, d.status(), slices.Contains(named, d.number))
		}
	}
	if slices.Max(named) > len(defects()) || slices.Min(named) < 1 {
		t.Errorf("%v", named)
	}
}

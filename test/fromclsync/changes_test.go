package fromclsync

import (
	"slices"
	"testing"

	"lockstep/handler"
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
		{"first pass", "left out by `--skip-initialsync`, and by `--full-initialsync` in some modes", "always; `--full-initialsync` with rules is refused", "what changed while nothing ran must not be missed", []int{7}},
		{"configuration files", "unknown keys are passed over; `%label%` is what was set before; a circle of blocks spins", "unknown keys are errors (`--lenient`: warnings); values are made when all is read; a circle is told",
			"a key that is passed over in silence (`rules-path`) cost its users their rules", []int{21, 33}},
		{"relative paths", "some begin where clsync was started, some in the watched directory", "all begin where it was started", "one rule", []int{26}},
		{"background", "a fork, after which `%PID%` is another's", "stays in the foreground, with a warning", "a service manager does it better", []int{22}},
		{"lists", "files in a directory that others can know, with names that can be guessed; divided ones lose the excludes", "pipes and sealed memory; names, not patterns", "nobody can read or change what is to be copied", []int{5, 32}},
		{"names", "some are changed, dropped, or options to the handler", "names of any bytes are copied as they are", "a user who chooses names must not choose what is done", []int{11, 12, 13, 14}},
		{"the end", "children get SIGKILL at once; then a last pass", "commands may finish within `stop_timeout`; what waits is left to the first pass of the next start", "a pass that cannot be ended keeps a host from going down", []int{34}},
		{"deaths", "without its other half clsync goes on and does nothing", "what dies is started afresh, with what depends on it, and nothing is forgotten", "it works, or it says that it does not", []int{31}},
		{"deletions", "followed, whatever they are", "a pass over an empty source or another file system, or one that would delete more than half of the target and more than 1,000 entries, is held until a person agrees", "an unmounted disk is no deletion", nil},
		{"extended attributes, access control lists", "`-X` keeps the ones, `-A` the others", "either keeps both: `-A` those of `user.*`, `-X` file capabilities too", "one key says it: `xattrs`", nil},
		{"who may have written configuration and rules", "anybody", "root, or who starts lockstep", "it runs as root", nil},
		{"ssh", "all keys and settings of root's", "one key and one file of known hosts, both named", "no other key is tried, and no unknown host is believed", nil},
		{"calls of a handler", "mode simple makes one for each event; with splitting=process they lack `CLSYNC_STATUS` and `CLSYNC_ITERATION`", "one for each path that changed, with all that happened to it; every call has both", "a write is one thing to do, and a handler must know what it is asked for", []int{20, 25}},
		{"processes", "the handler is root", "rsync, or the handler, is in a jail that holds the source, the target and little else; see SECURITY.md", "what reads hostile names must not be able to do more", nil},
		{"modules (`so`, `rsyncso`)", "loaded into clsync itself, and one that crashes ends it", "compiled anew against `include/clsync/clsync.h`, and loaded into a process of their own in the jail: a crash is one failed call; `clsyncapi_deinit` is hardly ever called",
			"code of others belongs into no process that has more to do", nil},
	}
}

// ofLists are the defects that the differences of handlers' lists leave behind.
func ofLists() map[string][]int {
	return map[string][]int{
		"escaping": {11}, "excludes": {5}, "parts": nil, "root": {4}, "dash": {13}, "macros": {12}, "newline": {14}, "return": nil, "percent": {12},
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

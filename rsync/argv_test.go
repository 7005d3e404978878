package rsync

import (
	"slices"
	"strings"
	"testing"

	"lockstep/ipc"
)

func TestArgvShape(t *testing.T) {
	o := Options{Source: "/src/", Target: "/dst", ACLs: true, Xattrs: XattrsUser, ConfineRoot: true,
		Excludes: []string{"- *.tmp"}}
	for kind := ipc.JobInitial; kind < ipc.NumJobKinds; kind++ {
		argv := Argv(kind, o)
		if argv[0] != "rsync" || !slices.Equal(argv[len(argv)-3:], []string{"--", "/src/", "/dst/"}) {
			t.Errorf("kind %d: %q", kind, argv)
		}
		for _, want := range []string{"-aH", "--numeric-ids", "--modify-window=-1", "--no-devices",
			"--specials", "--from0", "--acls", "--xattrs", "--filter=-x! user.*"} {
			if !slices.Contains(argv, want) {
				t.Errorf("kind %d lacks %s: %q", kind, want, argv)
			}
		}
		for _, never := range []string{"--ignore-errors", "--no-implied-dirs", "--inplace"} {
			if slices.Contains(argv, never) {
				t.Errorf("kind %d has %s", kind, never)
			}
		}
		listed := kind == ipc.JobList || kind == ipc.JobWide || kind == ipc.JobAttr || kind == ipc.JobKnock
		deletes := kind == ipc.JobInitial || kind == ipc.JobPrune
		for word, want := range map[string]bool{
			"--files-from=-": listed, "--delete-missing-args": listed, "--force": listed,
			"--confine-root=/src": listed, "--ignore-times": kind == ipc.JobList || kind == ipc.JobWide,
			"--delete": deletes, "--checksum": kind == ipc.JobContent, "--dry-run": kind == ipc.JobKnock,
			"--filter=merge -": !listed, "--filter=- *.tmp": !listed,
			"--existing": kind == ipc.JobPrune || kind == ipc.JobContent, "--ignore-existing": kind == ipc.JobPrune,
		} {
			if slices.Contains(argv, word) != want {
				t.Errorf("kind %d: %s is there: %v, want %v", kind, word, !want, want)
			}
		}
	}
	if Argv(ipc.JobNone, o) != nil || Argv(ipc.NumJobKinds, o) != nil {
		t.Error("a kind without a command has one")
	}
}

// What was seen to change is compared by content where that is asked for, never by
// size and time; no other command changes.
func TestArgvSkipEqual(t *testing.T) {
	for _, remote := range []Remote{{}, {Kind: SSH, User: "root", Host: "h", Port: 22}} {
		plain := Options{Source: "/a", Target: "/b", Remote: remote}
		skip := plain
		skip.SkipEqual = true
		for kind := ipc.JobInitial; kind < ipc.NumJobKinds; kind++ {
			before, after := Argv(kind, plain), Argv(kind, skip)
			if kind != ipc.JobList && kind != ipc.JobWide {
				if !slices.Equal(before, after) {
					t.Errorf("kind %d: %q, %q", kind, before, after)
				}
				continue
			}
			if slices.Contains(after, "--ignore-times") || !slices.Contains(after, "--checksum") || len(after) != len(before) {
				t.Errorf("kind %d: %q, %q", kind, before, after)
			}
			if stall := "--timeout=21600"; remote.Kind != Local && (slices.Contains(before, stall) || !slices.Contains(after, stall)) {
				t.Errorf("kind %d: a file that is summed up is taken for a stall: %q", kind, after)
			}
		}
	}
}

// Backups are made by each command that writes, of what it replaces by other content
// alone, in a directory that no command touches otherwise.
func TestArgvBackups(t *testing.T) {
	o := Options{Source: "/a", Target: "/b", BackupDir: "old", ConfineRoot: true, Excludes: []string{"+ /old"}}
	for kind := ipc.JobInitial; kind < ipc.NumJobKinds; kind++ {
		argv := Argv(kind, o)
		if !slices.Contains(argv, "--backup") || !slices.Contains(argv, "--backup-dir=old") || slices.Contains(argv, "--ignore-times") ||
			slices.Contains(argv, "--confine-root=/a") {
			t.Errorf("kind %d: %q", kind, argv)
		}
		if kind == ipc.JobInitial || kind == ipc.JobPrune || kind == ipc.JobContent {
			if kept, other := slices.Index(argv, "--filter=- /old"), slices.Index(argv, "--filter=+ /old"); kept < 0 || kept > other {
				t.Errorf("kind %d: what is in it can be deleted: %q", kind, argv)
			}
		}
	}
	if probe := Probe(o); !slices.Contains(probe, "--filter=- /old") {
		t.Errorf("what is in it is counted: %q", probe)
	}
	if o.Remote = (Remote{Kind: SSH, User: "root", Host: "h", Port: 22}); !slices.Contains(Argv(ipc.JobList, o), "--timeout=21600") {
		t.Error("a file that is summed up is taken for a stall")
	}
}

func TestWithMaxDelete(t *testing.T) {
	argv := []string{"rsync", "-a", "--", "/--/", "--"}
	got := WithMaxDelete(argv, 7)
	if want := []string{"rsync", "-a", "--max-delete=7", "--", "/--/", "--"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if len(argv) != 5 || MaxDelete(1<<40) != "--max-delete=2147483647" {
		t.Error(MaxDelete(1 << 40))
	}
	if got := WithMaxDelete([]string{"x"}, 1); !slices.Equal(got, []string{"x", "--max-delete=1"}) {
		t.Errorf("%q", got)
	}
}

func TestExitMeaning(t *testing.T) {
	documented := []int{0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15, 16, 19, 20, 21, 22, 23, 24, 25, 30, 35}
	for code := range 256 {
		m := ExitMeaning(code)
		if m.Text == "" {
			t.Errorf("code %d has no text", code)
		}
		if (m.Class == Done) != (code == 0) {
			t.Errorf("code %d: class %v", code, m.Class)
		}
		if m.Class == Person && m.Advice == "" {
			t.Errorf("code %d needs a person, but has no advice", code)
		}
		if slices.Contains(documented, code) && strings.Contains(m.Text, "undocumented") {
			t.Errorf("code %d is documented", code)
		}
	}
	if ExitMeaning(-1).Class != Retry || ExitMeaning(256).Class != Retry {
		t.Error("a code out of range")
	}
}

func TestSkipped(t *testing.T) {
	for text, want := range map[string]uint64{
		"": 0,
		"Deletions stopped due to --max-delete limit (6 skipped)\n":           6,
		"x\nDeletions stopped due to --max-delete limit (12 skipped)\nmore\n": 12,
		"xDeletions stopped due to --max-delete limit (6 skipped)\n":          0,
		"Deletions stopped due to --max-delete limit (-6 skipped)\n":          0,
		"Deletions stopped due to --max-delete limit (99999999999 skipped)":   0,
	} {
		if got := Skipped([]byte(text)); got != want {
			t.Errorf("Skipped(%q) = %d, want %d", text, got, want)
		}
	}
}

package transfer

import (
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"testing"

	"lockstep/config/keys"
	"lockstep/rules"
)

func TestRead(t *testing.T) {
	for words, want := range map[string]Asked{
		"%RSYNC-ARGS% /w/ /d/":                                                                     {HardLinks: true, Deletes: true, Devices: true, Target: "/d"},
		"%RSYNC-ARGS% -- /w/ u@h:d/":                                                               {HardLinks: true, Deletes: true, Devices: true, Target: "u@h:d"},
		"-rlptgo --include-from %INCLUDE-LIST-PATH% /w// /d":                                       {Target: "/d"},
		"-aD --no-devices --include-from=%INCLUDE-LIST-PATH% --exclude=* /w/ /d/":                  {Target: "/d"},
		"-a --no-devices -D --delete-after --include-from=%INCLUDE-LIST-PATH% --exclude * /w/ /d/": {Devices: true, Deletes: true, Target: "/d"},
		"-aHAXx --del --no-delete --no-acls --include-from=%INCLUDE-LIST-PATH% /w/ /d/":            {HardLinks: true, Devices: true, Xattrs: true, OneFileSystem: true, Target: "/d"},
		"--exclude=x%%y %RSYNC-ARGS% --zc=zstd --cc md5 --no-W -vvq /w/ /d/": {HardLinks: true, Deletes: true, Devices: true, Excludes: []string{"x%y"},
			Args: []string{"--compress-choice=zstd", "--checksum-choice=md5", "--no-whole-file"}, Mute: []string{"verbose", "quiet"}, Target: "/d"},
		"%RSYNC-ARGS% --backup --backup-dir=./decrement/ /w/ /d/":    {HardLinks: true, Deletes: true, Devices: true, BackupDir: "decrement", Target: "/d"},
		"%RSYNC-ARGS% -b --backup-dir decrement /w/ /d/":             {HardLinks: true, Deletes: true, Devices: true, BackupDir: "decrement", Target: "/d"},
		"%RSYNC-ARGS% -b --no-backup --backup-dir decrement /w/ /d/": {HardLinks: true, Deletes: true, Devices: true, Target: "/d"},
		"%RSYNC-ARGS% --backup-dir decrement /w/ /d/":                {HardLinks: true, Deletes: true, Devices: true, Target: "/d"},
	} {
		got, faults := Read(strings.Fields(words), "/w", true, noFile)
		if !reflect.DeepEqual(got, want) || len(faults) > 0 {
			t.Errorf("%s:\n%+v, want\n%+v\n%v", words, got, want, faults)
		}
	}
}

// A word is taken or told, and what is taken is what lockstep's own keys take.
func FuzzRead(f *testing.F) {
	for _, words := range []string{"%RSYNC-ARGS%|-z|/w/|/d/", "-aHe|ssh -i /k -oPort=5|--include-from|%INCLUDE-LIST-PATH%|/w/|h:/d", "--exclude|a/b|--bwlimit=5m|-B|--|-x", "-e|--rsh=|--exclude=|%%TYPE%|--zc"} {
		f.Add(words)
	}
	f.Fuzz(func(t *testing.T, words string) {
		got, faults := Read(strings.Split(words, "|"), "/w", false, noFile)
		for _, fault := range faults {
			if fault.Reason == "" || fault.Advice == "" {
				t.Errorf("%+v", fault)
			}
		}
		for _, w := range got.Args {
			if err := keys.CheckRsyncArg(w); err != nil {
				t.Error(err)
			}
		}
		if _, err := rules.New(got.Excludes); err != nil {
			t.Error(err)
		}
		if len(faults) == 0 && (got.Target == "" || !strings.Contains(words, "LIST-PATH%") && !strings.Contains(words, "%RSYNC-ARGS%")) {
			t.Errorf("%+v", got)
		}
	})
}

// Patterns of rsync's that gitignore reads in the same way, and others.
func TestGitignore(t *testing.T) {
	for p, want := range map[string]string{"*.tmp": "*.tmp", "/cache/": "/cache/", "a/b": "**/a/b", "a/b/": "**/a/b/", "/a/b": "/a/b", "x?": "x?", "a/": "a/",
		"": "", "/": "", "*": "", "a**": "", "!": "", "+ a": "", "[a]": "", `a\b`: "", " a": "", "a ": "", "#a": "", "a//b": ""} {
		if got, why := gitignore(p); got != want || (why == "") != (want != "") {
			t.Errorf("%q: %q, %s", p, got, why)
		}
	}
}

func TestBandwidth(t *testing.T) {
	for text, want := range map[string]uint64{"5": 5 << 10, "5k": 5 << 10, "5K": 5 << 10, "10m": 10 << 20, "1g": 1 << 30, "2MiB": 2 << 20, "2MB": 2e6, "3kb": 3e3, "7b": 7, "0": 0} {
		var r reader
		if r.limit(text); r.BWLimit != want || len(r.faults) > 0 {
			t.Errorf("%s: %d %v", text, r.BWLimit, r.faults)
		}
	}
	for _, text := range []string{"", "x", "1.5m", "5q", "5mm", "-1", "5ib"} {
		var r reader
		if r.limit(text); len(r.faults) != 1 {
			t.Errorf("%s: %d", text, r.BWLimit)
		}
	}
}

func noFile(string) ([]byte, error) { return nil, fs.ErrNotExist }

// A file of patterns is read as rsync reads it: a line each, without comments and
// empty lines; what cannot be said is refused with the pattern, not the line's place.
func TestExcludeFrom(t *testing.T) {
	read := func(text string, words ...string) (Asked, []Fault) {
		return Read(words, "/w", true, func(name string) ([]byte, error) {
			if name != "/x" {
				return nil, fs.ErrNotExist
			}
			return []byte(text), nil
		})
	}
	const words = "%RSYNC-ARGS% --exclude-from=/x /w/ /d"
	for _, words := range []string{words, "%RSYNC-ARGS% --exclude-from /x /w/ /d"} {
		got, faults := read("*.tmp\r\n# no\n\n;no\na/b\n*.tmp\n/last", strings.Fields(words)...)
		if len(faults) > 0 || !slices.Equal(got.Excludes, []string{"*.tmp", "**/a/b", "/last"}) || !slices.Equal(got.Copied, []string{"/x"}) {
			t.Errorf("%q: %q %+v", words, got.Excludes, faults)
		}
	}
	for text, want := range map[string]string{"+ x\n": "--exclude=+ x begins", "a\n!\n": "--exclude=! begins", "a\n[b]": "--exclude=[b] has a backslash or a bracket"} {
		if _, faults := read(text, strings.Fields(words)...); len(faults) != 1 || !strings.Contains(faults[0].Reason, want) {
			t.Errorf("%q: %+v", text, faults)
		}
	}
	for _, file := range []string{"", "-", "/y"} {
		if _, faults := read("", "%RSYNC-ARGS%", "--exclude-from="+file, "/w/", "/d"); len(faults) != 1 {
			t.Errorf("%q: %+v", file, faults)
		}
	}
}

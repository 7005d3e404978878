package keys

import (
	"fmt"
	"slices"
	"strings"

	"lockstep/config"
)

// RsyncArg is a word that rsync_args takes.
type RsyncArg struct {
	Word  string
	Value string // what follows "="; "" for nothing
	Why   string // it is useful and breaks no promise
	ok    func(value string) bool
}

// RsyncArgs is the list of what may be added to rsync's command line: words
// that name no file, no program and no shell, and after which a target is still
// what its source is, at each moment file by file.
func RsyncArgs() []RsyncArg {
	return []RsyncArg{
		{"--compress", "", "fewer bytes on a slow line, for more work on both sides", nil},
		{"--compress-choice", "zstd|lz4|zlibx|zlib|none", "the kind of compression; both sides must know it", oneOf("zstd", "lz4", "zlibx", "zlib", "none")},
		{"--compress-level", "0-22", "how hard to compress", isLevel},
		{"--whole-file", "", "no search for the parts of a file that changed: less work where the line is fast", nil},
		{"--no-whole-file", "", "send only the parts of a file that changed, also to a local target", nil},
		{"--checksum", "", "compare files by content, not by size and time, in whole passes: reads everything on both sides", nil},
		{"--checksum-choice", "xxh128|xxh3|xxh64|md5", "the kind of checksum; both sides must know it", oneOf("xxh128", "xxh3", "xxh64", "md5")},
		{"--fsync", "", "a file is on the disk before it counts as copied (rsync 3.2.4 on)", nil},
		{"--sparse", "", "long runs of zeros take no room on the target", nil},
	}
}

// refused words that people have reasons to try.
func refusedArgs() map[string]string {
	return map[string]string{
		"--inplace":         "writes into files that are in use and into names that were split from a common file",
		"--append":          "takes what is on the target for right",
		"--append-verify":   "writes into files that are in use",
		"--partial":         "leaves half a file under its real name",
		"--partial-dir":     "names a directory",
		"--delay-updates":   "makes directories of its own in the target",
		"--bwlimit":         "has a key of its own, bwlimit",
		"--backup":          "is said by a key of its own, backup_dir",
		"--backup-dir":      "has a key of its own, backup_dir",
		"--timeout":         "has a key of its own, timeout",
		"--port":            "is part of the target, rsync://HOST:PORT/MODULE",
		"--password-file":   "has a key of its own, password_file",
		"--exclude":         "has a key of its own, exclude",
		"--filter":          "leaves out files that lockstep takes for copied; use exclude",
		"--include":         "leaves out files that lockstep takes for copied; use exclude",
		"--max-size":        "leaves out files that lockstep takes for copied",
		"--min-size":        "leaves out files that lockstep takes for copied",
		"--update":          "leaves out files that lockstep takes for copied",
		"--existing":        "leaves out files that lockstep takes for copied",
		"--ignore-existing": "leaves out files that lockstep takes for copied",
		"--size-only":       "takes a change that keeps the size for none",
		"--ignore-errors":   "deletes what could not be read",
		"--delete":          "has a key of its own, delete",
		"--max-delete":      "has a key of its own, max_delete",
		"--dry-run":         "is a switch of the command line, not of a sync",
		"--rsh":             "names a program",
		"-e":                "names a program",
		"--rsync-path":      "names a program",
		"-z":                "is written --compress",
		"-c":                "is written --checksum",
		"-W":                "is written --whole-file",
		"-S":                "is written --sparse",
	}
}

func oneOf(words ...string) func(string) bool {
	return func(v string) bool { return slices.Contains(words, v) }
}

func isLevel(v string) bool {
	return len(v) == 1 && v >= "0" && v <= "9" || len(v) == 2 && v >= "10" && v <= "22" && config.Only(v, "")
}

// allowedArgs lists the words for a message.
func allowedArgs() string {
	var words []string
	for _, a := range RsyncArgs() {
		words = append(words, a.String())
	}
	return strings.Join(words, " ")
}

func (a RsyncArg) String() string {
	if a.Value == "" {
		return a.Word
	}
	return a.Word + "=" + a.Value
}

// CheckRsyncArg says why a word cannot be added to rsync's command line.
func CheckRsyncArg(word string) error { return readRsyncArg(&config.Config{}, word) }

func readRsyncArg(c *config.Config, v string) error {
	word, value, hasValue := strings.Cut(v, "=")
	list := RsyncArgs()
	i := slices.IndexFunc(list, func(a RsyncArg) bool { return a.Word == word })
	if i < 0 {
		if why, known := refusedArgs()[word]; known {
			return fmt.Errorf("%q is refused: it %s", word, why)
		}
		return fmt.Errorf("%q is not on the list of words that name no file, no program and no shell and keep the target equal", v)
	}
	switch a := list[i]; {
	case a.ok == nil && hasValue:
		return fmt.Errorf("%q takes no value", word)
	case a.ok != nil && !a.ok(value):
		return fmt.Errorf("%q needs a value %s", word, a.Value)
	}
	for _, old := range c.RsyncArgs {
		if stem(old) == stem(v) {
			return fmt.Errorf("%q stands beside %q, and only one of them can be meant", v, old)
		}
	}
	c.RsyncArgs = append(c.RsyncArgs, v)
	return nil
}

// stem is a word without its value and its "no".
func stem(v string) string {
	word, _, _ := strings.Cut(v, "=")
	return strings.TrimPrefix(strings.TrimPrefix(word, "--"), "no-")
}

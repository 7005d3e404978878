// Package lrsync reads the command line of lrsync, clsync's front end that takes
// rsync's words, into one for clsync.
//
// Trust: linked into the supervisor, which is root; what it reads is root's.
// Imports: clsync's table of options; no program is asked for its help.
//
// Invariant: every word goes somewhere: to clsync when its table has the long
// option in full, else to rsync; two words are the directories.
package lrsync

import (
	"fmt"
	"slices"
	"strings"

	"lockstep/clsync/cmdline"
	"lockstep/clsync/macro"
	"lockstep/clsync/table"
	"lockstep/clsync/words"
	"lockstep/config"
	"lockstep/internal/escape"
)

// Block is the block of a configuration file that is read when none is named.
const Block = "lrsync"

// Command is a command line that was read.
type Command struct {
	Source, Destination string
	Clsync              []string // options of clsync's that were among the words
	Rsync               []string // words for rsync

	Help, Version bool
	Show          bool // only the command for clsync is asked for

	rsync string // the program
	lists string // where lists are to be, or ""
}

// Environment are the variables that lrsync looks at: RSYNC_PATH is the rsync,
// CLSYNC_LISTS_PATH the directory of lists. Without it each run has one of its
// own: that of lrsync's, /tmp/.lrsync, is anybody's. CLSYNC_PATH has no meaning
// here, where clsync is the same program.
func Environment() []string { return []string{"RSYNC_PATH", "CLSYNC_LISTS_PATH"} }

// Read reads the words after the program's name; env is os.Getenv or alike. What
// is wrong comes as config.Problems.
func Read(args []string, env func(string) string) (Command, error) {
	r := reader{args: args, values: rsyncValues()}
	r.cmd.rsync, r.cmd.lists = env("RSYNC_PATH"), env("CLSYNC_LISTS_PATH")
	for len(r.args) > 0 {
		r.word(r.next())
	}
	if r.cmd.Help || r.cmd.Version {
		return r.cmd, nil
	}
	r.directories()
	return r.cmd, r.problems.OrNil()
}

type reader struct {
	args     []string
	values   values
	operands []string
	cmd      Command
	problems config.Problems
}

func (r *reader) next() string {
	word := r.args[0]
	r.args = r.args[1:]
	return word
}

func (r *reader) fail(thing, reason, advice string) {
	r.problems = append(r.problems, config.Problem{Thing: escape.Name(thing), Reason: reason, Advice: advice})
}

func (r *reader) word(word string) {
	name, _, joined := strings.Cut(word, "=")
	switch {
	case word == "--":
		r.operands, r.args = append(r.operands, r.args...), nil
	case word == "--help":
		r.cmd.Help = true
	case word == "--version":
		r.cmd.Version = true
	case word == "--clsync-command-only":
		r.cmd.Show = true
	case word == "-v" || word == "--verbose":
		r.cmd.Clsync = append(r.cmd.Clsync, "--verbose")
		r.cmd.Rsync = append(r.cmd.Rsync, word)
	case strings.HasPrefix(word, "--"):
		if o, ok := table.Lookup(name[2:]); ok && name != "--" && (o.Class != table.Own || o.Name == "print-config") {
			r.clsync(o, word, joined)
			return
		}
		r.rsync(word, !joined && slices.Contains(r.values.long, name))
	case strings.HasPrefix(word, "-") && word != "-":
		r.rsync(word, r.values.open(word))
	default:
		r.operands = append(r.operands, word)
	}
}

// clsync takes an option of clsync's, with the value that may follow.
func (r *reader) clsync(o table.Option, word string, joined bool) {
	switch own := []string{"watch-dir", "destination-dir", "mode", "sync-handler"}; {
	case slices.Contains(own, o.Name):
		r.fail("--"+o.Name, "is said by the form of this command", "take it out; the first word is the source, the second the destination, and RSYNC_PATH names the rsync")
		if o.Arg == cmdline.Required && !joined && len(r.args) > 0 {
			r.next()
		}
	case o.Arg != cmdline.Required || joined:
		r.cmd.Clsync = append(r.cmd.Clsync, word)
	case len(r.args) == 0:
		r.fail(word, "needs a value", "write "+word+"=VALUE")
	default:
		r.cmd.Clsync = append(r.cmd.Clsync, word+"="+r.next())
	}
}

func (r *reader) rsync(word string, value bool) {
	r.cmd.Rsync = append(r.cmd.Rsync, word)
	switch {
	case !value:
	case len(r.args) == 0:
		r.fail(word, "needs a value", "write one after it")
	default:
		r.cmd.Rsync = append(r.cmd.Rsync, r.next())
	}
}

func (r *reader) directories() {
	const form = "write lrsync [options] SOURCE DESTINATION"
	switch n := len(r.operands); {
	case n == 0:
		r.fail("", "neither a source nor a destination is given", form)
	case n == 1:
		r.fail("", "no destination is given", form)
	case n > 2:
		r.fail(r.operands[2], "is one word too many: there is one source and one destination", form+"; the value of an option is joined, --option=VALUE")
	}
	for i, word := range r.operands[:min(2, len(r.operands))] {
		if word == "" {
			r.fail("", []string{"the source", "the destination"}[i]+" is empty", form)
		}
	}
	if len(r.operands) >= 2 {
		r.cmd.Source, r.cmd.Destination = r.operands[0], r.operands[1]
	}
}

// Words are the command line for clsync. The source means its contents, with or
// without a trailing slash: clsync's lists begin there.
func (c Command) Words() []string {
	program := c.rsync
	if program == "" {
		program = "rsync"
	}
	// Percent signs of a person are no macros of clsync's.
	out := []string{"--mode=rsyncdirect", "--sync-handler=" + macro.Quote(program), "--watch-dir=" + macro.Quote(c.Source), "--destination-dir=" + macro.Quote(c.Destination)}
	if c.lists != "" {
		out = append(out, "--lists-dir="+macro.Quote(c.lists))
	}
	out = append(append(out, c.Clsync...), "--", "%RSYNC-ARGS%")
	for _, w := range c.Rsync {
		out = append(out, macro.Quote(w))
	}
	return append(out, "%watch-dir%/", "%destination-dir%/")
}

// String is that command line for a shell, as --clsync-command-only shows it.
func (c Command) String() string {
	head := "lockstep clsync"
	if !slices.ContainsFunc(c.Clsync, func(w string) bool { return strings.HasPrefix(w, "--config-block=") }) {
		head += " --config-block=" + Block
	}
	return fmt.Sprintf("%s %s", head, words.Shell(c.Words()))
}

// values are rsync's options that take a value in a word of its own.
type values struct {
	long  []string
	short string
}

// rsyncValues is of rsync 3.5.0. One that is newer has to be joined: --x=VALUE.
func rsyncValues() values {
	return values{
		long: strings.Fields(`--address --backup-dir --block-size --bwlimit --checksum-choice --checksum-seed --chmod --chown --compare-dest --compress-threads --confine-root --contimeout
			--compress-choice --compress-level --copy-as --copy-dest --debug --early-input --exclude --exclude-from --files-from --filter --groupmap --iconv
			--include --include-from --info --link-dest --log-file --log-file-format --max-alloc --max-delete --max-size --min-size --modify-window
			--only-write-batch --out-format --outbuf --partial-dir --password-file --port --protocol --read-batch --remote-option --rsh --rsync-path --skip-compress
			--sockopts --stderr --stop-after --stop-at --suffix --temp-dir --time-limit --timeout --usermap --write-batch --cc --zc --zl`),
		short: "@BMTef",
	}
}

// TakesNext says whether a word of rsync's, a long option or a letter after a dash,
// may have its value in the word after it.
func TakesNext(word string) bool {
	v := rsyncValues()
	return slices.Contains(v.long, word) || len(word) == 2 && v.open(word)
}

// open says whether the value of a cluster's last letter is in the next word.
func (v values) open(cluster string) bool {
	i := strings.IndexAny(cluster[1:], v.short)
	return i >= 0 && i+2 == len(cluster)
}

// Package transfer reads the words that clsync's users give rsync, into what
// lockstep's own rsync can be told.
//
// Trust: linked into the supervisor, which is root; what it reads is root's.
// Imports: the list of words that lockstep's rsync takes, clsync's readers; no os.
//
// Invariant: each word is something in Asked, or a Fault that names it.
package transfer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lockstep/clsync/lrsync"
	"lockstep/clsync/macro"
	"lockstep/config/keys"
	"lockstep/internal/escape"
)

// Fault is a word that cannot be taken, or one that is missing.
type Fault struct{ Reason, Advice string }

// Asked is what the words ask for.
type Asked struct {
	HardLinks, Deletes, Devices bool
	ACLs, Xattrs                bool
	OneFileSystem               bool

	Excludes  []string // patterns of gitignore's
	Copied    []string // files that the excludes were read from
	Late      bool     // some stand behind clsync's lists, where clsync's rsync did not heed them
	Args      []string // words of rsync_args
	BWLimit   uint64   // bytes a second; 0: none
	MaxDelete string   // a number; "": none is given
	SSH       SSH
	Password  string   // a file
	Mute      []string // words that only change what is shown
	BackupDir string   // a name in the target; "": none
	Target    string   // without a slash at its end
}

// SSH is what an ssh was to be told.
type SSH struct {
	Given                      bool
	Identity, KnownHosts, Port string
}

// reader goes through the words.
type reader struct {
	Asked
	file     func(name string) ([]byte, error)
	left     []word
	kept     map[string]bool // what -a stands for, and others that are on or off
	lists    bool            // rsync was to be given clsync's lists
	operands []string

	badBackups bool // that there are none was told
	faults     []Fault
}

// word is one with its names of the run left in it.
type word struct {
	text  string
	names bool
}

const archive = "recursive links perms times group owner"

// letters are rsync's, by their long names.
func letters() map[byte]string {
	return map[byte]string{
		'a': "archive", 'H': "hard-links", 'A': "acls", 'X': "xattrs", 'r': "recursive", 'l': "links", 'p': "perms", 't': "times",
		'g': "group", 'o': "owner", 'D': "D", 'x': "one-file-system", 's': "secluded-args", 'v': "verbose", 'q': "quiet", 'h': "human-readable",
		'i': "itemize-changes", 'z': "compress", 'W': "whole-file", 'c': "checksum", 'S': "sparse", 'e': "rsh", 'n': "dry-run", 'u': "update",
		'P': "partial", 'f': "filter", 'b': "backup",
	}
}

// Read reads the words for rsync, in which macro.RunTime names stand for what only
// clsync's run knows. watch is the directory that is followed; elsewhere says that
// the target is named by an option; file reads what a word names.
func Read(words []string, watch string, elsewhere bool, file func(name string) ([]byte, error)) (Asked, []Fault) {
	r := reader{kept: map[string]bool{}, file: file}
	for _, w := range words {
		r.left = append(r.left, join(w))
	}
	for len(r.left) > 0 {
		r.next()
	}
	r.finish()
	r.places(watch, elsewhere)
	return r.Asked, r.faults
}

// join undoes the quotes of percent signs, and keeps the names.
func join(text string) word {
	var w word
	for _, p := range macro.Cut(text) {
		if p.Name != "" {
			w.text += "%" + p.Name + "%"
			w.names = true
			continue
		}
		w.text += p.Text
	}
	return w
}

func (r *reader) pop() word {
	w := r.left[0]
	r.left = r.left[1:]
	return w
}

// fail refuses a word.
func (r *reader) fail(w, reason, advice string) {
	if w != "" {
		reason = escape.Name(w) + " " + reason
	}
	r.faults = append(r.faults, Fault{reason, advice})
}

func (r *reader) next() {
	w := r.pop()
	switch name, value, joined := strings.Cut(w.text, "="); {
	case w.names && w.text == "%RSYNC-ARGS%":
		r.lists, r.Deletes = true, true
		r.keep("archive", "hard-links")
	case w.names && (name == "--include-from" || name == "--exclude-from") && joined:
		r.list(name, word{text: value, names: true})
	case w.names:
		r.fail(w.text, "has no meaning for lockstep's own rsync", "write %RSYNC-ARGS% in place of clsync's lists")
	case w.text == "--":
		for len(r.left) > 0 {
			r.operand(r.pop())
		}
	case strings.HasPrefix(w.text, "--"):
		r.long(name, value, joined)
	case strings.HasPrefix(w.text, "-") && w.text != "-":
		r.cluster(w.text[1:])
	default:
		r.operand(w)
	}
}

func (r *reader) operand(w word) {
	if w.names {
		r.fail(w.text, "has no meaning for lockstep's own rsync", "name the source and the target")
		return
	}
	r.operands = append(r.operands, w.text)
}

// long is an option, with the word after it when that is its value.
func (r *reader) long(name, value string, joined bool) {
	if !joined && lrsync.TakesNext(name) {
		if len(r.left) == 0 {
			r.fail(name, "needs a value", "write "+name+"=VALUE")
			return
		}
		w := r.pop()
		if name == "--include-from" || name == "--exclude-from" {
			r.list(name, w)
			return
		}
		if w.names {
			r.fail(w.text, "has no meaning for lockstep's own rsync", "write a value")
			return
		}
		value, joined = w.text, true
	}
	r.take(name[2:], value, joined)
}

// cluster is letters, of which the last may have a value.
func (r *reader) cluster(text string) {
	for i := range len(text) {
		l := text[i : i+1]
		if !lrsync.TakesNext("-" + l) {
			name, ok := letters()[text[i]]
			if !ok {
				r.refuse("-"+l, "")
				continue
			}
			r.take(name, "", false)
			continue
		}
		value := text[i+1:]
		if value == "" && len(r.left) > 0 {
			value = r.pop().text
		}
		if name, ok := letters()[text[i]]; ok {
			r.take(name, value, true)
		} else {
			r.refuse("-"+l, "")
		}
		return
	}
}

// list is a file of rules: one of clsync's is what lockstep does in its own way.
func (r *reader) list(name string, w word) {
	switch {
	case w.names && name == "--include-from" && w.text == "%INCLUDE-LIST-PATH%":
		r.lists = true
	case w.names && name == "--exclude-from" && w.text == "%EXCLUDE-LIST-PATH%":
	case w.names:
		r.fail(name+"="+w.text, "has no meaning for lockstep's own rsync", "write %RSYNC-ARGS% in place of clsync's lists")
	default:
		r.patterns(name, w.text)
	}
}

// patterns is a file of patterns: a line each, as rsync reads it (rsync(1),
// --exclude-from), once, when the words are compiled.
func (r *reader) patterns(name, file string) {
	if name == "--include-from" {
		r.fail(name, "takes in again what an --exclude left out, which lockstep's excludes cannot say", "write both as rules in --rules-file")
		return
	}
	if file == "" || file == "-" {
		r.fail(name, "names no file", "write --exclude-from=FILE")
		return
	}
	data, err := r.file(file)
	if err != nil {
		r.fail(name+"="+file, "cannot be read: "+err.Error(), "name a file that is there and that only root can write")
		return
	}
	r.Copied = append(r.Copied, file)
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimRight(line, "\r\n"); line != "" && line[0] != '#' && line[0] != ';' {
			r.exclude(line)
		}
	}
}

// take is an option by its long name.
func (r *reader) take(name, value string, has bool) {
	switch name {
	case "archive", "hard-links", "acls", "xattrs", "recursive", "links", "perms", "times", "group", "owner", "D", "devices", "no-devices", "specials":
		r.keep(name)
	case "delete", "del", "delete-before", "delete-during", "delete-delay", "delete-after":
		r.Deletes = true
	case "one-file-system":
		r.OneFileSystem = true
	case "numeric-ids", "force", "secluded-args", "protect-args":
		// so in any case
	case "no-delete":
		r.Deletes = false
	case "no-acls", "no-xattrs":
		r.kept[name[len("no-"):]] = false
	case "verbose", "quiet", "human-readable", "itemize-changes", "progress", "stats", "info", "debug", "out-format", "no-motd", "outbuf":
		if !slices.Contains(r.Mute, name) {
			r.Mute = append(r.Mute, name)
		}
	case "backup", "no-backup":
		r.kept["backup"] = name == "backup"
	case "backup-dir":
		r.backups(value)
	case "exclude":
		r.exclude(value)
	case "include-from", "exclude-from":
		r.list("--"+name, word{text: value})
	case "bwlimit":
		r.limit(value)
	case "max-delete":
		if _, err := strconv.ParseUint(value, 10, 31); err != nil {
			r.fail("--max-delete", escape.Name(value)+" is not a number of entries", "write one")
			return
		}
		r.MaxDelete = value
	case "rsh":
		r.shell(value)
	case "password-file":
		if r.Password = value; value == "" {
			r.fail("--password-file", "names no file", "write --password-file=FILE")
		}
	case "timeout", "contimeout":
		r.fail("--"+name, "is lockstep's to say: a connection that is silent for long is given up", "take it out; --timeout-sync bounds the whole command")
	case "zc", "zl", "cc", "no-W":
		r.take(map[string]string{"zc": "compress-choice", "zl": "compress-level", "cc": "checksum-choice", "no-W": "no-whole-file"}[name], value, has)
	default:
		w := "--" + name
		if has {
			w += "=" + value
		}
		if err := keys.CheckRsyncArg(w); err != nil {
			r.refuse(w, err.Error())
		} else if !slices.Contains(r.Args, w) {
			r.Args = append(r.Args, w)
		}
	}
}

func (r *reader) refuse(w, reason string) {
	if reason == "" {
		reason = fmt.Sprintf("%q is not on the list of words that keep the target equal to the source", w)
	}
	r.fail("", reason, "take it out; docs/config.md has the list (rsync_args)")
}

func (r *reader) keep(names ...string) {
	for _, n := range names {
		if n == "archive" {
			r.keep(append(strings.Fields(archive), "D")...)
		}
		r.kept[n] = true
	}
	if n := names[len(names)-1]; n == "D" || n == "devices" {
		r.kept["no-devices"] = false
	}
}

// finish looks at the whole.
func (r *reader) finish() {
	if !r.lists {
		r.fail("", "there are no lists of clsync's among them: it would call rsync for each path, with the whole tree", "write %RSYNC-ARGS% before the directories")
	}
	var lacks []string
	for _, n := range strings.Fields(archive) {
		if !r.kept[n] {
			lacks = append(lacks, "--"+n)
		}
	}
	if len(lacks) > 0 {
		r.fail("", "there is no "+strings.Join(lacks, " ")+", and lockstep always keeps these", "write -a")
	}
	switch has := r.kept["backup"]; {
	case !has:
		r.BackupDir = "" // which does nothing alone
	case r.BackupDir == "" && !r.badBackups:
		r.fail("--backup", "without --backup-dir leaves old files beside new ones in the target, which would not be what its source is any more", adviseBackups)
	}
	r.HardLinks, r.ACLs, r.Xattrs = r.kept["hard-links"], r.kept["acls"], r.kept["xattrs"]
	r.Devices = (r.kept["D"] || r.kept["devices"]) && !r.kept["no-devices"]
}

// places looks at source and target.
func (r *reader) places(watch string, elsewhere bool) {
	const form = "end them with %watch-dir%/ %destination-dir%/"
	switch {
	case len(r.operands) != 2:
		r.fail("", fmt.Sprintf("they name %d places, and not a source and a target", len(r.operands)), form)
	case r.operands[0] == watch && watch != "/":
		r.fail(r.operands[0], "without a slash behind it is the directory itself, which clsync's lists do not match", form)
	case strings.TrimRight(r.operands[0], "/") != strings.TrimRight(watch, "/"):
		r.fail(r.operands[0], "is not the directory that is followed", form)
	default:
		r.Target = strings.TrimRight(r.operands[1], "/")
		if r.Target == "" || !elsewhere && !strings.Contains(r.Target, ":") && r.Target[0] != '/' {
			r.fail(r.operands[1], "is not the whole path of a target", "name it by --destination-dir=DIR")
			r.Target = ""
		}
	}
}

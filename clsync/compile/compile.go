// Package compile makes a lockstep.toml of what clsync was told.
//
// Trust: linked into the supervisor, which is root; what it reads is root's. The
// rules are read by a function that the caller gives, who checks whose they are.
// Imports: clsync's readers, the table of lockstep's keys, the language of rules, and
// rootid for the name of a mirror; it looks at no file.
//
// Invariants: one table (Outcomes) says what becomes of each option; one that asks
// for what lockstep has not is refused, with all others, and yields no text; one that
// has no effect, and each place where lockstep does otherwise than clsync, is a remark
// in the text; what was given and has no effect is a warning as well. The same
// options make the same text.
package compile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"lockstep/clsync/options"
	"lockstep/clsync/table"
	"lockstep/clsync/transfer"
	"lockstep/config"
	"lockstep/config/field"
	"lockstep/internal/escape"
	"lockstep/rootid"
)

// Result is what lockstep is to do.
type Result struct {
	Text     []byte          // a lockstep.toml
	Run      config.Run      // what belongs to the command line of `lockstep run`
	Warnings config.Problems // each told once; with faults, too
}

// Compile compiles what options.Read has read. readFile reads the rules. What is
// refused comes as config.Problems, all at once.
func Compile(o *options.Options, readFile func(path string) ([]byte, error)) (Result, error) {
	c := &compiler{o: o, read: readFile, warnings: slices.Clone(o.Warnings)}
	c.outcomes()
	if handled := byHandler(o); handled || c.engine() {
		if handled {
			c.handler()
		} else {
			c.words()
			c.places()
		}
		c.keeps()
		c.signature()
		c.ids()
		c.times()
		c.rules()
		c.files()
		c.end()
	}
	c.messages()
	c.once()
	c.signals()
	result := Result{Run: c.run, Warnings: c.warnings}
	if err := c.problems.OrNil(); err != nil {
		return result, err
	}
	result.Text = c.write()
	return result, nil
}

type compiler struct {
	o    *options.Options
	read func(string) ([]byte, error)
	run  config.Run

	asked    transfer.Asked // of the words for rsync
	target   config.Target
	remarks  []string // on the whole
	service  []entry
	sync     []entry
	problems config.Problems
	warnings config.Problems
}

// where is the place of an option, and its name there.
func (c *compiler) where(name string) (config.Pos, string) {
	at := c.o.Given[name]
	switch {
	case at.File != "":
		return at, name
	case name == table.Arguments:
		return at, "the words for rsync"
	}
	return at, "--" + name
}

func (c *compiler) given(name string) bool {
	_, ok := c.o.Given[name]
	return ok
}

func (c *compiler) fail(name, reason, advice string) {
	at, thing := c.where(name)
	c.problems = append(c.problems, config.Problem{Pos: at, Thing: thing, Reason: reason, Advice: advice})
}

// warn tells a person, and remarks on it in the text.
func (c *compiler) warn(name, reason, advice string) {
	at, thing := c.where(name)
	c.warnings = append(c.warnings, config.Problem{Pos: at, Thing: thing, Reason: reason, Advice: advice})
}

// remark is a line before all keys.
func (c *compiler) remark(text string) { c.remarks = append(c.remarks, text) }

// outcomes goes through the table: refuses, warns, remarks.
func (c *compiler) outcomes() {
	for _, x := range Outcomes() {
		at, ok := c.o.Given[x.Name]
		if !ok {
			continue
		}
		asks := x.asks == nil || x.asks(c.o)
		switch {
		case x.Kind == Refused && asks:
			c.fail(x.Name, "asks for "+x.Help+", which is not built yet", x.Advice)
		case x.Kind == Refused:
			c.remark(option(at, x.Name) + ": asks for nothing here")
		case x.Kind == Already && x.asks != nil && asks:
			c.warn(x.Name, "asks for less protection than there is: "+x.Help, "take it out: nothing weakens it")
		case x.Kind == Already:
			c.remark(option(at, x.Name) + ": so in any case: " + x.Help)
		case x.Kind == Useless && asks:
			c.warn(x.Name, "has no effect here: "+x.Help, x.Advice)
		}
	}
}

func option(at config.Pos, name string) string {
	if at.File != "" {
		return fmt.Sprintf("%s (line %d)", name, at.Line)
	}
	return "--" + name
}

// engine says whether it is lockstep's own rsync that is asked for.
func (c *compiler) engine() bool {
	const others = "programs with the words of rsync are not started by lockstep yet"
	switch {
	case c.o.SyncHandler == "rsync":
		return true
	case !strings.HasPrefix(c.o.SyncHandler, "/") || !transfer.IsRsync(pathBase(c.o.SyncHandler)):
		c.fail("sync-handler", escape.Name(c.o.SyncHandler)+" is not called rsync, and "+others,
			"name an rsync by its absolute path, or keep clsync for this one")
		return false
	}
	return true
}

// places are the name, the source, the target, and the lock.
func (c *compiler) places() {
	o := c.o
	c.put("name", c.name())
	c.put("source", c.quote("watch-dir", o.WatchDir))
	where, name := o.DestinationDir, "destination-dir"
	if given := c.asked.Target; where == "" {
		where = given
	} else if given != "" && given != strings.TrimRight(where, "/") {
		c.fail(name, "is "+escape.Name(where)+", and the words of rsync name "+escape.Name(given), "name one of them")
	}
	target, err := config.ParseTarget(where)
	if err != nil {
		p := config.Problem{Reason: err.Error(), Advice: "name a directory: --destination-dir=DIR"}
		errors.As(err, &p)
		c.fail(name, escape.Name(where)+": "+p.Reason, p.Advice)
	}
	c.target = target
	c.put("targets", "["+c.quote(name, where)+"]")
	c.put("cross_mounts", fmt.Sprint(!o.OneFileSystem && !c.asked.OneFileSystem), c.mountRemark())
	if c.given("monitor") {
		c.put("monitor", c.quote("monitor", o.Monitor))
	}
	c.service = append(c.service, entry{key: "runtime_dir", value: quoted("/run/lockstep/clsync-" + rootid.Key(o.WatchDir, where)),
		remarks: []string{"beside others of its kind, as with clsync"}})
	c.remote()
	if o.SyncHandler != "rsync" {
		c.put("rsync_path", c.quote("sync-handler", o.SyncHandler))
	} else if c.given("sync-handler") {
		c.remark("--sync-handler: rsync is not looked for in PATH: it is /usr/bin/rsync")
	}
	c.transfer()
}

func (c *compiler) mountRemark() string {
	if c.o.OneFileSystem || c.asked.OneFileSystem {
		return "what is mounted inside the source is left out, and kept on the target: at the start and later"
	}
	return "without --exclude-mount-points what is mounted inside the source is copied; while it is missing or another one, the sync is held"
}

// name is that of the sync: the label, if that can be one.
func (c *compiler) name() string {
	label := c.o.Label
	switch {
	case !c.given("label") && !c.hooked():
		return ""
	case len(label) > config.MaxName || !config.Only(label, "._-") || strings.Trim(label[:min(1, len(label))], "._-") == "":
		c.warn("label", `"`+escape.Name(label)+`" cannot be the name of a sync, which is that of the directory`, "use at most 64 letters, digits and . _ -, beginning with a letter or digit")
		return ""
	}
	return quoted(label)
}

// once is what belongs to the command line, not to a file.
func (c *compiler) once() {
	for _, one := range []struct {
		name string
		on   bool
	}{{"only-initialsync", c.o.OnlyInitialSync}, {"exit-on-no-events", c.o.ExitOnNoEvents}} {
		if one.on {
			c.run.Once = true
			c.remark("--" + one.name + ": as lockstep run --once: it ends when the target is in step, with 1 when something was left out, is held or failed")
		}
	}
}

// files are those by which other programs know it, or hold it back.
func (c *compiler) files() {
	o := c.o
	if o.StatusFile != "" {
		c.put("status_file", c.quote("status-file", o.StatusFile),
			`rehashing and "thread gc" are never said: there are no such states; and the file is removed at the end`)
	}
	if o.StandbyFile != "" {
		c.put("standby_file", c.quote("standby-file", o.StandbyFile), "looked for before a command begins, and each second while one waits")
	}
	if o.PIDFile != "" {
		c.service = append(c.service, entry{key: "pid_file", value: c.quote("pid-file", o.PIDFile)})
	}
	if o.Socket != "" {
		c.control()
	}
}

// transfer is how rsync is to copy.
func (c *compiler) transfer() {
	r := c.asked
	c.put("devices", fmt.Sprint(r.Devices))
	switch {
	case r.Xattrs:
		c.put("xattrs", quoted("all"), "-X: those of user.* and file capabilities, and the access control lists")
	case r.ACLs:
		c.put("xattrs", quoted("user"), "-A: the extended attributes of user.* as well")
	default:
		c.put("xattrs", quoted("none"), `without -A and -X neither extended attributes nor access control lists are kept; "user" keeps them`)
	}
	kept, held := "what the rules or exclude leave out is kept on the target", ""
	if r.MaxDelete == "" {
		held = "a pass that would delete more than half of the target and more than 1,000 entries is held: max_delete, which clsync has not"
	}
	if r.Deletes {
		c.put("delete", quoted("always"), kept, held)
	} else {
		c.put("delete", quoted("never"), "there is no --delete among the words for rsync")
	}
	if r.MaxDelete != "" {
		c.put("max_delete", "{ percent = 0, entries = "+r.MaxDelete+" }", "--max-delete: a pass that would delete more is held; rsync alone deletes so many of them")
	}
	if len(r.Excludes) > 0 {
		c.put("exclude", c.list("--", r.Excludes))
	}
	if len(r.Args) > 0 {
		c.put("rsync_args", c.list("--", r.Args))
	}
	if r.BackupDir != "" {
		c.put("backup_dir", quoted(r.BackupDir), "--backup-dir: left out of the copy as well; a changed file is compared by content, so that no copy of the same pushes an older version out")
	}
	if r.BWLimit > 0 {
		c.put("bwlimit", quoted(field.FormatSize(r.BWLimit)))
	}
}

// list is words of an option as a value.
func (c *compiler) list(name string, words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = c.quote(name, w)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

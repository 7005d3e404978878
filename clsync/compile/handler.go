package compile

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"lockstep/clsync/options"
	"lockstep/clsync/table"
	"lockstep/clsync/transfer"
	"lockstep/config"
	"lockstep/internal/escape"
	"lockstep/rootid"
)

// byHandler says that a program, or a function, is called as clsync calls it, and
// not lockstep's own rsync.
func byHandler(o *options.Options) bool {
	switch o.Mode {
	case options.Simple, options.Direct, options.Shell, options.SO, options.RsyncSO:
		return true
	case options.RsyncShell:
		return !transfer.IsRsync(pathBase(o.SyncHandler))
	}
	return false
}

func pathBase(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// handler is the program with its words, or the shared object, and where it works.
func (c *compiler) handler() {
	o := c.o
	jail := "in a jail: no network, no /proc, of the host /usr and its like, and what it can write to is the target"
	if o.DestinationDir == "" {
		jail = "in a jail: no network, no /proc, of the host /usr and its like, and it can write to nothing but a directory in memory"
	}
	jail += "; network = true, handler_reads and handler_writes give it more, in a file of one's own"
	what, remark := "program", "it runs "+jail
	if o.Mode.Module() {
		what = "shared object"
		remark = "its functions are called " + jail + "; it has to be compiled anew, against lockstep's clsync/clsync.h (include/README.md)"
	}
	if !strings.HasPrefix(o.SyncHandler, "/") {
		c.fail("sync-handler", escape.Name(o.SyncHandler)+" is not looked for in PATH", "name the "+what+" by its absolute path")
	}
	label := quoted(o.Label) // the handler is told of it
	if c.given("label") {
		label = c.name()
	}
	if label == "" {
		c.fail("label", `"`+escape.Name(o.Label)+`" cannot be the name of a sync, which the handler is told in its place`, "use at most 64 letters, digits and . _ -, beginning with a letter or digit")
	}
	c.put("name", label)
	c.put("source", c.quote("watch-dir", o.WatchDir))
	c.handlerTarget()
	c.put("cross_mounts", strconv.FormatBool(!o.OneFileSystem), c.mountRemark())
	if c.given("monitor") {
		c.put("monitor", c.quote("monitor", o.Monitor))
	}
	c.put("devices", "true", "the handler is told of them too; of sockets it is not")
	c.put("mode", quoted(string(o.Mode)))
	c.put("handler", c.quote("sync-handler", o.SyncHandler), remark)
	if !o.Mode.Module() { // that words for one have no effect is told by who reads them
		c.put("handler_args", c.list("--", o.Arguments))
	}
	c.wholes()
	if o.PreferInclude && o.Mode.Rsync() {
		c.fail("rsync-prefer-include", "asks for lists without excludes, which a handler is not given yet", "take it out, and have the handler use the exclude list")
	}
	c.ignored()
}

// handlerTarget is the one directory to which the handler can write, if there is one.
func (c *compiler) handlerTarget() {
	const name = "destination-dir"
	where := c.o.DestinationDir
	runtime := entry{key: "runtime_dir", remarks: []string{"beside others of its kind, as with clsync"}}
	if where == "" {
		c.target = config.Target{Kind: config.None}
		runtime.value = quoted("/run/lockstep/clsync-" + rootid.Key(c.o.WatchDir, string(c.o.Mode)+"\x00"+c.o.SyncHandler+"\x00"+c.o.Label))
		c.service = append(c.service, runtime)
		return
	}
	target, err := config.ParseTarget(where)
	switch {
	case err != nil:
		p := config.Problem{Reason: err.Error(), Advice: "name a directory: --destination-dir=DIR"}
		errors.As(err, &p)
		c.fail(name, escape.Name(where)+": "+p.Reason, p.Advice)
	case target.Remote():
		c.fail(name, escape.Name(where)+" is on another host, and a handler has no network", "use mode rsyncdirect; or take it out, and let the handler reach it by itself, with network = true in a file of lockstep's own (docs/handlers.md)")
	}
	c.target = target
	c.put("targets", "["+c.quote(name, where)+"]")
	runtime.value = quoted("/run/lockstep/clsync-" + rootid.Key(c.o.WatchDir, where))
	c.service = append(c.service, runtime)
}

// wholes are calls for whole directories, changes that are followed, and lists of paths
// alone.
func (c *compiler) wholes() {
	o := c.o
	const name = "have-recursive-sync"
	switch {
	case !o.RecursiveSync:
	case o.Mode == options.Simple:
		c.fail(name, "asks for calls for whole directories, and mode simple has a call for each path", "take it out, or choose mode direct or shell")
	case o.RulesFile != "":
		c.fail(name, "asks for calls for whole directories, which could not say what the rules leave out in them", "take it out, or the rules")
	default:
		c.put("handler_recursive", "true", "what was in a directory that came is not told path by path; CLSYNC_STATUS is initsync for the whole source alone, and running for all that comes later")
		if c.given(table.Recursive) && !o.Mode.Module() { // else they are the mode's
			c.put("handler_recursive_args", c.list(table.Recursive, o.RecursiveArguments))
		}
	}
	switch {
	case !o.SimpleLists:
	case o.Mode != options.Shell:
		c.remark("--synclist-simplify: asks for nothing here: lists of lines have mode shell alone")
	default:
		c.put("handler_plain_lists", "true")
	}
}

// keeps has lists stay where a person finds them.
func (c *compiler) keeps() {
	const name = "dont-unlink-lists"
	switch {
	case !c.o.KeepLists:
	case !byHandler(c.o):
		c.warn(name, "has no effect here: the lists of lockstep's rsync go through pipes, and none is a file", "take it out")
	case c.o.Mode == options.SO:
		c.remark("--" + name + ": asks for nothing here: mode so has no lists")
	default:
		c.put("handler_keep_lists", "true", "copies of the newest 16 lists, in the directory lists of the runtime_dir above, until the next start; clsync kept all")
	}
}

// ignored are the exit codes that are no failure.
func (c *compiler) ignored() {
	var codes []string
	for _, code := range c.o.IgnoreExitCodes {
		switch own := strconv.Itoa(code); {
		case code == 0, c.o.Mode.Rsync() && code == 24, slices.Contains(codes, quoted(own)):
		case code < 0 || code > 255:
			c.warn("ignore-exitcode", own+" is no exit code of a program", "take it out")
		default:
			codes = append(codes, quoted(own))
		}
	}
	if len(codes) > 0 {
		c.put("ignore_exit_codes", "["+strings.Join(codes, ", ")+"]")
	}
}

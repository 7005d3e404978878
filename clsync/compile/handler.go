package compile

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"lockstep/clsync/options"
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
		return !isRsync(pathBase(o.SyncHandler))
	}
	return false
}

func pathBase(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// handler is the program with its words, or the shared object, and where it works.
func (c *compiler) handler() {
	o := c.o
	const jail = "in a jail: no network, no /proc, of the host /usr and its like, and what it can write to is the target"
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
		var words []string
		for _, w := range o.Arguments {
			words = append(words, c.quote("--", w))
		}
		c.put("handler_args", "["+strings.Join(words, ", ")+"]")
	}
	if o.PreferInclude && o.Mode.Rsync() {
		c.fail("rsync-prefer-include", "asks for lists without excludes, which a handler is not given yet", "take it out, and have the handler use the exclude list")
	}
	c.ignored()
}

// handlerTarget is the one directory to which the handler can write.
func (c *compiler) handlerTarget() {
	const name = "destination-dir"
	where := c.o.DestinationDir
	target, err := config.ParseTarget(where)
	switch {
	case where == "":
		c.fail(name, "is not given: it is the one directory to which the handler can write", "name the directory: --destination-dir=DIR")
	case err != nil:
		p := config.Problem{Reason: err.Error(), Advice: "name a directory: --destination-dir=DIR"}
		errors.As(err, &p)
		c.fail(name, escape.Name(where)+": "+p.Reason, p.Advice)
	case target.Remote():
		c.fail(name, escape.Name(where)+" is on another host, and a handler has no network", "use mode rsyncdirect, or keep clsync for this one")
	}
	c.target = target
	c.put("targets", "["+c.quote(name, where)+"]")
	c.service = append(c.service, entry{key: "runtime_dir", value: quoted("/run/lockstep/clsync-" + rootid.Key(c.o.WatchDir, where)),
		remarks: []string{"beside others of its kind, as with clsync"}})
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

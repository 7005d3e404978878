package compile

import (
	"strconv"
	"strings"
)

// hooked says that a program is to be called at the end.
func (c *compiler) hooked() bool { return c.o.PreExitHook != "" || c.o.ExitHook != "" }

// end is what is done before the end, and when it comes by itself.
func (c *compiler) end() {
	c.hooks()
	c.iterations()
	c.first()
	if c.o.SyncOnQuit {
		c.put("sync_on_quit", "true", "--sync-on-quit: within stop_timeout; what waits at SIGTERM is left to the first pass of the next start")
	}
}

func (c *compiler) hooks() {
	o := c.o
	var parts []string
	for _, one := range []struct{ option, key, path string }{{"pre-exit-hook", "pre_exit", o.PreExitHook}, {"exit-hook", "exit", o.ExitHook}} {
		if one.path == "" {
			continue
		}
		parts = append(parts, one.key+" = "+c.quote(one.option, one.path))
		c.warn(one.option, "is called in a jail: of the host it reaches the source, the target and /usr, and neither a network nor another process",
			"have a service manager do what needs the host (ExecStopPost=), or a script that calls lockstep")
	}
	if len(parts) == 0 {
		return
	}
	once := ""
	if o.PreExitHook != "" && o.OnlyInitialSync && !o.ExitOnNoEvents {
		once = "--pre-exit-hook: also called when --only-initialsync is in step; for clsync at SIGQUIT and --exit-on-no-events alone"
	}
	c.put("hooks", "{ "+strings.Join(parts, ", ")+" }", "a hook is ended with all that it has started when it takes longer than hooks.timeout", once)
}

// first is what the start begins with.
func (c *compiler) first() {
	o := c.o
	switch {
	case o.SkipInitialSync && o.ExitOnNoEvents:
		c.fail("skip-initialsync", "does not go with --exit-on-no-events, at which lockstep ends when a whole pass has brought the target in step", "take one of them out")
	case o.SkipInitialSync:
		c.put("first_pass", quoted("skip"), "what changed before it is ready, and what waited when it ended, is not copied; when events are lost the tree is compared whole all the same")
	}
	switch {
	case o.FullInitialSync && o.RulesFile != "":
		c.warn("full-initialsync", "copies nothing at the start that the rules leave out, as clsync did: what is copied is what they permit, at the start and later",
			"take it out; or take out the rules, if all is to be copied")
	case o.FullInitialSync:
		c.remark("--full-initialsync: the first pass is one over the whole tree in any case")
	}
}

// iterations: clsync counts the walk of the first pass as well as the pass.
func (c *compiler) iterations() {
	const most = 1_000_000_000
	switch n := c.o.MaxIterations; {
	case n < 0:
		c.fail("max-iterations", strconv.Itoa(n)+" is no number of syncs", "write 0 for no such end, or a number above it")
	case n > 0:
		if !c.o.SkipInitialSync {
			n-- // the first pass
		}
		c.put("max_iterations", strconv.Itoa(min(max(n, 1), most)),
			"--max-iterations: for clsync the first pass counts twice, and each directory that is made once more; here the first pass counts once, and then each batch that the target has")
	}
}

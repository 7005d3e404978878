package options

import (
	"lockstep/clsync/table"
	"lockstep/config"
)

// need is an option without which another value has no sense.
type need struct {
	when   func(*Options) bool
	thing  string
	reason string
	advice string
}

// needs are what must be given.
func needs() []need {
	return []need{
		{func(o *Options) bool { return o.WatchDir == "" }, "watch-dir", "is not given", "name the directory to follow: --watch-dir=DIR"},
		{func(o *Options) bool { return o.Mode == "" }, "mode", "is not given", "write --mode=rsyncdirect, or another of simple, direct, shell, rsyncshell, rsyncso and so"},
		{func(o *Options) bool { return o.SyncHandler == "" && o.Mode != "" }, "sync-handler", "is not given, and this mode has none of its own", "name the program: --sync-handler=FILE"},
		{func(o *Options) bool { return o.DestinationDir == "" && o.Mode == RsyncDirect }, "destination-dir", "is not given, and mode rsyncdirect needs it", "name the directory: --destination-dir=DIR"},
		{func(o *Options) bool { return o.DestinationDir == "" && o.Mode == Direct && !o.OwnArguments }, "destination-dir", "is not given, and the arguments of mode direct name it", "name the directory: --destination-dir=DIR, or write arguments after --"},
	}
}

// clash is two options that do not go together.
type clash struct {
	one, other string // how they are named
	both       func(*Options) bool
	advice     string
}

func threaded(o *Options) bool { return o.Threading == "safe" || o.Threading == "full" }

const adviseThreads = "leave threading off"

func clashes() []clash {
	return []clash{
		{"full-initialsync", "skip-initialsync", func(o *Options) bool { return o.FullInitialSync && o.SkipInitialSync }, "take one of them out"},
		{"only-initialsync", "skip-initialsync", func(o *Options) bool { return o.OnlyInitialSync && o.SkipInitialSync }, "take one of them out: together there is nothing to do"},
		{"modification-signature", "cancel-syscalls", func(o *Options) bool { return len(o.Signature) > 0 && len(o.CancelSyscalls) > 0 }, "take cancel-syscalls out"},
		{"threading", "only-initialsync", func(o *Options) bool { return threaded(o) && o.OnlyInitialSync }, adviseThreads},
		{"threading", "exit-on-no-events", func(o *Options) bool { return threaded(o) && o.ExitOnNoEvents }, adviseThreads},
		{"threading", "max-iterations", func(o *Options) bool { return threaded(o) && o.MaxIterations != 0 }, adviseThreads},
		{"threading", "pre-exit-hook", func(o *Options) bool { return threaded(o) && o.PreExitHook != "" }, adviseThreads},
		{"threading", "splitting", func(o *Options) bool { return threaded(o) && o.Splitting == "thread" }, adviseThreads},
		{"threading", "seccomp-filter", func(o *Options) bool { return threaded(o) && o.Seccomp }, adviseThreads},
		{"have-recursive-sync", "mode", func(o *Options) bool { return o.RecursiveSync && o.Mode.Rsync() }, "take it out: rsync's lists name whole directories anyway"},
		{"synclist-simplify", "mode", func(o *Options) bool { return o.SimpleLists && o.Mode.Rsync() }, "take it out: rsync's lists hold nothing but paths"},
		{"standby-file", "mode", func(o *Options) bool { return o.StandbyFile != "" && o.Mode == Simple }, "choose another mode: in this one nothing is kept until later"},
		{"check-execvp-arguments", "mode", func(o *Options) bool { return o.CheckArguments && o.Mode == Direct }, "choose another mode: in this one any word may be an argument"},
	}
}

// lacks are options that need another one.
func lacks() []clash {
	return []clash{
		{"synclist-simplify", "lists-dir", func(o *Options) bool { return o.SimpleLists && o.ListsDir == "" }, "name the directory: --lists-dir=DIR"},
		{"pivot-root", "chroot", func(o *Options) bool { return o.PivotRoot != "off" && o.Chroot == "" }, "name the directory: --chroot=DIR"},
		{"socket-mod", "socket", func(o *Options) bool { return has(o, "socket-mod") && o.Socket == "" }, "name the socket: --socket=FILE"},
		{"socket-own", "socket", func(o *Options) bool { return o.SocketOwner != "" && o.Socket == "" }, "name the socket: --socket=FILE"},
		{"socket-auth", "socket", func(o *Options) bool { return o.SocketAuth != "" && o.Socket == "" }, "name the socket: --socket=FILE"},
	}
}

func has(o *Options, name string) bool {
	_, ok := o.Given[name]
	return ok
}

// check finds what does not go together. What could not be read is told already.
func (in *input) check(o *Options, bad map[string]bool) {
	for _, n := range needs() {
		if n.when(o) && !bad[n.thing] {
			at, thing := in.where(n.thing)
			in.fail(at, thing, n.reason, n.advice)
		}
	}
	for _, c := range clashes() {
		if c.both(o) {
			at, thing := in.where(c.one)
			in.fail(at, thing, "does not go with "+in.say(o, c.other), c.advice)
		}
	}
	for _, c := range lacks() {
		if c.both(o) && !bad[c.one] && !bad[c.other] {
			at, thing := in.where(c.one)
			in.fail(at, thing, "has no sense without "+c.other, c.advice)
		}
	}
	in.odd(o)
}

// odd finds what is allowed and cannot be meant, and values that are no fault of
// their own.
func (in *input) odd(o *Options) {
	if at, thing := in.where("destination-dir"); o.DestinationDir == "/" {
		in.fail(at, thing, "is the root of all files", "name a directory below it")
	}
	if len(o.CustomSignals) > 0 && in.parsed == nil {
		at, thing := in.where("custom-signals")
		in.fail(at, thing, "there is no file that could have the blocks", "name one by --config-file")
	}
	if o.Mode.Module() && o.OwnArguments {
		g, _ := in.find(table.Arguments)
		in.warn(g.at, g.thing, "are not used: in mode "+string(o.Mode)+" the handler is a function", "take them out")
	}
	if g, ok := in.find(table.Recursive); ok && !o.RecursiveSync {
		in.warn(g.at, g.thing, "is not used without have-recursive-sync", "write have-recursive-sync = 1, or take it out")
	}
}

// where is the place of an option and how it is called there.
func (in *input) where(name string) (config.Pos, string) {
	if g, ok := in.find(name); ok {
		return g.at, g.thing
	}
	return config.Pos{}, "--" + name
}

// say names an option with its place, in the middle of a message.
func (in *input) say(o *Options, name string) string {
	text := name
	if name == "mode" {
		text = "mode " + string(o.Mode)
	}
	if g, ok := in.find(name); ok && g.at.File != "" {
		return text + " (" + g.at.String() + ")"
	}
	return text
}

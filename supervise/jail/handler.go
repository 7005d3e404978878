package jail

import (
	"golang.org/x/sys/unix"

	"lockstep/config"
	"lockstep/sandbox"
	"lockstep/sandbox/landlock"
	"lockstep/supervise/host"
)

// Where the jail of a handler has what is its own.
const (
	Scratch     = "/lockstep/tmp"
	NamesPath   = "/etc/resolv.conf"
	PluginPath  = "/lockstep/lockstep-plugin" // what calls the functions of a module
	scratchSize = 64 << 20                    // bytes: the lists of a run, and what the handler leaves there
)

// HandlerRunner is the jail of a person's program: source and target as in that of
// a local copy, with the same rights; programs and libraries of the host, which can
// be executed, and a directory of its own that it can write to. Nothing that it can
// write to can be executed. Where there is no target it has no right but to read, beside
// that directory, and where it has a user of its own, none but that user's. It has no
// network unless a person says so, no /proc, and of /etc a few files.
func HandlerRunner(m Machine, source, target Tree, h host.Handler, r Rights) sandbox.Spec {
	s := copier(m, r)
	reads(&s, source)
	if target.Path == "" {
		s.Caps = capability(unix.CAP_DAC_READ_SEARCH) // there is nothing of another's to write to
	} else {
		writes(&s, target, r)
	}
	programs(&s, h)
	return s
}

// Hook is the jail of a person's program that is called when a sync ends: that of a
// handler, with all of the sync's directories on this host that are there. source is
// nil when it is gone.
func Hook(m Machine, source *Tree, targets []Tree, h host.Handler, r Rights) sandbox.Spec {
	s := copier(m, r)
	if source != nil {
		reads(&s, *source)
	}
	for _, t := range targets {
		writes(&s, t, r)
	}
	programs(&s, h)
	return s
}

// programs shows a person's program, and what it may start. One that has a user of its
// own has that user's rights and no other, and so has what starts it.
func programs(s *sandbox.Spec, h host.Handler) {
	if h.IDs != (config.IDs{}) {
		s.UID, s.GID, s.Caps = h.IDs.UID, h.IDs.GID, 0
	}
	for _, dir := range h.Dirs {
		s.Binds = append(s.Binds, sandbox.Bind{Source: dir, Target: dir, Exec: true})
		s.Landlock = append(s.Landlock, sandbox.Rule{Path: dir, Access: readFile | readDir | execute})
	}
	show := func(b sandbox.Bind, access uint64) {
		b.File, b.Exec = true, true
		s.Binds = append(s.Binds, b)
		s.Landlock = append(s.Landlock, sandbox.Rule{Path: b.Target, Access: access})
	}
	program := sandbox.Bind{Source: h.Program, Target: h.Program, Dev: h.Dev, Ino: h.Ino}
	switch m := h.Module; {
	case m.Path != "":
		program.Target = PluginPath
		show(program, readFile|execute)
		if !h.Within(m.Path) {
			// To be mapped, not started: its mount alone must not be noexec.
			show(sandbox.Bind{Source: m.Path, Target: m.Path, Dev: m.Dev, Ino: m.Ino}, readFile)
		}
	case !h.Within(h.Program):
		show(program, readFile|execute)
	}
	for _, file := range h.Files {
		s.Binds = append(s.Binds, sandbox.Bind{Source: file, Target: file, File: true})
		s.Landlock = append(s.Landlock, sandbox.Rule{Path: file, Access: readFile})
	}
	for _, device := range h.Devices {
		s.Binds = append(s.Binds, sandbox.Bind{Source: device, Target: device, File: true, Devices: true})
		s.Landlock = append(s.Landlock, sandbox.Rule{Path: device, Access: readFile | unix.LANDLOCK_ACCESS_FS_WRITE_FILE})
	}
	for link, text := range h.Links {
		s.Links = append(s.Links, sandbox.Link{Path: link, Target: text})
	}
	beside(s, h)
	s.Binds = append(s.Binds, sandbox.Bind{Target: Scratch, Scratch: scratchSize, Writable: true})
	s.Landlock = append(s.Landlock, sandbox.Rule{Path: Scratch, Access: readFile | readDir | writeAll})
}

// beside adds what a person has named for the handler, read-only or to be written to
// and never to be executed, and the host's network where that was asked for: then it
// can connect to whatever this host reaches, and no rule knows where to.
func beside(s *sandbox.Spec, h host.Handler) {
	for _, one := range h.Shows {
		s.Binds = append(s.Binds, sandbox.Bind{Source: one.Path, Target: one.Path, File: !one.Dir, Dev: one.Dev, Ino: one.Ino})
		s.Landlock = append(s.Landlock, sandbox.Rule{Path: one.Path, Access: readFile | readDir})
	}
	for _, one := range h.Writes {
		s.Binds = append(s.Binds, sandbox.Bind{Source: one.Path, Target: one.Path, File: !one.Dir, Dev: one.Dev, Ino: one.Ino, Writable: true})
		s.Landlock = append(s.Landlock, sandbox.Rule{Path: one.Path, Access: readFile | readDir | writeAll})
	}
	if !h.Network {
		return
	}
	s.Namespaces &^= unix.CLONE_NEWNET
	s.Connect = []uint16{landlock.AnyPort}
	if h.Names != "" {
		s.Binds = append(s.Binds, sandbox.Bind{Source: h.Names, Target: NamesPath, File: true})
		s.Landlock = append(s.Landlock, sandbox.Rule{Path: NamesPath, Access: readFile})
	}
}

// HandlerEnv is the environment of a handler, but for what it is told with a call.
// On some systems others than root can write below /usr/local: what is there has to
// be named by its whole path. The working directory is a hostile tree: Python is not
// to look for modules there.
func HandlerEnv() []string {
	return []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C", "HOME=" + Scratch, "TMPDIR=" + Scratch, "PYTHONSAFEPATH=1"}
}

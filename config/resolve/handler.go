package resolve

import (
	"errors"
	"os"

	"lockstep/config"
	"lockstep/config/owned"
	"lockstep/handler"
	"lockstep/plugin/object"
	"lockstep/rootid"
)

// handler looks at a sync that has one, once its trees are known.
func (r *resolver) handler(s *config.Sync) {
	if r.DryRun {
		r.add("mode", problem(r.say("dry_run"), "cannot be done with mode "+s.Mode+": what a handler would do, it alone knows", "take it out, or use mode "+config.ModeRsync))
	}
	trees := r.local(s)
	r.allApart(trees)
	r.handlerUser(s)
	defer r.beside(s)
	if s.Handler == "" {
		return // told already
	}
	if s.CallsModule() {
		s.Handler = r.module("handler", s.Handler)
	} else {
		s.Handler = r.program("handler", s.Handler, "name a program that is there")
	}
	if s.Handler == "" {
		return
	}
	r.outside("handler", "handler "+show(s.Handler), s.Handler, trees)
	for _, t := range s.Targets {
		o, err := s.HandlerOptions(t)
		if err == nil && s.Source != "" {
			err = makes(s, o)
		}
		if err != nil {
			r.add("handler_args", problem(r.say("handler"), err.Error(), "mend "+r.say("handler_args")))
			return
		}
	}
}

// makes says whether calls can be made of the options, whatever is in the tree.
func makes(s *config.Sync, o handler.Options) error {
	m, err := handler.New(o)
	if err == nil && s.ToldByLists() && !m.Protects() {
		err = errors.New("mode " + s.Mode + " without %EXCLUDE-LIST-PATH%: the handler would not learn what is to be left out, and any socket in the source would keep a whole pass from being made")
	}
	return err
}

// apart refuses a tree that has to do with the directories that the jail of a
// handler shows: what is written there could be executed.
func (r *resolver) apart(key, what, path string) {
	for _, dir := range append(config.HandlerDirs(), "/lockstep") {
		if r.mounts.Overlap(path, dir) != rootid.Apart {
			r.add(key, problem(what, "has to do with "+dir+", which the jail of a handler or a hook shows as it is", "name a directory of your own data"))
			return
		}
	}
	if key == "targets" && r.mounts.Overlap(path, "/etc") != rootid.Apart {
		r.add(key, problem(what, "has to do with /etc, of which the jail of a handler or a hook shows files as they are", "name a directory of your own data"))
	}
}

// module is the real path of a shared object that root alone can have put in its
// place; "" if it is none.
func (r *resolver) module(key, path string) string {
	name := r.say(key) + " " + show(path)
	real, err := realPath(path)
	if err != nil {
		r.add(key, failed(name, err, "name a shared object that is there"))
		return ""
	}
	file, err := object.Open(path, 0)
	if err != nil {
		if inner := errors.Unwrap(err); inner != nil {
			err = inner // without the path, which is told already
		}
		bad := problem(name, err.Error(), "only root may be able to write to it and to the directories above it")
		bad.Denied = denied(err)
		r.add(key, bad)
		return ""
	}
	if err := file.Close(); err != nil {
		r.add(key, failed(name, err, "name another"))
		return ""
	}
	return real
}

// program is the real path of one that root alone can have put in its place; "" if
// it is none.
func (r *resolver) program(key, path, advice string) string {
	name := r.say(key) + " " + show(path)
	real, err := realPath(path)
	if err != nil {
		r.add(key, failed(name, err, advice))
		return ""
	}
	info, err := os.Stat(real)
	switch {
	case err != nil:
		r.add(key, failed(name, err, advice))
		return ""
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		r.add(key, problem(name, "is not an executable program", advice))
		return ""
	case info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0:
		r.add(key, problem(name, "is a set-id program", "use one that is not"))
		return ""
	}
	if err := owned.Check(path, 0); err != nil {
		r.add(key, problem(name, "is not safe to run as root: "+err.Error(), "only root may be able to write to the program and the directories above it"))
		return ""
	}
	return real
}

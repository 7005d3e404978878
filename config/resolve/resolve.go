// Package resolve checks a configuration against the file system.
//
// Trust: linked into the supervisor, which is root. What a file system answers is
// checked; nothing is changed.
//
// Invariant: all problems are told at once, each as the place where it is
// written, the thing, the reason and what to do.
package resolve

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"lockstep/config"
	"lockstep/config/owned"
	"lockstep/internal/escape"
	"lockstep/rootid"
)

// Set looks at the file system: paths become absolute and lose their
// symbolic links, and whatever cannot work is told, all of it, as Problems: then
// the Set that comes with them is good to be shown, and for nothing else. It
// changes nothing.
func Set(s config.Set) (config.Set, error) {
	mounts, err := rootid.ReadMounts()
	if err != nil {
		return config.Set{}, err
	}
	r := resolver{Set: s, mounts: mounts}
	r.Syncs = slices.Clone(s.Syncs)
	for i := range r.Syncs {
		r.in = config.Section(i)
		r.sync(&r.Syncs[i])
	}
	r.in = config.InService
	r.ownPaths()
	for i := range r.Syncs {
		r.in = config.Section(i)
		r.ownDirs(r.Syncs[i])
		r.ownBeside(r.Syncs[i])
	}
	r.between()
	r.circles()
	r.files()
	if s.Path != "" {
		r.problems.Sort(s.Files)
	}
	for i := range r.Syncs {
		asWritten(&r.Syncs[i], s.Syncs[i])
	}
	return r.Set, r.problems.OrNil()
}

// asWritten puts back what could not be resolved.
func asWritten(s *config.Sync, old config.Sync) {
	if s.Source == "" {
		s.Source = old.Source
	}
	if s.RsyncPath == "" {
		s.RsyncPath = old.RsyncPath
	}
	if s.Handler == "" {
		s.Handler = old.Handler
	}
	for i := range s.Targets {
		if s.Targets[i].Path == "" {
			s.Targets[i].Path = old.Targets[i].Path
		}
	}
}

// resolver gathers what Set finds wrong.
type resolver struct {
	config.Set
	mounts   rootid.Mounts
	in       config.Section // what is looked at
	problems config.Problems
}

// add takes note of a problem with a key.
func (r *resolver) add(key string, p config.Problem) {
	p.Pos = r.Places.Find(r.in, key)
	r.problems = append(r.problems, p)
}

func (r *resolver) say(key string) string { return config.Say(r.Path, key) }

func (r *resolver) sync(s *config.Sync) {
	if s.Source != "" {
		s.Source = r.source(s.Source)
	}
	s.Targets = slices.Clone(s.Targets)
	for i := range s.Targets {
		t := &s.Targets[i]
		if t.Kind != config.Local {
			continue
		}
		t.Path, t.Missing = r.target(t.Path)
		if s.Source != "" && t.Path != "" {
			r.overlap(s.Source, t.Path, s.CrossMounts)
		}
	}
	if s.Handled() {
		r.handler(s)
	} else {
		s.RsyncPath = r.rsync(s.RsyncPath)
	}
	r.hooks(s)
	if s.Source != "" {
		r.blind(*s)
	}
	r.rules(s)
	for _, f := range []struct {
		key    string
		path   *string
		kind   config.TargetKind
		secret bool
	}{
		{"ssh.identity", &s.SSH.Identity, config.SSHTarget, true}, {"ssh.known_hosts", &s.SSH.KnownHosts, config.SSHTarget, false},
		{"password_file", &s.PasswordFile, config.Daemon, true},
	} {
		if *f.path != "" && s.Has(f.kind) {
			*f.path = r.keyFile(f.key, *f.path, f.secret)
		}
	}
}

// ownPaths are lockstep's own directories.
func (r *resolver) ownPaths() {
	if r.RuntimeDir == "" {
		r.RuntimeDir = runtimeDir
		if r.Path == "" {
			r.RuntimeDir = "/run/lockstep/mirror-" + mirrorKey(r.Syncs[0])
		}
	}
	for _, own := range r.OwnDirs() {
		*own.Dir = r.ownPath(own.Key, *own.Dir)
	}
}

// runtimeDir is that of a file which does not say.
const runtimeDir = "/run/lockstep"

// mirrorKey names a mirror by its source and targets.
func mirrorKey(s config.Sync) string {
	targets := make([]string, len(s.Targets))
	for i, t := range s.Targets {
		targets[i] = t.String()
		if t.Kind == config.None {
			targets[i] = s.Told()
		}
	}
	return rootid.Key(s.Source, strings.Join(targets, "\x00"))
}

// show names a path in a message.
func show(path string) string { return escape.Name(path) }

func (r *resolver) source(path string) string {
	const advice = "name a directory that is there and can be read"
	real, err := realPath(path)
	if err != nil {
		r.add("source", failed("source "+show(path), err, advice))
		return ""
	}
	if bad, found := directory("source", real); found {
		r.add("source", bad)
		return ""
	}
	return real
}

// target returns a local target, and whether it is missing.
func (r *resolver) target(path string) (string, bool) {
	real, err := realPath(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r.missingTarget(path)
	}
	if err != nil {
		r.add("targets", failed("target "+show(path), err, "name a directory that can be written"))
		return "", false
	}
	if bad, found := directory("target", real); found {
		r.add("targets", bad)
		return "", false
	}
	if err := unix.Access(real, unix.W_OK); err != nil {
		r.add("targets", failed("target "+show(path), fmt.Errorf("cannot be written: %w", err), "mount it read-write, or name another"))
		return "", false
	}
	return real, false
}

func (r *resolver) missingTarget(path string) (string, bool) {
	bad := problem("target "+show(path), "", "make its parent first, or name another")
	abs, err := filepath.Abs(path)
	if err != nil {
		bad.Reason, bad.Denied = words(err), denied(err)
		r.add("targets", bad)
		return "", false
	}
	if _, err := os.Lstat(abs); err == nil {
		bad.Reason = "is a symbolic link to nothing"
		bad.Advice = "remove the link, or make what it names"
		r.add("targets", bad)
		return "", false
	}
	parent, err := realPath(filepath.Dir(abs))
	if err != nil {
		bad.Reason = "is missing, and so is its parent directory"
		if !errors.Is(err, fs.ErrNotExist) {
			bad.Reason, bad.Denied = "its parent: "+words(err), denied(err)
		}
		r.add("targets", bad)
		return "", false
	}
	real := filepath.Join(parent, filepath.Base(abs))
	if why := forbidden(real); why != "" {
		bad.Reason, bad.Advice = why, "name a directory of your own data"
		r.add("targets", bad)
		return "", false
	}
	if other, found := directory("target", parent); found && parent != "/" {
		r.add("targets", other)
		return "", false
	}
	if err := unix.Access(parent, unix.W_OK); err != nil {
		bad.Reason, bad.Denied = "is missing and cannot be made: "+err.Error(), denied(err)
		r.add("targets", bad)
		return "", false
	}
	return real, true
}

// directory checks what source and target have in common.
func directory(what, real string) (config.Problem, bool) {
	bad := problem(what+" "+show(real), "", "name a directory of your own data")
	if bad.Reason = forbidden(real); bad.Reason != "" {
		return bad, true
	}
	info, err := os.Stat(real)
	if err != nil {
		return failed(bad.Thing, err, "name a directory that is there and can be read"), true
	}
	if !info.IsDir() {
		return problem(bad.Thing, "is not a directory", "name a directory"), true
	}
	id, err := rootid.Read(real)
	if err != nil {
		return failed(bad.Thing, err, "make it readable for root, or name another"), true
	}
	if id.Kernel() {
		bad.Reason = "shows the kernel's own state, not files"
		return bad, true
	}
	return config.Problem{}, false
}

// forbidden refuses what can be no root and no target.
func forbidden(real string) string {
	if real == "/" {
		return "the root directory cannot be a source or a target"
	}
	for _, no := range []string{"/proc", "/sys", "/dev"} {
		if real == no || strings.HasPrefix(real, no+"/") {
			return no + " and what is below it cannot be a source or a target"
		}
	}
	return ""
}

func (r *resolver) overlap(source, target string, crossMounts bool) {
	const advice = "name two directories of which neither holds the other"
	how := r.mounts.Overlap(source, target)
	if how == rootid.Apart && sameFile(source, target) {
		how = rootid.Equal
	}
	switch how {
	case rootid.Equal:
		r.add("targets", problem("target "+show(target), "is the source itself", advice))
	case rootid.OtherInside:
		r.add("targets", problem("target "+show(target), "is inside the source "+show(source), advice))
	case rootid.FirstInside:
		r.add("source", problem("source "+show(source), "is inside the target "+show(target), advice))
	default:
		if why := r.mounts.Tangle(source, target, crossMounts); why != "" {
			r.add("targets", problem("target "+show(target), why, "unmount it, or "+advice))
		}
	}
}

func problem(thing, reason, advice string) config.Problem {
	return config.Problem{Thing: thing, Reason: reason, Advice: advice}
}

func sameFile(a, b string) bool {
	ia, erra := os.Stat(a)
	ib, errb := os.Stat(b)
	return erra == nil && errb == nil && os.SameFile(ia, ib)
}

func (r *resolver) blind(s config.Sync) {
	id, err := rootid.Read(s.Source)
	if err != nil {
		r.add("source", failed("source "+show(s.Source), err, "make it readable for root, or name another"))
		return
	}
	reason := config.Config{Service: r.Service, Sync: s}.Unseen(id)
	if reason == "" {
		return
	}
	r.add("source", problem("source "+show(s.Source), reason,
		"use "+r.say("monitor")+" poll or auto, run lockstep where the files are, or add "+r.say("allow_blind")+" to copy what is seen"))
}

func (r *resolver) rsync(path string) string {
	install := "install rsync (apt-get install rsync), or name another with " + r.say("rsync_path")
	real, err := realPath(path)
	if err != nil {
		r.add("rsync_path", failed("rsync "+show(path), err, install))
		return ""
	}
	info, err := os.Stat(real)
	switch {
	case err != nil:
		r.add("rsync_path", failed("rsync "+show(path), err, install))
		return ""
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		r.add("rsync_path", problem("rsync "+show(path), "is not an executable program", install))
		return ""
	case info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0:
		r.add("rsync_path", problem("rsync "+show(path), "is a set-id program", "use one that is not"))
		return ""
	}
	if err := owned.Check(path, 0); err != nil {
		r.add("rsync_path", problem("rsync "+show(path), "is not safe to run as root: "+err.Error(),
			"only root may be able to write to the program and the directories above it"))
		return ""
	}
	return real
}

// keyFile checks a file that only root may have written: ssh or rsync is given a
// copy of it, or it decides what is copied.
func (r *resolver) keyFile(key, path string, secret bool) string {
	bad := func(reason, advice string) string {
		r.add(key, problem(r.say(key)+" "+show(path), reason, advice))
		return path
	}
	real, err := realPath(path)
	if err != nil {
		r.add(key, failed(r.say(key)+" "+show(path), err, "make it, or name another"))
		return path
	}
	info, err := os.Stat(real)
	switch {
	case err != nil:
		r.add(key, failed(r.say(key)+" "+show(path), err, "make it, or name another"))
		return path
	case !info.Mode().IsRegular():
		return bad("is not a regular file", "name a file")
	case info.Size() > maxKeyFile:
		return bad(fmt.Sprintf("is larger than %d bytes", maxKeyFile), "name the right file")
	}
	if err := owned.Check(real, 0); err != nil {
		return bad("is not safe to use: "+err.Error(), "make it and the directories above it root's alone to write: chown root, chmod go-w")
	}
	if mode := info.Mode().Perm(); secret && mode&0o077 != 0 {
		return bad(fmt.Sprintf("can be read by others (mode %04o)", mode), "make it root's alone: chmod 600")
	}
	return real
}

// maxKeyFile bounds such a file.
const maxKeyFile = 1 << 20

func realPath(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// failed is a problem that an error of the file system is.
func failed(thing string, err error, advice string) config.Problem {
	return config.Problem{Thing: thing, Reason: words(err), Advice: advice, Denied: denied(err)}
}

// denied says that root might have had another answer.
func denied(err error) bool { return errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 }

// words says an error of the file system without its path and call.
func words(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "is missing"
	case errors.Is(err, fs.ErrPermission) && errors.As(err, new(*fs.PathError)):
		return "may not be read"
	case errors.Is(err, unix.ENOTDIR):
		return "is not a directory, or is below something that is none"
	case errors.Is(err, unix.ELOOP), strings.Contains(err.Error(), "too many links"): // filepath has no error value for it
		return "has too many symbolic links"
	}
	return owned.Reason(err).Error()
}

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"lockstep/internal/escape"
	"lockstep/rootid"
)

// Resolve looks at the file system: paths become absolute and lose their
// symbolic links, and whatever cannot work is told, all of it, as Problems. It
// changes nothing.
func (c Config) Resolve() (Config, error) {
	var p Problems
	mounts, err := rootid.ReadMounts()
	if err != nil {
		return Config{}, err
	}
	c.Source = resolveSource(c.Source, &p)
	c.Target, c.TargetMissing = resolveTarget(c.Target, &p)
	c.RsyncPath = resolveRsync(c.RsyncPath, &p)
	if c.Source != "" && c.Target != "" {
		p = append(p, overlap(mounts, c.Source, c.Target, c.CrossMounts)...)
	}
	if c.Source != "" {
		p = append(p, c.blind()...)
	}
	if c.RuntimeDir == "" {
		c.RuntimeDir = "/run/lockstep/mirror-" + rootid.Key(c.Source, c.Target)
	}
	c.RuntimeDir = resolveOwn("--runtime-dir", c.RuntimeDir, &p)
	c.StateDir = resolveOwn("--state-dir", c.StateDir, &p)
	p = append(p, c.ownDirs(mounts)...)
	if err := p.orNil(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// MakeTarget makes a missing target: its last component only, closed to others
// until the first pass gives it the source's mode.
func (c Config) MakeTarget() error {
	if !c.TargetMissing {
		return nil
	}
	if err := os.Mkdir(c.Target, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return Problem{show(c.Target), "cannot be made: " + reason(err).Error(), "make it by hand, or name another target"}
	}
	return nil
}

// show names a path in a message.
func show(path string) string { return escape.Name(path) }

func resolveSource(path string, p *Problems) string {
	const advice = "name a directory that is there and can be read"
	real, err := realPath(path)
	if err != nil {
		*p = append(*p, Problem{"source " + show(path), words(err), advice})
		return ""
	}
	if bad, found := directory("source", real); found {
		*p = append(*p, bad)
		return ""
	}
	return real
}

// resolveTarget returns the target, and whether it is missing.
func resolveTarget(path string, p *Problems) (string, bool) {
	real, err := realPath(path)
	if errors.Is(err, fs.ErrNotExist) {
		return missingTarget(path, p)
	}
	if err != nil {
		*p = append(*p, Problem{"target " + show(path), words(err), "name a directory that can be written"})
		return "", false
	}
	if bad, found := directory("target", real); found {
		*p = append(*p, bad)
		return "", false
	}
	if err := unix.Access(real, unix.W_OK); err != nil {
		*p = append(*p, Problem{"target " + show(path), "cannot be written: " + err.Error(), "mount it read-write, or name another"})
		return "", false
	}
	return real, false
}

func missingTarget(path string, p *Problems) (string, bool) {
	bad := Problem{"target " + show(path), "", "make its parent first, or name another"}
	abs, err := filepath.Abs(path)
	if err != nil {
		bad.Reason = words(err)
		*p = append(*p, bad)
		return "", false
	}
	if _, err := os.Lstat(abs); err == nil {
		bad.Reason = "is a symbolic link to nothing"
		bad.Advice = "remove the link, or make what it names"
		*p = append(*p, bad)
		return "", false
	}
	parent, err := realPath(filepath.Dir(abs))
	if err != nil {
		bad.Reason = "is missing, and so is its parent directory"
		if !errors.Is(err, fs.ErrNotExist) {
			bad.Reason = "its parent: " + words(err)
		}
		*p = append(*p, bad)
		return "", false
	}
	real := filepath.Join(parent, filepath.Base(abs))
	if why := forbidden(real); why != "" {
		bad.Reason, bad.Advice = why, "name a directory of your own data"
		*p = append(*p, bad)
		return "", false
	}
	if other, found := directory("target", parent); found && parent != "/" {
		*p = append(*p, other)
		return "", false
	}
	if err := unix.Access(parent, unix.W_OK); err != nil {
		bad.Reason = "is missing and cannot be made: " + err.Error()
		*p = append(*p, bad)
		return "", false
	}
	return real, true
}

// directory checks what source and target have in common.
func directory(what, real string) (Problem, bool) {
	bad := Problem{what + " " + show(real), "", "name a directory of your own data"}
	if bad.Reason = forbidden(real); bad.Reason != "" {
		return bad, true
	}
	info, err := os.Stat(real)
	if err != nil {
		return Problem{bad.Thing, words(err), "name a directory that is there and can be read"}, true
	}
	if !info.IsDir() {
		return Problem{bad.Thing, "is not a directory", "name a directory"}, true
	}
	id, err := rootid.Read(real)
	if err != nil {
		return Problem{bad.Thing, words(err), "make it readable for root, or name another"}, true
	}
	if id.Kernel() {
		bad.Reason = "shows the kernel's own state, not files"
		return bad, true
	}
	return Problem{}, false
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

func overlap(mounts rootid.Mounts, source, target string, crossMounts bool) Problems {
	const advice = "name two directories of which neither holds the other"
	how := mounts.Overlap(source, target)
	if how == rootid.Apart && sameFile(source, target) {
		how = rootid.Equal
	}
	switch how {
	case rootid.Equal:
		return Problems{{"target " + show(target), "is the source itself", advice}}
	case rootid.OtherInside:
		return Problems{{"target " + show(target), "is inside the source " + show(source), advice}}
	case rootid.FirstInside:
		return Problems{{"source " + show(source), "is inside the target " + show(target), advice}}
	}
	if why := mounts.Tangle(source, target, crossMounts); why != "" {
		return Problems{{"target " + show(target), why, "unmount it, or " + advice}}
	}
	return nil
}

func sameFile(a, b string) bool {
	ia, erra := os.Stat(a)
	ib, errb := os.Stat(b)
	return erra == nil && errb == nil && os.SameFile(ia, ib)
}

func (c Config) blind() Problems {
	id, err := rootid.Read(c.Source)
	if err != nil {
		return Problems{{"source " + show(c.Source), words(err), "make it readable for root, or name another"}}
	}
	if !id.Blind() || c.AllowBlind {
		return nil
	}
	return Problems{{"source " + show(c.Source),
		"is on " + rootid.FSName(id.Magic) + ", where changes by others are not seen",
		"run lockstep where the files are, or add --allow-blind to copy what is seen"}}
}

func resolveRsync(path string, p *Problems) string {
	const install = "install rsync (apt-get install rsync), or name another with --rsync-path"
	real, err := realPath(path)
	if err != nil {
		*p = append(*p, Problem{"rsync " + show(path), words(err), install})
		return ""
	}
	info, err := os.Stat(real)
	switch {
	case err != nil:
		*p = append(*p, Problem{"rsync " + show(path), words(err), install})
		return ""
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		*p = append(*p, Problem{"rsync " + show(path), "is not an executable program", install})
		return ""
	case info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0:
		*p = append(*p, Problem{"rsync " + show(path), "is a set-id program", "use one that is not"})
		return ""
	}
	if err := CheckOwned(path, 0); err != nil {
		*p = append(*p, Problem{"rsync " + show(path), "is not safe to run as root: " + err.Error(),
			"only root may be able to write to the program and the directories above it"})
		return ""
	}
	return real
}

func realPath(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// words says an error of the file system without its path and call.
func words(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "is missing"
	case errors.Is(err, fs.ErrPermission):
		return "may not be read"
	case errors.Is(err, unix.ENOTDIR):
		return "is not a directory, or is below something that is none"
	case errors.Is(err, unix.ELOOP), strings.Contains(err.Error(), "too many links"): // filepath has no error value for it
		return "has too many symbolic links"
	}
	return reason(err).Error()
}

// Allows says that a person accepted the lack of a kernel feature.
func (c Config) Allows(feature string) bool { return slices.Contains(c.AllowMissing, feature) }

// Describe is one line about the configuration for the log.
func (c Config) Describe() string {
	return fmt.Sprintf("%s → %s", show(c.Source), show(c.Target))
}

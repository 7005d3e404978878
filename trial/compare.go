package trial

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"lockstep/internal/escape"
	"lockstep/rsync"
)

// compare holds the target against the source. A difference in what a sync
// cannot do without is an error; any other is added to what was found, once.
func (s *scratch) compare(step string) error {
	source, err := names(s.src)
	if err != nil {
		return err
	}
	target, err := names(s.dst)
	if err != nil {
		return err
	}
	for _, rel := range source {
		if rel == s.hidden || rel == "x.excluded" {
			if slices.Contains(target, rel) {
				return fmt.Errorf("%s: %s was copied in spite of a rule", step, escape.Name(rel))
			}
			continue
		}
		if err := s.same(step, rel); err != nil {
			return err
		}
	}
	for _, rel := range target {
		extra := !slices.Contains(source, rel)
		if extra && !slices.Contains(s.only, rel) {
			return fmt.Errorf("%s: %s was not deleted", step, escape.Name(rel))
		}
	}
	for _, rel := range s.only {
		if !slices.Contains(target, rel) {
			return fmt.Errorf("%s: %s was deleted, but is protected", step, escape.Name(rel))
		}
	}
	return s.hardLinks(source)
}

// lack notes once that something is not kept.
func (s *scratch) lack(what string) {
	if !slices.Contains(s.found.lacks, what) {
		s.found.lacks = append(s.found.lacks, what)
	}
}

func (s *scratch) same(step, rel string) error {
	var a, b unix.Stat_t
	if err := unix.Lstat(s.src+"/"+rel, &a); err != nil {
		return fmt.Errorf("%s: %s: %w", step, escape.Name(rel), err)
	}
	err := unix.Lstat(s.dst+"/"+rel, &b)
	missing := errors.Is(err, unix.ENOENT)
	if err != nil && !missing {
		return fmt.Errorf("%s: %s: %w", step, escape.Name(rel), err)
	}
	if missing || a.Mode&unix.S_IFMT != b.Mode&unix.S_IFMT {
		switch rel {
		case fifo:
			s.lack("FIFOs")
			return nil
		case device:
			s.lack("device nodes")
			return nil
		}
		return fmt.Errorf("%s: %s is missing or of another type on the target", step, escape.Name(rel))
	}
	if err := s.sameContent(step, rel, a.Mode); err != nil {
		return err
	}
	if a.Uid != b.Uid || a.Gid != b.Gid {
		s.lack("owners and groups")
	}
	if a.Mode != b.Mode {
		s.lack("modes, with set-id and sticky bits")
	}
	if a.Mtim != b.Mtim {
		s.lack("modification times to the nanosecond")
	}
	if rel == device && a.Rdev != b.Rdev {
		s.lack("device nodes")
	}
	if rel == attrFile {
		return s.sameAttrs()
	}
	return nil
}

func (s *scratch) sameContent(step, rel string, mode uint32) error {
	var a, b string
	var err error
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		a, b, err = both(s, rel, func(path string) (string, error) {
			content, err := os.ReadFile(path)
			return string(content), err
		})
	case unix.S_IFLNK:
		a, b, err = both(s, rel, os.Readlink)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	if a != b {
		return fmt.Errorf("%s: %s differs on the target", step, escape.Name(rel))
	}
	return nil
}

// both calls read for the same path of the source and the target.
func both(s *scratch, rel string, read func(string) (string, error)) (a, b string, err error) {
	if a, err = read(s.src + "/" + rel); err != nil {
		return "", "", err
	}
	if b, err = read(s.dst + "/" + rel); err != nil {
		return "", "", err
	}
	return a, b, nil
}

func (s *scratch) sameAttrs() error {
	for _, attr := range []struct {
		on         bool
		name, what string
	}{
		{s.want.Xattrs != rsync.XattrsNone, "user.lockstep", "extended attributes"},
		{s.want.ACLs, "system.posix_acl_access", "access control lists"},
		{s.want.Xattrs == rsync.XattrsAll, "security.capability", "file capabilities"},
	} {
		if !attr.on {
			continue
		}
		a, b, err := both(s, attrFile, func(path string) (string, error) { return getxattr(path, attr.name) })
		if err != nil {
			return err
		}
		if a != b {
			s.lack(attr.what)
		}
	}
	return nil
}

// getxattr returns "" for an attribute that is not there.
func getxattr(path, name string) (string, error) {
	buf := make([]byte, 256)
	n, err := unix.Lgetxattr(path, name, buf)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("%s of %s: %w", name, path, err)
	}
	return string(buf[:n]), nil
}

// hardLinks checks that the two names, once both are there, are one file.
func (s *scratch) hardLinks(source []string) error {
	if !slices.Contains(source, hardSecond) {
		return nil
	}
	var a, b unix.Stat_t
	if err := unix.Lstat(s.dst+"/"+hardFirst, &a); err != nil {
		return fmt.Errorf("%s: %w", hardFirst, err)
	}
	if err := unix.Lstat(s.dst+"/"+hardSecond, &b); err != nil {
		return fmt.Errorf("%s: %w", hardSecond, err)
	}
	if a.Ino != b.Ino {
		s.lack("hard links")
	}
	return nil
}

// names lists all that is below a directory, and "" for itself.
func names(root string) ([]string, error) {
	var out []string
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path == root {
			out = append(out, "")
			return nil
		}
		out = append(out, path[len(root)+1:])
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read a scratch tree: %w", err)
	}
	return out, nil
}

// Package follow goes along a path as the kernel does, one name after the other,
// and shows each directory and each symbolic link on the way.
//
// Trust: pure but for lstat(2) and readlink(2); whoever calls it judges what it
// is shown. Imports: the standard library.
//
// Invariant: what is returned has no symbolic link in it, and every directory in
// which a name of the way was looked up has been shown before that.
package follow

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Link is a symbolic link on the way.
type Link struct {
	Path string
	Text string // what it leads to, as it says
	UID  uint32 // its owner
}

// most is the kernel's own limit (path_resolution(7)).
const most = 40

// Path returns path without symbolic links. It must be absolute. dir is called for
// each directory before a name is looked up in it, link for each link before it is
// followed; an error of theirs ends the way. Both may be nil.
func Path(path string, dir func(path string) error, link func(Link) error) (string, error) {
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("%s: is no absolute path", path)
	}
	at, left := "/", strings.Split(path, "/")
	for links := 0; len(left) > 0; {
		name := left[0]
		left = left[1:]
		switch name {
		case "", ".":
			continue
		case "..": // of what has no link in it
			at = filepath.Dir(at)
			continue
		}
		if dir != nil {
			if err := dir(at); err != nil {
				return "", err
			}
		}
		next := filepath.Join(at, name)
		l, err := read(next)
		switch {
		case err != nil:
			return "", err
		case l == nil:
			at = next
			continue
		}
		if links++; links > most {
			return "", &fs.PathError{Op: "follow", Path: path, Err: syscall.ELOOP}
		}
		if link != nil {
			if err := link(*l); err != nil {
				return "", err
			}
		}
		if filepath.IsAbs(l.Text) {
			at = "/"
		}
		left = append(strings.Split(l.Text, "/"), left...)
	}
	return at, nil
}

// read reads a link; nil: it is none.
func read(path string) (*Link, error) {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return nil, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, fmt.Errorf("%s: has no owner", path)
	}
	text, err := os.Readlink(path)
	return &Link{path, text, st.Uid}, err
}

// Package mark writes small files by which other programs know where a service
// stands.
//
// Trust: linked into the supervisor, which is root. The directories of the files
// were found to be root's alone to write; they are held open, so that no path is
// looked up again.
// Imports: the standard library only.
//
// Invariants: who reads a file sees a whole text, the last or the one before; a file
// that another has put in its place is not removed.
package mark

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// File is the place of a file.
type File struct {
	path string
	dir  *os.Root
	name string
	text string      // what Put wrote last
	ours os.FileInfo // of that; nil: nothing
}

// Open opens the directory of a file.
func Open(path string) (*File, error) {
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("the directory of %s: %w", path, err)
	}
	return &File{path: path, dir: dir, name: filepath.Base(path)}, nil
}

// Path is that of the file.
func (f *File) Path() string { return f.path }

// There says whether there is anything at its name. Where the directory has been made
// anew, nobody means a name in the old one.
func (f *File) There() (bool, error) {
	now, err := os.Stat(filepath.Dir(f.path))
	if err != nil {
		return false, err
	}
	if ours, err := f.dir.Stat("."); err != nil || !os.SameFile(now, ours) {
		return false, errors.Join(errors.New("its directory is another than at the start; restart lockstep"), err)
	}
	_, err = f.dir.Lstat(f.name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Put has the file say a text, and nothing else. Anyone may read it.
func (f *File) Put(text string) (err error) {
	if f.ours != nil && f.text == text {
		return nil
	}
	// One name for each process: what a killed one left is in nobody's way.
	name := "." + f.name + "." + strconv.Itoa(os.Getpid())
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", f.path, err)
		}
	}()
	if err := f.dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	made, err := f.dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = made.WriteString(text)
	if err == nil {
		err = made.Chmod(0o644) // whatever the umask is
	}
	info, e := made.Stat()
	if err = errors.Join(err, e, made.Close()); err == nil {
		err = f.dir.Rename(name, f.name)
	}
	if err != nil {
		return errors.Join(err, f.dir.Remove(name))
	}
	f.text, f.ours = text, info
	return nil
}

// Close removes the file, if it is the one that Put wrote.
func (f *File) Close() error {
	var err error
	if f.ours != nil {
		info, e := f.dir.Lstat(f.name)
		switch {
		case e == nil && os.SameFile(info, f.ours):
			err = f.dir.Remove(f.name)
		case e != nil && !errors.Is(e, fs.ErrNotExist):
			err = e
		}
	}
	return errors.Join(err, f.dir.Close())
}

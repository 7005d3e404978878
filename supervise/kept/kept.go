// Package kept has the files in which lists of a handler stay behind, for a person who
// looks why it did what it did.
//
// Trust: linked into the supervisor, which is root. It makes and removes files, and
// reads none: what is written into them is hostile. They are below the runtime
// directory, which is root's alone to write.
// Imports: the standard library only.
//
// Invariants: the runner of a target gets files that are open, and no directory, so that
// it, and the handler beside it, can add no file and reach no other; each target has its
// own; nothing but what Clear removes is removed.
package kept

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// Lists is how many lists of a target are kept: the newest ones.
const Lists = 16

const lists = "lists"

// Names are what those of a target are called: as descriptors, and in Dir.
func Names() []string {
	var all []string
	for i := range Lists {
		all = append(all, fmt.Sprintf("list-%02d", i+1))
	}
	return all
}

// Dir is where those of a sync are, below the runtime directory.
func Dir(runtime, sync string) string { return filepath.Join(runtime, lists, sync) }

// Clear removes what an earlier lockstep has kept.
func Clear(runtime string) error {
	root, err := os.OpenRoot(runtime)
	if err != nil {
		return fmt.Errorf("lists that an earlier lockstep kept: %w", err)
	}
	if err := errors.Join(root.RemoveAll(lists), root.Close()); err != nil {
		return fmt.Errorf("lists that an earlier lockstep kept cannot be removed: %w", err)
	}
	return nil
}

// Open opens the files of one target of a sync, in the order of Names. What they hold
// stays until it is written over.
func Open(runtime, sync string, target int) ([]*os.File, error) {
	files, err := open(runtime, filepath.Join(lists, sync, strconv.Itoa(target)))
	if err != nil {
		for _, f := range files {
			err = errors.Join(err, f.Close())
		}
		return nil, fmt.Errorf("handler_keep_lists: the files for the lists of the handler: %w", err)
	}
	return files, nil
}

func open(runtime, dir string) (files []*os.File, err error) {
	root, err := os.OpenRoot(runtime)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	if err := root.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for _, name := range Names() {
		f, err := root.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			return files, err
		}
		files = append(files, f)
		info, err := f.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = &fs.PathError{Op: "open", Path: name, Err: errors.New("is not a regular file")}
		}
		if err != nil {
			return files, err
		}
	}
	return files, nil
}

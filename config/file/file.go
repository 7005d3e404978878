// Package file reads a configuration from a TOML file and its drop-ins.
//
// Trust: linked into the supervisor, which is root. It parses nothing that
// somebody else than root could have written.
//
// Invariants: each file is read once, through one descriptor; what is hashed is
// what is parsed. Every fault of every file is told, each with its file, line
// and column; a file with a fault yields no configuration.
package file

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"lockstep/config"
	"lockstep/config/keys"
	"lockstep/config/owned"
	"lockstep/internal/escape"
)

const (
	maxSize    = 1 << 20 // of one file
	maxDropIns = 1000
)

// Read reads the file at path and what is in its drop-in directory
// (lockstep.toml: lockstep.d/*.toml, in the order of their bytes). They must
// belong to one of owners and be writable by nobody else. What is wrong comes
// as config.Problems, and with it what could be read, for Resolve to find more
// that is wrong. It looks at nothing that the keys name: Resolve does.
func Read(path string, owners ...uint32) (config.Set, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return config.Set{}, err
	}
	b := keys.NewFileBuilder(abs)
	add := func(path string, dropIn bool) {
		data, err := Load(path, owners...)
		if err != nil {
			b.Fail(config.Pos{}, escape.Name(path), err.Error(), adviceFile(err))
			return
		}
		take(b, path, data, dropIn)
	}
	add(abs, false)
	names, err := dropIns(abs, owners)
	if err != nil {
		b.Fail(config.Pos{}, escape.Name(dropInDir(abs)), err.Error(), adviceFile(err))
	}
	for _, name := range names {
		add(name, true)
	}
	return b.Build()
}

// Text reads a configuration that was made, not read from a file; name stands for
// it in messages. It has no drop-ins.
func Text(name string, data []byte) (config.Set, error) {
	b := keys.NewFileBuilder(name)
	take(b, name, data, false)
	return b.Build()
}

// take has b take in what is in one file.
func take(b *keys.Builder, path string, data []byte, dropIn bool) {
	sum := sha256.Sum256(data)
	b.AddFile(config.File{Path: path, SHA256: hex.EncodeToString(sum[:])})
	parse(b, path, data, dropIn)
}

func adviceFile(err error) string {
	var owned ownedError
	switch {
	case errors.As(err, &owned):
		return "make it root's alone to write: chown root, chmod go-w"
	case errors.Is(err, fs.ErrNotExist):
		return "name the file by -c"
	}
	return ""
}

// ownedError is that others could have written a file.
type ownedError struct{ error }

// Load reads one file through one descriptor. It must belong to one of owners and be
// writable by nobody else.
func Load(path string, owners ...uint32) (data []byte, err error) {
	// Without blocking: a FIFO is refused below, not waited for.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, bare(err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, bare(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	if err := owned.Check(path, owners...); err != nil {
		return nil, ownedError{fmt.Errorf("is not safe to obey: %w", err)}
	}
	// What was checked by name is what was opened.
	if again, err := os.Stat(path); err != nil || !os.SameFile(info, again) {
		return nil, errors.New("was exchanged while it was read")
	}
	data, err = io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, bare(err)
	}
	if len(data) > maxSize {
		return nil, fmt.Errorf("is larger than %d bytes", maxSize)
	}
	return data, nil
}

// bare is an error without the path, which is told anyway.
func bare(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// dropInDir is the directory of the drop-ins of a file.
func dropInDir(path string) string { return strings.TrimSuffix(path, ".toml") + ".d" }

// dropIns lists them. Hidden files are left by editors and package managers.
func dropIns(path string, owners []uint32) ([]string, error) {
	dir := dropInDir(path)
	entries, err := os.ReadDir(dir) // sorted by name
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, bare(err)
	}
	if err := owned.Check(dir, owners...); err != nil {
		return nil, ownedError{fmt.Errorf("is not safe to obey: %w", err)}
	}
	var names []string
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".toml") && name[0] != '.' {
			names = append(names, filepath.Join(dir, name))
		}
	}
	if len(names) > maxDropIns {
		return nil, fmt.Errorf("holds more than %d files", maxDropIns)
	}
	return names, nil
}

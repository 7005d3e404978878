package host

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"lockstep/config/owned"
	"lockstep/internal/follow"
)

// Command is a program and all the files that it needs to start: the content
// of its jail besides the data.
type Command struct {
	Program string // absolute, without symbolic links
	Dev     uint64
	Ino     uint64
	Loader  string // the ELF interpreter, without symbolic links; "" for a static program
	// Files are the program, its interpreter, its libraries and the loader's
	// cache, by their paths without symbolic links.
	Files []string
	// Links are the symbolic links on the way to them, path to text: merged
	// /usr, the versions of libraries.
	Links map[string]string
}

// limitTime bounds programs that are run once at start (they take milliseconds).
const limitTime = 20 * time.Second

// Inspect finds what rsync needs.
func Inspect(program string) (Command, error) {
	c, err := inspect(program)
	if errors.Is(err, errNoProgram) {
		err = fmt.Errorf("%w; name another with --rsync-path", err)
	}
	return c, err
}

// errNoProgram is in the error for a file that the kernel would not run as a
// program of its own.
var errNoProgram = errors.New("is not a program of this system")

// inspect finds what a program needs. Each file must belong to root and be
// writable by nobody else, since it runs with rights on all files.
func inspect(program string) (Command, error) {
	c := Command{Program: program, Links: map[string]string{}}
	var st syscall.Stat_t
	if err := syscall.Stat(program, &st); err != nil {
		return Command{}, fmt.Errorf("%s: %w", program, err)
	}
	c.Dev, c.Ino = st.Dev, st.Ino
	interp, err := interpreter(program)
	if err != nil {
		return Command{}, err
	}
	need := []string{program}
	if interp != "" {
		libs, err := libraries(interp, program)
		if err != nil {
			return Command{}, err
		}
		need = append(append(need, interp), libs...)
		if _, err := os.Stat("/etc/ld.so.cache"); err == nil {
			need = append(need, "/etc/ld.so.cache")
		}
		if c.Loader, err = filepath.EvalSymlinks(interp); err != nil {
			return Command{}, fmt.Errorf("%s: its loader: %w", program, err)
		}
	}
	return c.with(need...)
}

// with is c with more files that it needs.
func (c Command) with(paths ...string) (Command, error) {
	files := map[string]bool{}
	for _, f := range c.Files {
		files[f] = true
	}
	c.Links = maps.Clone(c.Links)
	for _, path := range paths {
		if err := owned.Check(path, 0); err != nil {
			return Command{}, fmt.Errorf("%s needs %s, which is not safe to use as root: %w", c.Program, path, err)
		}
		real, err := trail(path, c.Links)
		if err != nil {
			return Command{}, fmt.Errorf("%s needs %s: %w", c.Program, path, err)
		}
		files[real] = true
	}
	c.Files = slices.Sorted(maps.Keys(files))
	return c, nil
}

// Refresh inspects the program again if it is not the file that Inspect saw: a
// package's upgrade puts another in its place, while jails keep the old one.
func (c Command) Refresh() (now Command, changed bool, err error) {
	if c.Program == "" { // of a sync that has none
		return c, false, nil
	}
	var st syscall.Stat_t
	if syscall.Stat(c.Program, &st) == nil && st.Dev == c.Dev && st.Ino == c.Ino {
		return c, false, nil
	}
	now, err = Inspect(c.Program)
	return now, true, err
}

// interpreter reads PT_INTERP: the dynamic loader, or "" for a static program.
func interpreter(program string) (string, error) {
	f, err := elf.Open(program)
	if err != nil {
		return "", fmt.Errorf("%s %w: %w", program, errNoProgram, err)
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		data, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
		if err = errors.Join(err, f.Close()); err != nil {
			return "", fmt.Errorf("%s: its loader's name: %w", program, err)
		}
		name := string(bytes.TrimRight(data, "\x00"))
		if !filepath.IsAbs(name) {
			return "", fmt.Errorf("%s: its loader %q is not an absolute path", program, name)
		}
		return name, nil
	}
	return "", f.Close()
}

// libraries asks the loader itself which files it would map. It maps them and
// runs none of their code (ld.so(8), --list).
func libraries(interp, program string) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limitTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, interp, "--list", program)
	cmd.Env = []string{"PATH=/usr/bin", "LANG=C"}
	cmd.Dir = "/"
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: its libraries cannot be listed: %w", program, err)
	}
	return parseLibraries(string(out), program)
}

// parseLibraries reads lines of "NAME => PATH (ADDRESS)" and "PATH (ADDRESS)".
func parseLibraries(text, program string) ([]string, error) {
	var libs []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, path, arrow := strings.Cut(line, " => ")
		if !arrow {
			path = name // the loader itself, or the vdso, which is no file
		}
		if i := strings.LastIndex(path, " (0x"); i >= 0 {
			path = path[:i]
		}
		switch {
		case arrow && strings.HasPrefix(path, "not found"):
			return nil, fmt.Errorf("%s: its library %s is missing; install it anew", program, name)
		case filepath.IsAbs(path):
			libs = append(libs, path)
		}
	}
	return libs, nil
}

// trail follows path to the file it means, and takes down each symbolic link
// on the way.
func trail(path string, links map[string]string) (string, error) {
	return follow.Path(path, nil, func(l follow.Link) error {
		links[l.Path] = l.Text
		return nil
	})
}

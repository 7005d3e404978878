package host

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"lockstep/config"
	"lockstep/config/owned"
	"lockstep/plugin/object"
)

// Handler is a program of a person's, and what its jail shows of the host so that
// it can start others.
type Handler struct {
	Program  string // absolute, without symbolic links
	Dev, Ino uint64
	Module   Module
	Dirs     []string          // directories of programs and libraries
	Links    map[string]string // symbolic links, path to text: merged /usr
	Files    []string          // what programs read at their start
	Devices  []string
	IDs      config.IDs // as whom it runs; the zero value: root's uid, with the rights to copy

	what    string  // it is, in messages
	Network bool    // it has the host's
	Names   string  // with a network: the file of name servers, which the jail has as /etc/resolv.conf; "": there is none
	Shows   []Shown // what a person has it read beside, and directories for the network
	Writes  []Shown // and what it may write to
}

// Module is a shared object of a person's. Where there is one, the program is our
// own, which calls the functions in it.
type Module struct {
	Path     string // absolute, without symbolic links; "": there is none
	Dev, Ino uint64
}

// InspectHandler looks at a sync's as it is now. It and its interpreter must be
// root's alone to write, and so must the directories that its jail shows.
func InspectHandler(s config.Sync) (Handler, error) {
	h := Handler{Links: map[string]string{}, IDs: s.HandlerIDs, what: "handler"}
	look := h.program
	if s.CallsModule() {
		look = h.module
	}
	if err := look(s.Handler); err != nil {
		return Handler{}, err
	}
	if err := h.dirs(); err != nil {
		return Handler{}, err
	}
	var err error
	if !s.CallsModule() {
		err = h.interpreter()
	}
	return h, errors.Join(err, h.extras(), h.beside(s))
}

// beside adds what a person has named for this handler.
func (h *Handler) beside(s config.Sync) (err error) {
	if h.Network = s.Network; h.Network {
		if err := h.network(); err != nil {
			return err
		}
	}
	reads, err := shown(s.Reads)
	if err != nil {
		return err
	}
	h.Writes, err = shown(s.Writes)
	for _, one := range reads {
		if !h.has(one.Path) {
			h.Shows = append(h.Shows, one)
		}
	}
	return err
}

// has says that the jail shows a path of /etc in any case.
func (h *Handler) has(path string) bool {
	return path == resolvConf || slices.Contains(h.Files, path) || slices.Contains(h.Dirs, path) ||
		slices.ContainsFunc(h.Shows, func(one Shown) bool { return one.Path == path })
}

// InspectHook looks at a program that is called when a sync ends, as at a handler.
func InspectHook(path string, as config.IDs) (Handler, error) {
	h := Handler{Links: map[string]string{}, IDs: as, what: "hook"}
	if err := errors.Join(h.program(path), h.dirs()); err != nil {
		return Handler{}, err
	}
	return h, errors.Join(h.interpreter(), h.extras())
}

// dirs adds the directories of programs and libraries.
func (h *Handler) dirs() error {
	for _, dir := range config.HandlerDirs() {
		if err := h.dir(dir); err != nil {
			return err
		}
	}
	return nil
}

// program looks at a program.
func (h *Handler) program(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("%s %s: %w", h.what, path, err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 || info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
		return fmt.Errorf("%s %s is not an executable file without set-id bits; name another", h.what, path)
	}
	h.Program, h.Dev, h.Ino = path, st.Dev, st.Ino
	return safe(path)
}

// module looks at a shared object, and at the program that calls it.
func (h *Handler) module(path string) error {
	file, err := object.Open(path, 0)
	if err != nil {
		return err
	}
	var st syscall.Stat_t
	err = syscall.Fstat(int(file.Fd()), &st)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("module %s: %w", path, err)
	}
	h.Module = Module{Path: path, Dev: st.Dev, Ino: st.Ino}
	const exe = "/proc/self/exe"
	self, err := os.Readlink(exe)
	if err == nil {
		err = syscall.Stat(exe, &st)
	}
	if err != nil {
		return fmt.Errorf("this program cannot be found: %w", err)
	}
	return h.caller(siblings(strings.TrimSuffix(self, " (deleted)")), st.Uid)
}

// caller looks at the program that calls the functions of modules. It is in dir, and
// root's, or owner's, who has this program too.
func (h *Handler) caller(dir string, owner uint32) error {
	path := filepath.Join(dir, "lockstep-plugin")
	image, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("what calls modules: %w; build or install all of lockstep again", err)
	}
	defer image.Close()
	if err := owned.Check(path, 0, owner); err != nil {
		return fmt.Errorf("program %s: not safe to run: %w; build or install lockstep again, as root", path, err)
	}
	var st syscall.Stat_t
	if err := syscall.Fstat(int(image.Fd()), &st); err != nil {
		return fmt.Errorf("program %s: %w", path, err)
	}
	// The path without links, for the jail; the file that was looked at is the one
	// that stage one and the runner ask for.
	if h.Program, err = filepath.EvalSymlinks(path); err != nil {
		return fmt.Errorf("program %s: %w", path, err)
	}
	h.Dev, h.Ino = st.Dev, st.Ino
	if err := sameBuild(path, image); err != nil {
		return fmt.Errorf("%w, or start it again if that was done", err)
	}
	return nil
}

func safe(path string) error {
	if err := owned.Check(path, 0); err != nil {
		return fmt.Errorf("a handler or a hook needs %s, which is not safe to use as root: %w; make it root's alone to write", path, err)
	}
	return nil
}

// dir adds a directory, or the link that it is.
func (h *Handler) dir(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		text, err := os.Readlink(path)
		if err != nil {
			return err
		}
		h.Links[path] = text
		return safe(path)
	case !info.IsDir():
		return fmt.Errorf("%s is no directory", path)
	}
	h.Dirs = append(h.Dirs, path)
	return safe(path)
}

// Within says that the program is in a directory that the jail shows.
func (h *Handler) Within(path string) bool {
	for _, dir := range h.Dirs {
		if strings.HasPrefix(path, dir+"/") {
			return true
		}
	}
	return false
}

// interpreter looks at that of a script: the kernel starts it.
func (h *Handler) interpreter() error {
	f, err := os.Open(h.Program)
	if err != nil {
		return err
	}
	defer f.Close()
	const most = 256 // of which the kernel reads a line
	line, err := bufio.NewReader(io.LimitReader(f, most)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s %s: %w", h.what, h.Program, err)
	}
	rest, script := strings.CutPrefix(line, "#!")
	if !script {
		return nil
	}
	words := strings.Fields(rest)
	if len(words) == 0 || !filepath.IsAbs(words[0]) {
		return fmt.Errorf("%s %s: its first line names no interpreter by an absolute path; begin it with #!/bin/sh", h.what, h.Program)
	}
	real, err := filepath.EvalSymlinks(words[0])
	if err != nil {
		return fmt.Errorf("%s %s: its interpreter: %w", h.what, h.Program, err)
	}
	if !h.Within(real) {
		return fmt.Errorf("%s %s: its interpreter %s is in none of the directories that its jail shows; use one of %s",
			h.what, h.Program, real, strings.Join(h.Dirs, ", "))
	}
	return safe(words[0])
}

// extras are what programs look for at their start and go on without.
func (h *Handler) extras() error {
	for _, path := range []string{"/etc/ld.so.cache", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf"} {
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
			if err := safe(path); err != nil {
				return err
			}
			h.Files = append(h.Files, path)
		}
	}
	const alternatives = "/etc/alternatives" // of Debian: awk is a link to one there
	if info, err := os.Lstat(alternatives); err == nil && info.IsDir() {
		if err := safe(alternatives); err != nil {
			return err
		}
		h.Dirs = append(h.Dirs, alternatives)
	}
	for _, path := range []string{"/dev/null", "/dev/zero", "/dev/urandom"} {
		if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeCharDevice != 0 {
			h.Devices = append(h.Devices, path)
		}
	}
	return nil
}

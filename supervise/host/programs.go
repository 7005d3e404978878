package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"lockstep/config/owned"
	"lockstep/internal/buildinfo"
	"lockstep/internal/escape"
	"lockstep/internal/memfd"
)

// Programs are the sealed images of this program and its siblings. They serve
// every restart, so that a package upgrade never mixes versions.
type Programs struct {
	Self, Helper, Worker, Runner, Resolver *os.File
	Gate                                   *os.File // nil where there is no control socket
}

// libexec is where an installed package keeps the siblings.
const libexec = "/usr/libexec/lockstep"

// SealPrograms finds the siblings beside this program, else in libexec, never
// by PATH. They must belong to whom c may trust (Caller.owners) and carry the
// same build id. The gate is one of them where there is a control socket.
func SealPrograms(c Caller, control bool) (*Programs, error) {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil, fmt.Errorf("this program cannot be found: %w", err)
	}
	if strings.HasSuffix(self, " (deleted)") {
		return nil, fmt.Errorf("%s was replaced while it was started; start it again", escape.Name(strings.TrimSuffix(self, " (deleted)")))
	}
	var st syscall.Stat_t
	if err := syscall.Stat("/proc/self/exe", &st); err != nil {
		return nil, fmt.Errorf("%s: %w", escape.Name(self), err)
	}
	dir := siblings(self)
	p := &Programs{}
	type program struct {
		to   **os.File
		path string
		open string
	}
	all := []program{
		// What runs is sealed, not what has its name by now.
		{&p.Self, self, "/proc/self/exe"},
		{&p.Helper, filepath.Join(dir, "lockstep-helper"), ""},
		{&p.Worker, filepath.Join(dir, "lockstep-worker"), ""},
		{&p.Runner, filepath.Join(dir, "lockstep-runner"), ""},
		{&p.Resolver, filepath.Join(dir, "lockstep-resolver"), ""},
	}
	if control {
		all = append(all, program{&p.Gate, filepath.Join(dir, "lockstep-gate"), ""})
	}
	// At the same time: each is copied and run once, which has nothing to do
	// with the others.
	errs := make([]error, len(all))
	var seals sync.WaitGroup
	for i, one := range all {
		if one.open == "" {
			one.open = one.path
		}
		seals.Go(func() { *one.to, errs[i] = seal(one.path, one.open, c.owners(st.Uid)) })
	}
	seals.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// siblings is the directory in which the other programs of this one's build are.
func siblings(self string) string {
	dir := filepath.Dir(self)
	if _, err := os.Stat(filepath.Join(dir, "lockstep-helper")); errors.Is(err, os.ErrNotExist) {
		return libexec
	}
	return dir
}

// Sibling is where the program of this name is, of those that SealPrograms takes.
func Sibling(name string) (string, error) {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return "", fmt.Errorf("this program cannot be found: %w", err)
	}
	return filepath.Join(siblings(strings.TrimSuffix(self, " (deleted)")), name), nil
}

// Close gives the images back.
func (p *Programs) Close() error {
	var err error
	for _, f := range []*os.File{p.Self, p.Helper, p.Worker, p.Runner, p.Resolver, p.Gate} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

// seal checks one program and copies it into a sealed memfd. Its build is asked
// of the copy, which nobody can change any more.
func seal(path, open string, owners []uint32) (*os.File, error) {
	name := escape.Name(path)
	if err := owned.Check(path, owners...); err != nil {
		return nil, fmt.Errorf("program %s: not safe to run: %w; build or install lockstep again, as root or as who starts it", name, err)
	}
	src, err := os.Open(open)
	if err != nil {
		return nil, fmt.Errorf("program %s: %w; build or install lockstep again", name, err)
	}
	image, err := memfd.Image(filepath.Base(path), src)
	err = errors.Join(err, src.Close())
	if err != nil {
		return nil, fmt.Errorf("program %s: cannot be sealed: %w", name, err)
	}
	if err := sameBuild(path, image); err != nil {
		return nil, errors.Join(err, image.Close())
	}
	return image, nil
}

// sameBuild makes sure that an image is of this program's build.
func sameBuild(path string, image *os.File) error {
	id, err := buildID(image)
	if err == nil && id != buildinfo.ID {
		err = fmt.Errorf("is of build %s, this program of %s", escape.Name(id), buildinfo.ID)
	}
	if err != nil {
		return fmt.Errorf("program %s: %w; build or install all of lockstep again", escape.Name(path), err)
	}
	return nil
}

// buildID runs an image once, with an empty environment.
func buildID(image *os.File) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limitTime)
	defer cancel()
	// The number is the child's. The image's own number is not safe there: the
	// child moves its end of a pipe out of the way of the descriptors that it is
	// given (syscall.forkAndExecInChild), and may move it onto the image.
	cmd := exec.CommandContext(ctx, "/proc/self/fd/3", "build-id")
	cmd.ExtraFiles = []*os.File{image}
	cmd.Env = []string{}
	cmd.Dir = "/"
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("does not tell its build: %w", err)
	}
	const longest = 64
	id := strings.TrimSuffix(string(out), "\n")
	if id == "" || len(id) > longest {
		return "", fmt.Errorf("tells an odd build id of %d bytes", len(id))
	}
	return id, nil
}

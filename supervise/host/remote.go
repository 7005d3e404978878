package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lockstep/rsync"
)

// DefaultSSH is where ssh is installed.
const DefaultSSH = "/usr/bin/ssh"

// Remote is what the jail of a remote target's runner must hold.
type Remote struct {
	Rsync Command
	SSH   Command // Program is "" where the target is an rsync daemon
}

// InspectRemote finds what rsync, which Inspect has seen, and ssh need to reach
// a target of this kind.
func InspectRemote(c Command, kind rsync.Kind, ssh string) (Remote, error) {
	r := Remote{Rsync: c}
	var err error
	switch kind {
	case rsync.Daemon:
		r.Rsync, err = withNames(c)
		return r, err
	case rsync.SSH:
		program, err := filepath.EvalSymlinks(ssh)
		if err != nil {
			return Remote{}, fmt.Errorf("%s, which a target over ssh needs: %w; install OpenSSH's client", ssh, err)
		}
		if r.SSH, err = inspect(program); err != nil {
			return Remote{}, err
		}
		r.SSH, err = withNames(r.SSH)
		return r, err
	}
	return Remote{}, errors.New("a local target has no remote jail")
}

// withNames adds what the C library loads to read /etc/passwd and /etc/hosts:
// until glibc 2.34 a library beside its own, by a name that no list shows.
func withNames(c Command) (Command, error) {
	at := slices.IndexFunc(c.Files, func(f string) bool {
		name := filepath.Base(f)
		return name == "libc.so.6" || strings.HasPrefix(name, "libc-2.")
	})
	if at < 0 {
		return c, nil // another C library, or a static program
	}
	lib := filepath.Join(filepath.Dir(c.Files[at]), "libnss_files.so.2")
	if _, err := os.Stat(lib); errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	return c.with(lib)
}

// Package way finds the way to a target on another host: the addresses of its
// name, and the keys and passwords that a person has given for it.
//
// Trust: linked into the supervisor. What a name server answers is hostile.
//
// Invariant: a secret is read from a file that only root can have written (and
// only root can read, but for known hosts), each time anew, and is held by the
// jail of the one runner that needs it.
package way

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/config"
	"lockstep/config/owned"
	"lockstep/internal/escape"
	"lockstep/rsync"
	"lockstep/supervise/brief"
	"lockstep/supervise/host"
	"lockstep/supervise/jail"
	"lockstep/supervise/resolve"
)

// lookUpTime bounds the look-up of a name.
const lookUpTime = 10 * time.Second

// maxSecret is more than any key, list of known hosts or password should have.
const maxSecret = 256 << 10

// Goal is the target, and who wants to get there.
type Goal struct {
	Target   config.Target
	Config   config.Config
	Rsync    host.Command // as Inspect found it
	UID, GID int          // the runner's
}

// Find finds the way as things are now. It takes lookUpTime, and a little for
// looking at programs and files.
func (g Goal) Find() (jail.Remote, error) {
	remote := brief.Remote(g.Target)
	r := jail.Remote{Kind: remote.Kind, Port: remote.Port, UID: g.UID, GID: g.GID}
	var err error
	if r.Command, err = host.InspectRemote(g.Rsync, remote.Kind, host.DefaultSSH); err != nil {
		return r, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookUpTime)
	defer cancel()
	if r.Hosts, err = resolve.Host(ctx, g.Target.Host); err != nil {
		return r, fmt.Errorf("host unknown: %w", err)
	}
	switch {
	case remote.Kind == rsync.SSH:
		if r.Identity, err = readSecret(g.Config.SSH.Identity, true); err == nil {
			r.KnownHosts, err = readSecret(g.Config.SSH.KnownHosts, false)
		}
	case g.Config.PasswordFile != "":
		r.Password, err = readSecret(g.Config.PasswordFile, true)
	}
	return r, err
}

// readSecret reads what only root can have written, and, when it is private,
// only root can read: as it is now, whatever it was when the service began.
func readSecret(path string, private bool) ([]byte, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	data, err := read(f, private)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", escape.Name(path), err)
	}
	return data, nil
}

// open opens a file that is in a place of root's. It waits for nobody, whatever
// is there.
func open(path string) (*os.File, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(owned.Check(path, 0), owned.Check(real, 0)); err != nil {
		return nil, fmt.Errorf("%s: %w", escape.Name(path), err)
	}
	return os.OpenFile(real, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

// read reads what was opened, if that very file is as it must be.
func read(f *os.File, private bool) ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, err
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, errors.New("is not a regular file")
	case st.Uid != 0:
		return nil, fmt.Errorf("belongs to uid %d", st.Uid)
	case private && st.Mode&0o077 != 0:
		return nil, fmt.Errorf("can be read by others (mode %04o): make it root's alone: chmod 600", st.Mode&0o7777)
	case st.Mode&0o002 != 0, st.Mode&0o020 != 0 && st.Gid != 0:
		return nil, fmt.Errorf("can be written by others (mode %04o): chmod go-w", st.Mode&0o7777)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err == nil && len(data) > maxSecret {
		err = fmt.Errorf("has more than %d bytes", maxSecret)
	}
	return data, err
}

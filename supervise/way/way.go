// Package way finds the way to a target on another host: the addresses of its
// name, and the keys and passwords that a person has given for it.
//
// Trust: linked into the supervisor. What a name server answers is hostile.
//
// Invariant: a secret is read from a file that only root can have written, each
// time anew, and is held by the jail of the one runner that needs it.
package way

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"lockstep/config"
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
		if r.Identity, err = readSecret(g.Config.SSH.Identity); err == nil {
			r.KnownHosts, err = readSecret(g.Config.SSH.KnownHosts)
		}
	case g.Config.PasswordFile != "":
		r.Password, err = readSecret(g.Config.PasswordFile)
	}
	return r, err
}

func readSecret(path string) ([]byte, error) {
	if err := config.CheckOwned(path, 0); err != nil {
		return nil, fmt.Errorf("%s: %w", escape.Name(path), err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if len(data) > maxSecret {
		return nil, fmt.Errorf("%s: has more than %d bytes", escape.Name(path), maxSecret)
	}
	return data, nil
}

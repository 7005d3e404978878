package rsync

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Kind says how a target is reached. The zero value is this host.
type Kind uint8

// The kinds.
const (
	Local  Kind = iota
	SSH         // rsync is started there by a remote shell
	Daemon      // an rsync that listens
)

// Remote says where a target is.
type Remote struct {
	Kind Kind
	User string // "": ssh's or the daemon's default
	Host string // a name or an address, IPv6 without brackets
	Port uint16
	// Stall is after which silence of the other side rsync ends with 30; 0 is
	// DefaultStall. (A job's own time-out is the runner's.)
	Stall time.Duration
}

// DefaultStall bounds the silence of the other side. It speaks also while it
// has nothing to say (protocol 29 on).
const DefaultStall = 2 * time.Minute

// contentStall is DefaultStall where the content of files is compared, which
// takes as long as reading the largest of them.
const contentStall = 6 * time.Hour

// The places of what a remote target needs, in the jail of its runner.
const (
	ConnectPath    = "/lockstep/run/connect" // what rsync takes for its remote shell: ParseConnect
	SSHPath        = "/lockstep/ssh"         // a link to the installed ssh
	IdentityPath   = "/lockstep/identity"
	KnownHostsPath = "/lockstep/known_hosts"
	PasswordPath   = "/lockstep/password" // of the daemon's user; may be missing
)

// Seconds after which a connection that is not made, or over which a live peer
// would have answered (alive times aliveMost), is given up.
const (
	connectTime = 20
	aliveTime   = 15
	aliveMost   = 3
)

// words are rsync's options for the connection. -s (since 3.2.6 also called
// --secluded-args) sends all arguments by the protocol, so that no shell there
// sees a path. Never --rsync-path: a shell there would read it.
func (r Remote) words() []string {
	stall := r.Stall
	if stall <= 0 {
		stall = DefaultStall
	}
	seconds := max(1, (stall+time.Second-1)/time.Second)
	words := []string{"-s", fmt.Sprintf("--timeout=%d", seconds)}
	switch r.Kind {
	case SSH:
		return append(words, "-e", ConnectPath+" -p "+strconv.Itoa(int(r.Port)))
	case Daemon:
		// Without TCP_NODELAY a small job waits three times 40 ms for an
		// acknowledgement that is delayed (ssh sets it by itself).
		words = append(words, fmt.Sprintf("--contimeout=%d", connectTime), "--sockopts=TCP_NODELAY")
		if r.User != "" {
			words = append(words, "--password-file="+PasswordPath)
		}
		return words
	}
	return nil
}

// place is the target as rsync takes it.
func (r Remote) place(path string) string {
	if r.Kind == Local {
		return path
	}
	host := r.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if r.User != "" {
		host = r.User + "@" + host
	}
	if r.Kind == SSH {
		return host + ":" + path
	}
	return "rsync://" + host + ":" + strconv.Itoa(int(r.Port)) + "/" + strings.TrimLeft(path, "/")
}

// CheckPath refuses a path (of a daemon: a module, and a path in it) that the
// other side would take for something else: with -s its rsync expands patterns
// in the path of a target, while no shell turns "~" into a home.
func CheckPath(path string) error {
	const longest = 4096
	switch {
	case path == "":
		return errors.New("there is no path")
	case len(path) > longest:
		return fmt.Errorf("longer than %d bytes", longest)
	case strings.ContainsFunc(path, isControl):
		return errors.New("has a control character")
	case strings.ContainsAny(path, `*?[\`):
		return errors.New(`has one of * ? [ \, which the rsync there would expand`)
	case strings.HasPrefix(path, "~"):
		return errors.New(`begins with "~", which nothing there expands; leave "~/" out: a relative path is below the home`)
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == ".." {
			return errors.New(`has the component ".."`)
		}
	}
	return nil
}

package config

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path"
	"strconv"
	"strings"

	"lockstep/config/owned"
	"lockstep/internal/escape"
)

// TargetKind is how a target is reached.
type TargetKind uint8

// The kinds: a directory of this host, one of another host by ssh, a module of
// an rsync daemon; none that lockstep knows of, in the one target of a sync whose
// handler is told and has no directory.
const (
	Local TargetKind = iota
	SSHTarget
	Daemon
	None
)

func (k TargetKind) String() string {
	switch k {
	case SSHTarget:
		return "ssh"
	case Daemon:
		return "rsync daemon"
	case None:
		return "none"
	default:
		return "local"
	}
}

// The ports when none is given.
const (
	SSHPort    = 22
	DaemonPort = 873
)

// Target is one place that is kept in step.
type Target struct {
	Spec string // as written; escape it before it is shown
	Kind TargetKind
	// Path: Local: absolute and without symbolic links after Resolve. SSH: the
	// path there, absolute or below the login directory. Daemon: module and
	// path, "mod/dir".
	Path string
	User string // remote: "" is none
	Host string // remote: a name, or an address without brackets
	Port uint16 // remote: the TCP port
	// Missing says that a local target is not there yet: Make makes it.
	Missing bool
}

// Remote says that the target is on another host.
func (t Target) Remote() bool { return t.Kind == SSHTarget || t.Kind == Daemon }

// Here says that it is a directory of this host.
func (t Target) Here() bool { return t.Kind == Local }

// String is the target in one spelling. (The port of a target by ssh is the key
// ssh.port.)
func (t Target) String() string {
	host := t.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if t.User != "" {
		host = t.User + "@" + host
	}
	switch t.Kind {
	case SSHTarget:
		return host + ":" + t.Path
	case Daemon:
		if t.Port != DaemonPort {
			host += ":" + strconv.Itoa(int(t.Port))
		}
		return "rsync://" + host + "/" + t.Path
	case None:
		return "its handler"
	}
	return t.Path
}

// Make makes a missing target: its last component only, closed to others until
// the first pass gives it the source's mode.
func (t Target) Make() error {
	if !t.Missing {
		return nil
	}
	if err := os.Mkdir(t.Path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return Problem{Thing: escape.Name(t.Path), Reason: "cannot be made: " + owned.Reason(err).Error(), Advice: "make it by hand, or name another target"}
	}
	return nil
}

// Limits of names.
const (
	maxPath = 4095 // PATH_MAX without its NUL
	MaxName = 64   // of a sync
)

// CheckPath refuses what no path can be. (A path itself is checked by Resolve.)
func CheckPath(v string) error {
	switch {
	case v == "":
		return errors.New("is empty")
	case strings.IndexByte(v, 0) >= 0:
		return errors.New("has a NUL byte")
	case len(v) > maxPath:
		return fmt.Errorf("is longer than %d bytes", maxPath)
	}
	return nil
}

const daemonScheme = "rsync://"

// ParseTarget reads a target as rsync would, but takes nothing that could be
// read in two ways, or as an option of ssh or rsync.
func ParseTarget(v string) (Target, error) {
	if err := CheckPath(v); err != nil {
		return Target{}, err
	}
	t := Target{Spec: v}
	var err error
	colon, slash := strings.IndexByte(v, ':'), strings.IndexByte(v, '/')
	switch {
	case len(v) >= len(daemonScheme) && strings.EqualFold(v[:len(daemonScheme)], daemonScheme):
		err = t.parseURL(v[len(daemonScheme):])
	case colon < 0 || slash >= 0 && slash < colon:
		t.Path = v
	case strings.HasPrefix(v[colon:], "://"):
		err = bad(fmt.Sprintf("%q is no kind of target", v[:colon]), "write USER@HOST:PATH or rsync://HOST/MODULE/PATH")
	default:
		err = t.parseRemote(v)
	}
	if err == nil && t.Remote() && isControl(v) {
		err = bad("has a control character", "write the name without it")
	}
	if err != nil {
		return Target{}, err
	}
	return t, nil
}

// bad is an error with its own advice.
func bad(reason, advice string) error { return Problem{Reason: reason, Advice: advice} }

// parseURL reads [user@]host[:port]/module[/path].
func (t *Target) parseURL(v string) error {
	where, module, _ := strings.Cut(v, "/")
	if before, _, there := strings.Cut(where, "@"); there && strings.Contains(before, ":") {
		return bad("holds a password, which others can read here", "write rsync://USER@HOST/MODULE, and name a file with the password by password_file")
	}
	t.Kind, t.Port = Daemon, DaemonPort
	rest, err := t.parseHost(where)
	if err != nil {
		return err
	}
	if rest != "" {
		port, err := ParsePort(rest[1:])
		if err != nil {
			return err
		}
		t.Port = port
	}
	if module == "" {
		return bad("names no module of the daemon", "write rsync://HOST/MODULE or rsync://HOST/MODULE/DIR")
	}
	return t.setPath(module)
}

// parseRemote reads [user@]host:path and [user@]host::module[/path].
func (t *Target) parseRemote(v string) error {
	rest, err := t.parseHost(v)
	if err != nil {
		return err
	}
	if module, daemon := strings.CutPrefix(rest, "::"); daemon {
		t.Kind, t.Port = Daemon, DaemonPort
		if module == "" {
			return bad("names no module of the daemon", "write rsync://HOST/MODULE or rsync://HOST/MODULE/DIR")
		}
		return t.setPath(module)
	}
	t.Kind, t.Port = SSHTarget, SSHPort
	return t.setPath(strings.TrimPrefix(rest, ":"))
}

// parseHost reads [user@]host and returns what follows: nothing, or a colon and
// more.
func (t *Target) parseHost(v string) (rest string, err error) {
	end := strings.IndexByte(v, ':')
	if at := strings.IndexByte(v, '@'); at >= 0 && (end < 0 || at < end) {
		t.User, v = v[:at], v[at+1:]
		if !IsUser(t.User) {
			return "", bad(fmt.Sprintf("%q cannot be a user", t.User), "use letters, digits and . _ + -, of which - is not the first")
		}
	}
	if inner, bracket := strings.CutPrefix(v, "["); bracket {
		address, rest, closed := strings.Cut(inner, "]")
		ip, err := netip.ParseAddr(address)
		if !closed || err != nil || ip.Zone() != "" || rest != "" && rest[0] != ':' {
			return "", bad(fmt.Sprintf("%q does not begin with an address in brackets", v), "write it as [2001:db8::1]:PATH")
		}
		t.Host = ip.String()
		return rest, nil
	}
	host, rest := v, ""
	if i := strings.IndexByte(v, ':'); i >= 0 {
		host, rest = v[:i], v[i:]
	}
	if !isHost(host) {
		return "", bad(fmt.Sprintf("%q cannot be a host", host), "use letters, digits and . _ -, of which . and - are neither first nor last; a local path with a colon is written ./"+escape.Name(t.Spec))
	}
	t.Host = strings.ToLower(host)
	return rest, nil
}

// setPath takes the path on the other host.
func (t *Target) setPath(v string) error {
	module, _, _ := strings.Cut(v, "/")
	switch {
	case v == "":
		return bad("has no path on the other host", "write HOST:/PATH, HOST::MODULE or rsync://HOST/MODULE")
	case v[0] == '-':
		return bad(fmt.Sprintf("the path %q begins with a dash", v), "write ./"+escape.Name(v))
	case hasParent(v):
		return bad(fmt.Sprintf("the path %q has a .. in it", v), "write the path that it means")
	}
	if t.Kind == SSHTarget && v[0] == '~' {
		return bad(fmt.Sprintf("the path %q begins with ~", v), "write a path below the login directory without it: HOST:DIR")
	}
	v = path.Clean(v)
	switch {
	case t.Kind == Daemon && (module == "" || module == "." || strings.ContainsAny(module, ":[]*?")):
		return bad(fmt.Sprintf("%q cannot be a module of an rsync daemon", module), "write the name that stands in brackets in its rsyncd.conf")
	case v == "/":
		return bad("the root directory of the other host cannot be a target", "name a directory of your own data")
	case v == ".":
		return bad("is the login directory itself, whose keys would be deleted", "name a directory below it")
	}
	if t.Kind == SSHTarget && strings.IndexByte("-:~", v[0]) >= 0 {
		v = "./" + v // as it was written, or it would be read as something else
	}
	t.Path = v
	return nil
}

// ParsePort reads the number of a port.
func ParsePort(v string) (uint16, error) {
	n, err := strconv.ParseUint(v, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a port", v)
	}
	return uint16(n), nil
}

func isControl(v string) bool {
	return strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 })
}

// hasParent says that a component of a path is "..".
func hasParent(v string) bool {
	for part := range strings.SplitSeq(v, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}

// IsUser says that v can be the name of a user.
func IsUser(v string) bool {
	return v != "" && len(v) <= 64 && v[0] != '-' && Only(v, "._+-")
}

func isHost(v string) bool {
	return v != "" && len(v) <= 253 && strings.Trim(v, ".-") == v && Only(v, "._-") && !strings.Contains(v, "..")
}

// Only says that v is of letters, digits and what is in more.
func Only(v, more string) bool {
	for _, c := range []byte(v) {
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && strings.IndexByte(more, c) < 0 {
			return false
		}
	}
	return true
}

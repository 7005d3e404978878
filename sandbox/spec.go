package sandbox

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"lockstep/sandbox/landlock"
)

// Spec is one program's jail. The supervisor writes it, stage one reads it from
// a sealed memfd. All paths are absolute and clean.
type Spec struct {
	Role string   // for messages and for ps
	Argv []string // the program's, complete
	Env  []string // the program's, complete but for LOCKSTEP_FDS
	// Unprivileged: the supervisor is not root, and this is what any process can
	// do to itself. There are no namespaces and no root of its own, the ids are
	// the supervisor's, and no capability is held; Landlock must be there.
	Unprivileged bool
	// UID and GID are the program's only ids; it has no other groups.
	UID, GID int
	// Caps are the capabilities (bit numbers of capabilities(7)) in all five
	// sets of the program; ambient, so that they survive execve.
	Caps uint64
	// Namespaces are CLONE_NEW* flags. CLONE_NEWNS is always needed, but none are
	// had by who is Unprivileged.
	Namespaces uintptr

	// What the root, an otherwise empty read-only tmpfs, holds. Directories
	// above a path need not be named. A link is made last and never followed.
	Dirs  []string
	Links []Link
	Files []File
	Binds []Bind
	// Image, when not "", is where a copy of the program's own image can be
	// executed. Its directory is a read-only mount of its own with nothing
	// else in it: the rest of the root is noexec.
	Image string
	// Opens are directories inside the jail that are opened for reading and
	// donated.
	Opens []Open

	// Landlock names what may be done below which path; nothing else may be
	// done to any file, with network ports, or with processes outside; but
	// Connect are TCP ports to which it may connect, on any host that its
	// network namespace reaches; landlock.AnyPort is all of them.
	Landlock []Rule
	Connect  []uint16
	// Unrestricted are rights (LANDLOCK_ACCESS_FS_*) that Landlock leaves alone:
	// for what the kernel itself does in the program's name, with objects that have
	// no path, so that no rule can grant it.
	Unrestricted uint64
	// AllowNoLandlock: go on where the kernel has no Landlock at all.
	AllowNoLandlock bool

	Rlimits     []Rlimit
	DeviceProbe DeviceProbe
}

// Link is a symbolic link; Target may be relative.
type Link struct{ Path, Target string }

// File is a small read-only file of the jail's own: root's with mode 0444, or,
// when Secret, the program's with mode 0400.
type File struct {
	Path   string
	Data   []byte
	Secret bool
}

// Bind shows a directory or file of the host inside the jail: read-only,
// nosuid, nodev and noexec except where it says otherwise. No component of
// Source may be a symbolic link. Mounts below Source are shown only when
// Recursive, with the same flags; later mounts of the host never are.
type Bind struct {
	Source, Target string
	Writable       bool
	Exec           bool
	Devices        bool // device nodes work (the device filter still decides)
	Recursive      bool
	File           bool // Source is a file, not a directory
	// Scratch, when not 0, is the size in bytes of an empty directory of the jail's
	// own, in memory, that takes Source's place: nothing of the host.
	Scratch int
	// Dev and Ino (st_dev, st_ino) are what Source was found to be; 0: not
	// compared. Another object, or none, ends stage one with 75.
	Dev, Ino uint64
}

// Open is a directory inside the jail, opened and donated under Name. Without a
// jail it is one of the host's: no component of Path may be a symbolic link, Dev
// and Ino are compared as a Bind's are, and Access is what Landlock grants on
// what was opened, and below it.
type Open struct {
	Name, Path string
	Dev, Ino   uint64
	Access     uint64
}

// Rule grants Landlock access rights below a path inside the jail.
type Rule = landlock.Rule

// Rlimit sets a resource limit (RLIMIT_*) of the program.
type Rlimit struct {
	Resource   int
	Soft, Hard uint64
}

// DeviceProbe says which proof stage one demands that the device filter of its
// control group is in force.
type DeviceProbe int

const (
	ProbeSkip  DeviceProbe = iota // none: there is no filter (allow_missing)
	ProbeNone                     // opening /dev/null must be refused
	ProbeBasic                    // /dev/null must open, /dev/full must be refused
)

// Donation is a file that the program gets, and its name there.
type Donation struct {
	Name string
	File *os.File
}

// ownNames are descriptors of stage one itself; joinN belongs to them too.
const (
	nameSelf   = "self"
	nameImage  = "image"
	nameSpec   = "spec"
	nameParent = "parent"
	nameJoin   = "join"
)

// isOwn reports whether name is one of stage one's own descriptors.
func isOwn(name string) bool {
	return slices.Contains([]string{nameSelf, nameImage, nameSpec, nameParent}, name) || strings.HasPrefix(name, nameJoin)
}

// encode checks the spec and returns it as stage one reads it. (Not as JSON, which
// would write another path for one that is not UTF-8.)
func (s *Spec) encode() ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("jail of %s: %w", s.Role, err)
	}
	var data bytes.Buffer
	if err := gob.NewEncoder(&data).Encode(s); err != nil {
		return nil, fmt.Errorf("jail of %s: %w", s.Role, err)
	}
	return data.Bytes(), nil
}

// decodeSpec reads what encode wrote, and checks it again.
func decodeSpec(data []byte) (*Spec, error) {
	s := new(Spec)
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(s); err != nil {
		return nil, err
	}
	return s, s.check()
}

// check refuses what cannot be meant.
func (s *Spec) check() error {
	if s.Role == "" || len(s.Argv) == 0 {
		return errors.New("a role and an argv are needed")
	}
	// Without a mount namespace of its own stage one would take the host apart.
	if s.Namespaces&unix.CLONE_NEWNS == 0 && !s.Unprivileged {
		return errors.New("CLONE_NEWNS is needed")
	}
	if s.Unprivileged {
		if err := s.checkUnprivileged(); err != nil {
			return err
		}
	}
	// The kernel would cut a larger number to 32 bits; the largest means "none".
	if max(s.UID, s.GID) >= math.MaxUint32 || min(s.UID, s.GID) < 0 {
		return fmt.Errorf("uid %d, gid %d: out of range", s.UID, s.GID)
	}
	for _, e := range s.Env {
		if strings.HasPrefix(e, fdsVar+"=") {
			return fmt.Errorf("%s is set by stage one", fdsVar)
		}
	}
	if s.DeviceProbe < ProbeSkip || s.DeviceProbe > ProbeBasic {
		return fmt.Errorf("device probe %d is unknown", s.DeviceProbe)
	}
	return s.checkPaths()
}

// checkUnprivileged refuses what takes root, of which no step would be taken, and
// what would leave Landlock out or open: there is nothing else behind it.
func (s *Spec) checkUnprivileged() error {
	if s.Namespaces != 0 || s.Caps != 0 || s.DeviceProbe != ProbeSkip || s.Image != "" ||
		len(s.Dirs)+len(s.Links)+len(s.Files)+len(s.Binds) > 0 {
		return errors.New("namespaces, capabilities, devices or files, which take root")
	}
	if s.AllowNoLandlock || s.Unrestricted != 0 || len(s.Connect)+len(s.Landlock) > 0 {
		return errors.New("without root, Landlock is needed, and grants what is opened alone")
	}
	for _, o := range s.Opens {
		if o.Dev == 0 && o.Ino == 0 {
			return fmt.Errorf("%s is to be opened on the host, whatever it is", o.Path)
		}
	}
	return nil
}

// checkPaths demands absolute, clean paths; only a link's target, a directory
// and a rule may be the root itself or, of a link, relative.
func (s *Spec) checkPaths() error {
	below := make([]string, 0, len(s.Links)+len(s.Files)+len(s.Binds))
	clean := append([]string(nil), s.Dirs...)
	for _, l := range s.Links {
		below = append(below, l.Path)
		if l.Target == "" {
			return fmt.Errorf("link %q has no target", l.Path)
		}
	}
	for _, f := range s.Files {
		below = append(below, f.Path)
	}
	for _, b := range s.Binds {
		if below = append(below, b.Target); b.Scratch == 0 {
			clean = append(clean, b.Source)
		}
	}
	if s.Image != "" {
		below = append(below, s.Image, path.Dir(s.Image))
	}
	for _, o := range s.Opens {
		clean = append(clean, o.Path)
	}
	for _, r := range s.Landlock {
		if clean = append(clean, r.Path); r.FD != 0 {
			return fmt.Errorf("the rule of %s names a descriptor, which is stage one's own affair", r.Path)
		}
	}
	for _, p := range append(clean, below...) {
		if !path.IsAbs(p) || path.Clean(p) != p || strings.ContainsRune(p, 0) {
			return fmt.Errorf("%q is not an absolute, clean path", p)
		}
	}
	for _, p := range below {
		if p == "/" {
			return errors.New("the root itself cannot be a link, a file, the image's place or a bind's target")
		}
	}
	return nil
}

// tree returns every path that has to exist on the root's tmpfs, the root not
// counted.
func (s *Spec) tree() map[string]bool {
	all := make(map[string]bool)
	add := func(p string) {
		for ; p != "/"; p = path.Dir(p) {
			all[p] = true
		}
	}
	for _, d := range s.Dirs {
		add(d)
	}
	for _, l := range s.Links {
		add(l.Path)
	}
	for _, f := range s.Files {
		add(f.Path)
	}
	for _, b := range s.Binds {
		add(b.Target)
	}
	if s.Image != "" {
		add(path.Dir(s.Image))
	}
	return all
}

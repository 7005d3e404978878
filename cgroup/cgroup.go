// Package cgroup puts processes into control groups of their own: to refuse
// them devices, to limit their memory and number, and to kill all of them.
//
// Trust: linked into the supervisor; runs as root. Its input is what the kernel
// says and what the supervisor wants.
//
// Invariants: a Leaf that is returned has every limit that was asked for, and
// the device filter, in force; only what Missing names may be absent, and is
// then absent in every leaf. Groups are made below one name, "lockstep", and
// nothing else is changed but the set of controllers that our own ancestors
// pass on (and our own place, where systemd has delegated it to us).
//
// A host has cgroup v2, v1 hierarchies, or both (systemd's "hybrid"). Each
// leaf exists in v2 and in those v1 hierarchies that hold a controller that is
// needed; a v2 leaf is entered at birth (CLONE_INTO_CGROUP), v1 ones by writing
// to cgroup.procs; so is a v2 leaf where there is no clone3, which systemd takes
// away with RestrictNamespaces=.
package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// top is the group below which all of ours are.
	top = "lockstep"
	// selfGroup is where this process goes when the group it is in was
	// delegated to it and must pass controllers on (cgroups(7), "no internal
	// processes").
	selfGroup = "lockstep-supervisor"

	dirMode = 0o755
)

// Controllers, by their names in the kernel.
const (
	devices = "devices"
	memory  = "memory"
	pids    = "pids"
)

// Feature is something that control groups do on other hosts and not here.
type Feature struct {
	Name string // under allow_missing
	What string // what is missing, why, and what to do
}

// DeviceSet says which devices a leaf's processes may open.
type DeviceSet int

const (
	DevicesNone  DeviceSet = iota // none at all
	DevicesBasic                  // null, zero, random and urandom
)

// Limits of a leaf. What Missing names is not applied.
type Limits struct {
	Devices DeviceSet
	Mknod   bool  // make any device node (opening it is another matter)
	Memory  int64 // bytes; 0: no limit
	Pids    int64 // tasks; 0: no limit
}

// Host is what the running kernel offers.
type Host struct {
	v2      *v2  // nil: not mounted
	v1      []v1 // the hierarchies of devices, memory and pids, as far as v1 has them
	devices bool // a device filter is possible, in v1, v2 or both
	missing []Feature
}

// v2 is the unified hierarchy.
type v2 struct {
	base      string   // the directory that holds "lockstep"
	delegated bool     // base was delegated to us by systemd
	passed    []string // of memory and pids, those that base passes on
	filter    bool     // a device filter can be attached
	births    bool     // a process can be born into a group
	refused   error    // why not
}

// v1 is one hierarchy of version 1.
type v1 struct {
	controllers []string // those of ours that it holds
	mount       string
}

// Missing names what a person must allow to be absent.
func (h *Host) Missing() []Feature { return slices.Clone(h.missing) }

// roots are the directories that hold "lockstep", v2 first.
func (h *Host) roots() []string {
	var dirs []string
	if h.v2 != nil {
		dirs = append(dirs, h.v2.base)
	}
	for _, v := range h.v1 {
		dirs = append(dirs, v.mount)
	}
	return dirs
}

// Group is an instance's group.
type Group struct {
	host *Host
	name string // below the roots: lockstep/INSTANCE

	mu   sync.Mutex
	next int // number of the last leaf
}

// Create makes the group of an instance, a plain word. One that exists already
// is an error: Sweep it first.
func (h *Host) Create(instance string) (*Group, error) {
	if err := checkName(instance); err != nil {
		return nil, err
	}
	g := &Group{host: h, name: filepath.Join(top, instance)}
	for i, root := range h.roots() {
		if err := makeBelow(root, instance); err != nil {
			return nil, errors.Join(err, g.removeFrom(h.roots()[:i]))
		}
	}
	if h.v2 != nil {
		if err := h.v2.passOn(g.name); err != nil {
			return nil, errors.Join(err, g.Remove())
		}
	}
	return g, nil
}

// makeBelow makes root/lockstep/instance. Another instance that ends may remove
// the empty "lockstep" between the two steps.
func makeBelow(root, instance string) error {
	var err error
	for range 100 {
		if err = os.Mkdir(filepath.Join(root, top), dirMode); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		if err = os.Mkdir(filepath.Join(root, top, instance), dirMode); !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return err
}

// checkName refuses a name that is more than one plain path component.
func checkName(name string) error {
	if name == "" || name == "." || name == ".." || len(name) > 200 || strings.ContainsAny(name, "/\x00\n") {
		return fmt.Errorf("control group name %q is not a plain word", name)
	}
	return nil
}

// Remove removes the group, whose leaves must have been removed.
func (g *Group) Remove() error { return g.removeFrom(g.host.roots()) }

// removeFrom removes the group's directories, and "lockstep" with the last
// instance's.
func (g *Group) removeFrom(roots []string) error {
	var errs []error
	for _, root := range roots {
		if err := unix.Rmdir(filepath.Join(root, g.name)); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("remove control group %s: %w", filepath.Join(root, g.name), err))
			continue
		}
		if err := removeTop(root); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// removeTop removes "lockstep" unless another instance is there (rmdir of a
// group that has groups below it is EBUSY).
func removeTop(root string) error {
	err := unix.Rmdir(filepath.Join(root, top))
	if err == nil || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOTEMPTY) {
		return nil
	}
	return fmt.Errorf("remove control group %s: %w", filepath.Join(root, top), err)
}

// Leaf is a group that holds processes.
type Leaf struct {
	dir     *os.File // v2, to be born into; nil: none, or it cannot be done
	unified bool     // the first of paths is v2's
	kills   bool     // v2 has cgroup.kill (Linux 5.14)
	paths   []string // all its directories, v2 first
	joins   []*os.File
}

// Leaf makes a leaf. A leaf that was killed once is never used again: what is
// born into it by CLONE_INTO_CGROUP is killed, every time. So each call makes a
// fresh one, name-001, name-002 and so on.
func (g *Group) Leaf(name string, l Limits) (*Leaf, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	g.mu.Lock()
	g.next++
	name = fmt.Sprintf("%s-%03d", name, g.next)
	g.mu.Unlock()
	leaf := new(Leaf)
	if err := g.fill(leaf, filepath.Join(g.name, name), l); err != nil {
		return nil, errors.Join(fmt.Errorf("control group leaf %s: %w", name, err), leaf.Remove())
	}
	return leaf, nil
}

// fill makes the leaf's directories and sets its limits.
func (g *Group) fill(leaf *Leaf, path string, l Limits) error {
	if g.host.v2 != nil {
		if err := g.host.v2.leaf(leaf, path, l); err != nil {
			return err
		}
	}
	for _, v := range g.host.v1 {
		if err := v.leaf(leaf, path, l); err != nil {
			return err
		}
	}
	return nil
}

// FD is the v2 directory, for CLONE_INTO_CGROUP, or -1.
func (l *Leaf) FD() int {
	if l.dir == nil {
		return -1
	}
	return int(l.dir.Fd())
}

// Join are the cgroup.procs files of the v1 directories, and of v2's where FD is
// -1. Whoever writes "0" to one moves itself there, also when it could not open
// the file.
func (l *Leaf) Join() []*os.File { return slices.Clone(l.joins) }

// Remove closes and removes the leaf, in which no process may be left. A second
// call, or one after Sweep, finds nothing to do.
func (l *Leaf) Remove() error {
	var errs []error
	if l.dir != nil {
		errs = append(errs, l.dir.Close())
	}
	for _, f := range l.joins {
		errs = append(errs, f.Close())
	}
	for _, path := range l.paths {
		errs = append(errs, removeEmpty(path))
	}
	*l = Leaf{}
	return errors.Join(errs...)
}

// removeEmpty removes a group without processes. The kernel takes a process
// off v1's listing a little before it lets go of the group, without an event.
func removeEmpty(dir string) error {
	end := time.Now().Add(time.Second)
	for wait := time.Millisecond; ; wait *= 2 {
		err := unix.Rmdir(dir)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(end) {
			return fmt.Errorf("remove control group %s: %w", dir, err)
		}
		time.Sleep(wait)
	}
}

// writeFile writes a control file in one write, as the kernel demands, and
// never makes one.
func writeFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// has reports whether a control file is there.
func has(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

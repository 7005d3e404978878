package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/cgroups/v3/cgroup2"
	"golang.org/x/sys/unix"
)

const (
	controllersFile = "cgroup.controllers"
	subtreeFile     = "cgroup.subtree_control"
	procsFile       = "cgroup.procs"
	eventsFile      = "cgroup.events"
	killFile        = "cgroup.kill"
)

// words reads a control file that is a list of words.
func words(path string) ([]string, error) {
	data, err := os.ReadFile(path)
	return strings.Fields(string(data)), err
}

// tryControllers finds out which of memory and pids base can pass on.
func (v *v2) tryControllers() error {
	offered, err := words(filepath.Join(v.base, controllersFile))
	if err != nil {
		return err
	}
	for _, c := range []string{memory, pids} {
		if !slices.Contains(offered, c) {
			continue
		}
		err := v.enable(v.base, c)
		if errors.Is(err, unix.EBUSY) {
			continue // processes of others sit in base (cgroups(7), "no internal processes")
		}
		if err != nil {
			return err
		}
		v.passed = append(v.passed, c)
	}
	return nil
}

// enable has the group at dir pass a controller on to its children.
func (v *v2) enable(dir, controller string) error {
	passed, err := words(filepath.Join(dir, subtreeFile))
	if err != nil || slices.Contains(passed, controller) {
		return err
	}
	err = writeFile(filepath.Join(dir, subtreeFile), "+"+controller)
	if errors.Is(err, unix.EBUSY) && dir == v.base && v.delegated {
		if err := v.moveSelf(); err != nil {
			return err
		}
		err = writeFile(filepath.Join(dir, subtreeFile), "+"+controller)
	}
	if err != nil {
		return fmt.Errorf("pass controller %s on to %s: %w", controller, dir, err)
	}
	return nil
}

// moveSelf moves this process out of base, into a leaf of its own: a group that
// passes controllers on must hold no process. The leaf stays until systemd
// removes the unit's group.
func (v *v2) moveSelf() error {
	dir := filepath.Join(v.base, selfGroup)
	if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := writeFile(filepath.Join(dir, procsFile), "0"); err != nil {
		return fmt.Errorf("move to control group %s: %w", dir, err)
	}
	return nil
}

// passOn has "lockstep" and the instance's group pass on what base does.
func (v *v2) passOn(group string) error {
	for _, dir := range []string{filepath.Join(v.base, filepath.Dir(group)), filepath.Join(v.base, group)} {
		for _, c := range v.passed {
			if err := v.enable(dir, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// leaf makes and limits the v2 directory of a leaf.
func (v *v2) leaf(leaf *Leaf, path string, l Limits) error {
	dir := filepath.Join(v.base, path)
	if err := os.Mkdir(dir, dirMode); err != nil {
		return err
	}
	leaf.paths, leaf.unified = append(leaf.paths, dir), true
	for c, limit := range map[string]int64{memory: l.Memory, pids: l.Pids} {
		if limit > 0 && slices.Contains(v.passed, c) {
			if err := writeFile(filepath.Join(dir, c+".max"), decimal(limit)); err != nil {
				return err
			}
		}
	}
	if v.filter {
		if err := attachFilter(dir, l); err != nil {
			return err
		}
	}
	var err error
	if leaf.kills, err = has(filepath.Join(dir, killFile)); err != nil {
		return err
	}
	if v.births {
		leaf.dir, err = os.Open(dir)
		return err
	}
	return leaf.join(dir)
}

// births reports whether there is a clone3(2): called without arguments it makes
// no process. A filter that has none says so in one way or another.
func births() bool {
	_, _, errno := unix.RawSyscall(unix.SYS_CLONE3, 0, 0, 0)
	return errno == unix.EINVAL
}

// attachFilter attaches the device filter to the group at dir; it goes with the
// group. The library's manager is not asked: it ignores a failure to attach
// exactly when the rules forbid everything.
func attachFilter(dir string, l Limits) error {
	program, license, err := cgroup2.DeviceFilter(rules(l))
	if err != nil {
		return fmt.Errorf("device filter: %w", err)
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	_, err = cgroup2.LoadAttachCgroupDeviceFilter(program, license, int(f.Fd()))
	if err != nil {
		err = fmt.Errorf("device filter: %w", err)
	}
	return errors.Join(err, f.Close())
}

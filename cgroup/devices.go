package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/cgroups/v3/cgroup1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// rules are the device rules of a leaf; a later one wins. Numbers are those of
// Linux's admin-guide/devices.txt; -1 is any (and never nil, which the library
// for v2 does not survive). Access is always "rw": to the library's BPF
// program, a rule that allows reading also allows opening for both.
func rules(l Limits) []specs.LinuxDeviceCgroup {
	number := func(n int64) *int64 { return &n }
	rule := func(allow bool, kind string, major, minor int64, access string) specs.LinuxDeviceCgroup {
		return specs.LinuxDeviceCgroup{Allow: allow, Type: kind, Major: number(major), Minor: number(minor), Access: access}
	}
	all := []specs.LinuxDeviceCgroup{rule(false, "a", -1, -1, "rwm")}
	if l.Devices == DevicesBasic {
		const mem = 1
		for _, minor := range []int64{3, 5, 8, 9} { // null, zero, random, urandom
			all = append(all, rule(true, "c", mem, minor, "rw"))
		}
	}
	if l.Mknod {
		// Not one rule of type "a": v1 takes that for "everything".
		all = append(all, rule(true, "c", -1, -1, "m"), rule(true, "b", -1, -1, "m"))
	}
	return all
}

// leaf makes and limits the directory of a leaf in one v1 hierarchy.
func (v v1) leaf(leaf *Leaf, path string, l Limits) error {
	dir := filepath.Join(v.mount, path)
	// The library accepts a group that exists; we do not.
	if err := os.Mkdir(dir, dirMode); err != nil {
		return err
	}
	leaf.paths = append(leaf.paths, dir)
	for _, c := range v.controllers {
		if err := v.limit(c, path, l); err != nil {
			return fmt.Errorf("v1 controller %s: %w", c, err)
		}
	}
	return leaf.join(dir)
}

// join opens what whoever is to be in the group at dir writes to.
func (l *Leaf) join(dir string) error {
	procs, err := os.OpenFile(filepath.Join(dir, procsFile), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	l.joins = append(l.joins, procs)
	return nil
}

// limit sets one controller's limits of the group at path. The library is given
// this controller alone: its default is all hierarchies of the host.
func (v v1) limit(controller, path string, l Limits) error {
	root := filepath.Dir(v.mount)
	resources := new(specs.LinuxResources)
	var subsystem cgroup1.Subsystem
	switch controller {
	case devices:
		subsystem, resources.Devices = cgroup1.NewDevices(root), rules(l)
	case memory:
		subsystem = cgroup1.NewMemory(root)
		if l.Memory > 0 {
			resources.Memory = &specs.LinuxMemory{Limit: &l.Memory}
		}
	case pids:
		subsystem = cgroup1.NewPids(root)
		if l.Pids > 0 {
			resources.Pids = &specs.LinuxPids{Limit: &l.Pids}
		}
	default:
		return errors.New("not one of ours")
	}
	_, err := cgroup1.New(cgroup1.StaticPath("/"+path), resources,
		cgroup1.WithHierarchy(func() ([]cgroup1.Subsystem, error) { return []cgroup1.Subsystem{subsystem}, nil }),
		func(c *cgroup1.InitConfig) error {
			// The default ignores controllers that are not there.
			c.InitCheck = func(_ cgroup1.Subsystem, _ cgroup1.Path, err error) error { return err }
			return nil
		})
	return err
}

package cgroup

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"lockstep/internal/mountinfo"
)

// mount is a mounted cgroup hierarchy.
type mount struct {
	unified bool
	root    string   // which of its groups is seen at dir
	dir     string   // mount point
	options []string // of the file system: of v1, its controllers
}

// Detect finds out what there is and tries it: it makes a group, passes
// controllers on to it and attaches a device filter, and removes it.
func Detect() (*Host, error) { return detect(func(mount) bool { return true }) }

// detect is Detect with the mounts that use accepts.
func detect(use func(mount) bool) (*Host, error) {
	table, err := mountinfo.Read()
	if err != nil {
		return nil, err
	}
	mounts := hierarchies(table)
	mounts = slices.DeleteFunc(mounts, func(m mount) bool { return !use(m) })
	h := new(Host)
	if h.v1, err = findV1(mounts); err != nil {
		return nil, err
	}
	if h.v2, err = findV2(mounts); err != nil {
		return nil, err
	}
	if err := h.try(); err != nil {
		return nil, err
	}
	h.missing = h.lacks()
	return h, nil
}

// hierarchies picks out of a mount table what is a cgroup hierarchy.
func hierarchies(table []mountinfo.Mount) []mount {
	var out []mount
	for _, m := range table {
		if m.Type == "cgroup" || m.Type == "cgroup2" {
			out = append(out, mount{unified: m.Type == "cgroup2", root: m.Root, dir: m.Point, options: m.Options})
		}
	}
	return out
}

// findV1 picks the v1 hierarchies of the controllers that we use. The library
// wants each to be found under its controller's name: systemd makes links where
// several controllers share a hierarchy.
func findV1(mounts []mount) ([]v1, error) {
	var found []v1
	seen := map[string]bool{}
	for _, m := range mounts {
		if m.unified {
			continue
		}
		v := v1{mount: m.dir}
		for _, c := range []string{devices, memory, pids} {
			if seen[c] || !slices.Contains(m.options, c) {
				continue
			}
			same, err := sameFile(m.dir, filepath.Join(filepath.Dir(m.dir), c))
			if err != nil {
				return nil, err
			}
			if same {
				seen[c] = true
				v.controllers = append(v.controllers, c)
			}
		}
		if len(v.controllers) > 0 {
			found = append(found, v)
		}
	}
	return found, nil
}

// sameFile reports whether two paths are one directory.
func sameFile(a, b string) (bool, error) {
	ai, err := os.Stat(a)
	if err != nil {
		return false, err
	}
	bi, err := os.Stat(b)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(ai, bi), err
}

// findV2 finds the unified hierarchy and the place for our groups in it.
func findV2(mounts []mount) (*v2, error) {
	i := slices.IndexFunc(mounts, func(m mount) bool { return m.unified })
	if i < 0 {
		return nil, nil
	}
	m := mounts[i]
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	v := &v2{base: m.dir}
	own, ok := ownGroup(string(data), m.root)
	if !ok {
		return v, nil
	}
	// A second Detect in this process finds it moved away.
	own = strings.TrimSuffix(own, "/"+selfGroup)
	if own == "" {
		return v, nil
	}
	dir := filepath.Join(m.dir, own)
	if v.delegated, err = isDelegated(dir); err != nil {
		return nil, err
	}
	if v.delegated {
		v.base = dir
	}
	return v, nil
}

// ownGroup is this process's v2 group (the line "0::PATH" of /proc/self/cgroup)
// relative to the mount that shows root; false when it is not below it. The
// root itself is "".
func ownGroup(file, root string) (string, bool) {
	for line := range strings.Lines(file) {
		path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::")
		if !ok {
			continue
		}
		rel, ok := strings.CutPrefix(path, strings.TrimSuffix(root, "/"))
		rel = strings.TrimSuffix(rel, "/")
		return rel, ok && (rel == "" || rel[0] == '/') && !strings.HasPrefix(rel, "/..")
	}
	return "", false
}

// isDelegated reports whether systemd has left the group to us (Delegate=yes
// marks it so, see systemd's CGROUP_DELEGATION). Without the mark it is
// systemd's, and making groups below it would be interfering, though root can.
func isDelegated(dir string) (bool, error) {
	var value [8]byte
	for _, name := range []string{"trusted.delegate", "user.delegate"} {
		n, err := unix.Lgetxattr(dir, name, value[:])
		if err == nil && string(value[:n]) == "1" {
			return true, nil
		}
		none := errors.Is(err, unix.ENODATA) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ERANGE)
		if err != nil && !none {
			return false, fmt.Errorf("is control group %s delegated: %w", dir, err)
		}
	}
	return false, nil
}

// try finds out by doing what v2 can do here, and which v1 hierarchies can be
// written to.
func (h *Host) try() error {
	// Not the pid: what was killed in here left a group with its own, and each
	// container has the same few pids.
	name := "try-" + rand.Text()
	h.v1 = slices.DeleteFunc(h.v1, func(v v1) bool { return unix.Access(v.mount, unix.W_OK) != nil })
	if h.v2 != nil && unix.Access(h.v2.base, unix.W_OK) != nil {
		h.v2 = nil // mounted read-only, as containers have it
	}
	h.devices = h.inV1(devices)
	if h.v2 == nil {
		return nil
	}
	if err := makeBelow(h.v2.base, name); err != nil {
		return fmt.Errorf("try a control group: %w", err)
	}
	dir := filepath.Join(h.v2.base, top, name)
	err := h.v2.tryControllers()
	h.v2.refused = attachFilter(dir, Limits{})
	h.v2.filter = h.v2.refused == nil
	h.v2.births = births()
	h.devices = h.devices || h.v2.filter
	return errors.Join(err, unix.Rmdir(dir), removeTop(h.v2.base))
}

// inV1 reports whether v1 has the controller.
func (h *Host) inV1(controller string) bool {
	return slices.ContainsFunc(h.v1, func(v v1) bool { return slices.Contains(v.controllers, controller) })
}

// lacks says what is missing and what to do about it.
func (h *Host) lacks() []Feature {
	var missing []Feature
	if h.v2 == nil && len(h.v1) == 0 {
		missing = append(missing, Feature{"cgroup-kill",
			"no control group can be made (/sys/fs/cgroup is not mounted, or is read-only): processes are killed one by one"})
	}
	if !h.devices {
		what := "devices cannot be forbidden: there is no v1 devices hierarchy, and no v2 for a BPF filter"
		if h.v2 != nil {
			what = fmt.Sprintf("devices cannot be forbidden: there is no v1 devices hierarchy, and v2 refuses: %v", h.v2.refused)
		}
		missing = append(missing, Feature{"cgroup-devices", what})
	}
	for _, c := range []string{memory, pids} {
		inV2 := h.v2 != nil && slices.Contains(h.v2.passed, c)
		if !h.inV1(c) && !inV2 {
			missing = append(missing, Feature{"cgroup-" + c,
				"the " + c + " controller cannot be used: it is not enabled, or another program holds our group (under systemd, set Delegate=yes)"})
		}
	}
	return missing
}

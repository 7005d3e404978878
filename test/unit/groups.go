package unit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// MakeGroups makes the unit's control group as systemd does, below where this host
// has cgroup v2, and, where it has v1's devices, one with the closed list. What it
// returns removes them.
func (p *Plan) MakeGroups(h *Host) (remove func() error, err error) {
	v1, err := hierarchies(h)
	if err != nil {
		return nil, err
	}
	dirs := []string{h.Group(p)}
	if p.Closed {
		if v1 == "" {
			return nil, errors.New("this host has no devices hierarchy of cgroup v1, by which this test closes them")
		}
		dirs = append(dirs, filepath.Join(v1, filepath.Base(p.Group)))
	}
	remove = func() error {
		var err error
		for _, dir := range dirs {
			err = errors.Join(err, removeGroups(dir))
		}
		return err
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, errors.Join(err, remove())
		}
		h.Groups = append(h.Groups, filepath.Join(dir, "cgroup.procs"))
	}
	if p.Delegate {
		err = unix.Setxattr(dirs[0], "trusted.delegate", []byte("1"), 0)
	}
	if p.NoIP && err == nil {
		err = refuseIP(dirs[0])
	}
	if p.Closed && err == nil {
		err = closeDevices(dirs[1], p.Nodes)
	}
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	return remove, nil
}

// Group is the unit's group of cgroup v2 on this host.
func (h Host) Group(p *Plan) string { return filepath.Join(h.V2, p.Group) }

// hierarchies finds where cgroup v2 is mounted, and v1's devices.
func hierarchies(h *Host) (devices string, err error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(data)) {
		before, after, _ := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		switch {
		case kind[0] == "cgroup2":
			h.V2 = fields[4]
		case kind[0] == "cgroup" && slices.Contains(strings.Split(kind[2], ","), "devices"):
			devices = fields[4]
		}
	}
	if h.V2 == "" {
		return "", errors.New("this host has no cgroup v2")
	}
	return devices, nil
}

// closeDevices leaves a v1 group the devices of DevicePolicy=closed.
func closeDevices(dir string, nodes bool) error {
	if err := os.WriteFile(filepath.Join(dir, "devices.deny"), []byte("a"), 0); err != nil {
		return err
	}
	rules := []string{"c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm"}
	if nodes {
		rules = append(rules, "c *:* m", "b *:* m")
	}
	for _, rule := range rules {
		if err := os.WriteFile(filepath.Join(dir, "devices.allow"), []byte(rule), 0); err != nil {
			return fmt.Errorf("device rule %s: %w", rule, err)
		}
	}
	return nil
}

// removeGroups removes a group and all below it, with the processes in it: those
// of a supervisor that was killed end a little later. The slice goes with it when
// it was made for it.
func removeGroups(dir string) error {
	_ = os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0) // v2 has it
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			all = append(all, path)
		}
		return err
	})
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	slices.Reverse(all)
	for _, path := range all {
		gone := unix.Rmdir(path)
		for end := time.Now().Add(5 * time.Second); errors.Is(gone, unix.EBUSY) && time.Now().Before(end); gone = unix.Rmdir(path) {
			time.Sleep(10 * time.Millisecond) // of a group that becomes empty v1 tells nothing
		}
		if gone != nil {
			err = errors.Join(err, fmt.Errorf("remove %s: %w", path, gone))
		}
	}
	_ = unix.Rmdir(filepath.Dir(dir)) // EBUSY where others are in it
	return err
}

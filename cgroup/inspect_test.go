package cgroup

import (
	"errors"
	"path/filepath"
	"testing"
)

// The filter and the limits of a leaf are what it was made with, and no others.
func TestInspect(t *testing.T) {
	eachMode(t, func(t *testing.T, h *Host, g *Group) {
		all := []Limits{{}, {Devices: DevicesBasic}, {Devices: DevicesBasic, Mknod: true}}
		for _, l := range all {
			l.Memory, l.Pids = 1<<30, 77
			leaf, err := g.Leaf("inspected", l)
			if err != nil {
				t.Fatal(err)
			}
			filters := 0
			for _, dir := range leaf.paths {
				for _, other := range all {
					err := InspectDevices(dir, other)
					if errors.Is(err, ErrNoFilter) {
						continue
					}
					filters++
					if same := other.Devices == l.Devices && other.Mknod == l.Mknod; same != (err == nil) {
						t.Errorf("%s: %+v, made with %+v: %v", dir, other, l, err)
					}
				}
			}
			if (filters > 0) != h.devices {
				t.Errorf("%d filters were seen, and devices is %v", filters, h.devices)
			}
			absent := func(name string) bool { return lacks(h, name) }
			if wrong := InspectLimits(leaf.paths, l, absent); len(wrong) > 0 {
				t.Errorf("%q", wrong)
			}
			more := l
			more.Memory, more.Pids = l.Memory+1<<20, l.Pids+1
			want := 0
			for _, name := range []string{"cgroup-memory", "cgroup-pids"} {
				if !lacks(h, name) {
					want++
				}
			}
			if wrong := InspectLimits(leaf.paths, more, absent); len(wrong) != want {
				t.Errorf("%q, want %d", wrong, want)
			}
			if err := leaf.Remove(); err != nil {
				t.Error(err)
			}
		}
		if err := InspectDevices(filepath.Join(t.TempDir(), "none"), Limits{}); err == nil {
			t.Error("a group that is not there has a filter")
		}
	})
}

func lacks(h *Host, name string) bool {
	for _, f := range h.Missing() {
		if f.Name == name {
			return true
		}
	}
	return false
}

package rootid

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func parse(t *testing.T, text string) Mounts {
	t.Helper()
	m, err := ParseMounts([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const table = `20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
21 20 8:2 / /srv/www rw - ext4 /dev/sdb1 rw
22 21 0:30 / /srv/www/in\040side rw master:3 propagate_from:2 - tmpfs tmpfs rw
23 20 8:1 /data/x /mnt/bind rw - ext4 /dev/sda1 rw
24 20 0:31 / /over rw - tmpfs  rw
25 24 0:32 / /over/hidden rw - tmpfs t rw
26 24 0:33 / /over rw - tmpfs t rw
27 26 0:34 / /over/seen rw - tmpfs t rw
28 20 0:35 / /srv/wwwother rw - tmpfs t rw
`

func TestInside(t *testing.T) {
	m := parse(t, table)
	for dir, want := range map[string][]string{
		"/srv/www": {"in side"},
		"/over":    {"seen"},
		"/srv":     {"www", "www/in side", "wwwother"},
		"/empty":   nil,
		"/":        {"mnt/bind", "over", "over/seen", "srv/www", "srv/www/in side", "srv/wwwother"},
	} {
		if got := m.Inside(dir); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", dir, got, want)
		}
	}
}

func TestOf(t *testing.T) {
	m := parse(t, table)
	for path, want := range map[string]int{
		"/": 20, "/srv": 20, "/srv/www": 21, "/srv/www/a/b": 21, "/srv/www/in side": 22,
		"/over": 26, "/over/hidden": 26, "/over/seen/x": 27, "/srv/wwwother": 28,
	} {
		if got, ok := m.Of(path); !ok || got.ID != want {
			t.Errorf("%s is on %+v, want %d", path, got, want)
		}
	}
}

func TestRootfsBelowRoot(t *testing.T) {
	m := parse(t, "1 1 0:1 / / rw - rootfs rootfs rw\n2 1 8:1 / / rw - ext4 /dev/sda rw\n3 2 8:2 / /srv rw - ext4 /dev/sdb rw\n")
	if got, _ := m.Of("/srv/x"); got.ID != 3 {
		t.Errorf("/srv/x is on %+v", got)
	}
	if got, _ := m.Of("/x"); got.ID != 2 {
		t.Errorf("/x is on %+v", got)
	}
}

func TestOverlap(t *testing.T) {
	m := parse(t, table)
	for _, c := range []struct {
		a, b string
		want Overlap
	}{
		{"/a", "/b", Apart}, {"/a", "/ab", Apart}, {"/a", "/a", Equal}, {"/a/b", "/a", FirstInside}, {"/a", "/a/b", OtherInside},
		{"/mnt/bind", "/data/x", Equal}, {"/mnt/bind/y", "/data/x", FirstInside}, {"/data", "/mnt/bind", OtherInside},
		{"/data/xy", "/mnt/bind", Apart}, {"/srv/www", "/data/x", Apart},
	} {
		if got := m.Overlap(c.a, c.b); got != c.want {
			t.Errorf("Overlap(%s, %s) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestReadMounts(t *testing.T) {
	m, err := ReadMounts()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := m.Of("/proc/self"); !ok {
		t.Error("/proc/self is on no mount")
	}
}

func TestParseRefuses(t *testing.T) {
	for _, line := range []string{
		"1 2 3", "x 1 8:1 / / rw - ext4 s rw", "1 x 8:1 / / rw - ext4 s rw", "1 2 8:1 / rel rw - ext4 s rw", "1 2 8:1 / / rw ext4 s rw", "1 2 8:1 / / rw - ext4",
	} {
		if m, err := ParseMounts([]byte(line)); err == nil {
			t.Errorf("%q: %+v", line, m)
		}
	}
}

// escapeAsKernel is seq_file's mangle_path with the set of mountinfo.
func escapeAsKernel(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if strings.IndexByte(" \t\n\\#", c) >= 0 {
			fmt.Fprintf(&b, `\%03o`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func FuzzMounts(f *testing.F) {
	f.Add([]byte(table), "a b")
	f.Add([]byte("1 1 0:1 / / rw - rootfs rootfs rw"), "\\040\n")
	f.Add([]byte("1 2 0:1 / / rw - a b\n2 1 0:1 / / rw - a b"), "#")
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		if m, err := ParseMounts(data); err == nil {
			for _, rel := range m.Inside("/") {
				if rel == "" || strings.HasPrefix(rel, "/") {
					t.Fatalf("%q is not below the root", rel)
				}
			}
			m.Of("/" + name)
			m.Overlap("/a", "/"+name)
		}
		if name == "" || strings.ContainsAny(name, "\x00/") {
			return
		}
		line := "7 1 8:1 / /srv/" + escapeAsKernel(name) + " rw - ext4 /dev/sda rw\n"
		if got := parse(t, line).Inside("/srv"); !slices.Equal(got, []string{name}) {
			t.Fatalf("%q came back as %q", name, got)
		}
	})
}

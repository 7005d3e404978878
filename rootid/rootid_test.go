package rootid

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func identity(t *testing.T, path string) Identity {
	t.Helper()
	id, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestReadSameDirectory(t *testing.T) {
	dir := t.TempDir()
	a, b := identity(t, dir), identity(t, dir)
	if !a.Same(b) || a.Changed(b) != "" {
		t.Fatalf("one directory differs from itself: %+v %+v", a, b)
	}
}

func TestReadExchangedDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "root")
	mkdir(t, dir)
	a := identity(t, dir)
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	mkdir(t, dir)
	b := identity(t, dir)
	if a.Same(b) {
		t.Error("another directory under the same name counts as the same")
	}
	if diff := a.Changed(b); !strings.Contains(diff, "inode") {
		t.Errorf("Changed = %q", diff)
	}
	if diff := a.SameFS(b); diff != "" {
		t.Errorf("SameFS = %q on one file system", diff)
	}
}

func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link, filepath.Join(dir, "missing")} {
		if id, err := Read(path); err == nil {
			t.Errorf("%s: %+v", path, id)
		}
	}
}

func TestSameFS(t *testing.T) {
	ext4 := Identity{UUID: "aa", FSID: "1", Magic: 0xef53, Ino: 2}
	for name, c := range map[string]struct {
		then, now Identity
		same      bool
	}{
		"device number of xfs differs":    {Identity{UUID: "aa", FSID: "1", Magic: 0x58465342}, Identity{UUID: "aa", FSID: "2", Magic: 0x58465342}, true},
		"another uuid":                    {ext4, Identity{UUID: "bb", FSID: "1", Magic: 0xef53}, false},
		"another type":                    {ext4, Identity{UUID: "aa", FSID: "1", Magic: 0x01021994}, false},
		"kernel lost the ioctl":           {ext4, Identity{FSID: "1", Magic: 0xef53}, true},
		"kernel lost the ioctl, other id": {ext4, Identity{FSID: "2", Magic: 0xef53}, false},
		"other subvolume":                 {Identity{UUID: "aa", FSID: "1", Magic: 0x9123683e}, Identity{UUID: "aa", FSID: "2", Magic: 0x9123683e}, false},
	} {
		if got := c.then.SameFS(c.now) == ""; got != c.same {
			t.Errorf("%s: same = %v", name, got)
		}
	}
}

func TestBlindAndKernel(t *testing.T) {
	if !(Identity{Magic: 0x6969}).Blind() || !(Identity{Magic: 0x65735546}).Blind() || (Identity{Magic: 0xef53}).Blind() {
		t.Error("Blind is wrong")
	}
	if !identity(t, "/proc").Kernel() || identity(t, t.TempDir()).Kernel() {
		t.Error("Kernel is wrong")
	}
}

func mkdir(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestRootsSame(t *testing.T) {
	a := Roots{Source: Identity{Ino: 1}, InSource: []Inner{{Rel: "x", Number: 1}}}
	b := a
	if !a.Same(b) {
		t.Error("equal roots differ")
	}
	b.InSource = []Inner{{Rel: "x", Number: 1}, {Rel: "y"}}
	if a.Same(b) {
		t.Error("a new mount inside the source was not seen")
	}
	b.InSource = []Inner{{Rel: "x", Number: 2}}
	if a.Same(b) {
		t.Error("an exchanged mount inside the source was not seen")
	}
	b.InSource = []Inner{{Rel: "x", Number: 1, Identity: Identity{Mount: 3}}}
	if a.Same(b) {
		t.Error("a mount inside the source with the number of an earlier one was not seen")
	}
	b = a
	b.Target.Mount = 7
	if a.Same(b) {
		t.Error("another mount of the target was not seen")
	}
}

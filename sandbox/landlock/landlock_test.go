package landlock

import (
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
)

// TestHandled: what is handled grows with the version, and what is missing is
// said, in step.
func TestHandled(t *testing.T) {
	for abi, want := range map[int]struct {
		fs, net, scoped uint64
		missing         int
	}{
		0: {0, 0, 0, 6},
		1: {0x1fff, 0, 0, 5},
		2: {0x3fff, 0, 0, 4},
		3: {0x7fff, 0, 0, 3},
		4: {0x7fff, 3, 0, 2},
		5: {0xffff, 3, 0, 1},
		6: {0xffff, 3, 3, 0},
		9: {0xffff, 3, 3, 0},
	} {
		got := handled(abi)
		if got.Handled_access_fs != want.fs || got.Handled_access_net != want.net || got.Scoped != want.scoped {
			t.Errorf("version %d handles %#x %#x %#x", abi, got.Handled_access_fs, got.Handled_access_net, got.Scoped)
		}
		if lacks := Missing(abi); len(lacks) != want.missing {
			t.Errorf("version %d lacks %q", abi, lacks)
		}
	}
}

// TestRuleset: a ruleset of each kind of rule, and the errors.
func TestRuleset(t *testing.T) {
	abi, err := ABI()
	if err != nil {
		t.Fatal(err)
	}
	if abi == 0 {
		testenv.Lacks(t, "this kernel has no Landlock")
	}
	fd, err := Ruleset([]Rule{
		{Path: "/", Access: ^uint64(0)},          // rights of versions to come are left out
		{Path: "/etc/passwd", Access: 1<<16 - 1}, // so are those that only directories have
		{Path: "/etc/passwd", Access: unix.LANDLOCK_ACCESS_FS_READ_DIR},
		{Path: "/", Access: 0},
	}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Close(fd); err != nil {
		t.Error(err)
	}
	if fd, err := Ruleset(nil, unix.LANDLOCK_ACCESS_FS_READ_FILE); err == nil {
		t.Error("reading was left free")
		_ = unix.Close(fd)
	}
	for _, path := range []string{"/none", "/proc/self/exe"} {
		if fd, err := Ruleset([]Rule{{Path: path, Access: 1}}, 0); err == nil {
			t.Errorf("a rule for %s was accepted", path)
			_ = unix.Close(fd)
		}
	}
}

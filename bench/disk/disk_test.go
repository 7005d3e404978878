package disk

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
)

func TestMakeAndRemove(t *testing.T) {
	testenv.NeedRoot(t)
	testenv.NeedTool(t, "mkfs.ext4")
	base := t.TempDir()
	d, err := Make(t.Context(), filepath.Join(base, "pair"))
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(d.Dir, &st); err != nil || st.Type != unix.EXT4_SUPER_MAGIC || st.Files < inodes {
		t.Errorf("type %#x, %d inodes, %v", st.Type, st.Files, err)
	}
	if err := os.WriteFile(filepath.Join(d.Dir, "file"), []byte("x"), 0o600); err != nil {
		t.Error(err)
	}
	if err := d.Remove(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(base); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

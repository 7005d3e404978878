package testenv

import (
	"os"
	"os/exec"
	"testing"
)

// LoopFS makes a file system of a kind (ext4, xfs, btrfs) in a file, and mounts
// it until the test's end.
func LoopFS(t testing.TB, kind string) string {
	t.Helper()
	NeedRoot(t)
	mkfs := NeedTool(t, "mkfs."+kind)
	image, err := os.CreateTemp(t.TempDir(), "image")
	if err == nil {
		err = image.Truncate(400 << 20) // xfs wants 300 MiB; nearly all of it is a hole
	}
	if err == nil {
		err = image.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, words := range [][]string{{mkfs, "-q", image.Name()}, {"mount", "-o", "loop", image.Name(), dir}} {
		if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			Lacks(t, words[0]+" of "+kind+": "+string(out))
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %s", out)
		}
	})
	return dir
}

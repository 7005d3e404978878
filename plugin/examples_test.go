package plugin

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/internal/testenv"
	"lockstep/plugin/frame"
)

// trees are a source with content and an empty target.
func trees(t *testing.T) (src, dst string) {
	t.Helper()
	src, dst = filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to")
	for path, text := range map[string]string{"a": "1", "-n": "2", "100%s": "3", "d/e/f": "4", "d/g": "5", "br]\\n": "6"} {
		path = filepath.Join(src, path)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(text), 0o640))
	}
	must(t, os.Symlink("a", filepath.Join(src, "link")))
	must(t, os.Mkdir(dst, 0o755))
	return src, dst
}

func equal(t *testing.T, src, dst string) {
	t.Helper()
	if text, err := exec.Command("diff", "-r", "--no-dereference", src, dst).CombinedOutput(); err != nil {
		t.Errorf("the target differs: %v\n%s", err, text)
	}
}

// confinement has a test made as it is, and under the filter of a runner.
func confinement(t *testing.T, test func(t *testing.T, confine bool)) {
	t.Run("free", func(t *testing.T) { test(t, false) })
	t.Run("confined", func(t *testing.T) { test(t, true) })
}

func TestCopyExample(t *testing.T) { confinement(t, copyExample) }

func copyExample(t *testing.T, confine bool) {
	testenv.NeedTool(t, "cp")
	src, dst := trees(t)
	p := prepare(t, program(t, "copy.so"), frame.Init{Label: "copy", WatchDir: src, DestDir: dst})
	if confine {
		p.confine("/")
	}
	p.start()
	sync := func(want int, entries ...frame.Entry) {
		t.Helper()
		if code, err := p.Sync(t.Context(), frame.Round{}, entries); code != want || err != nil {
			t.Fatalf("%d, %v; want %d", code, err, want)
		}
	}
	sync(0, frame.Entry{Mask: 8, Path: "-n", New: frame.File}, frame.Entry{Mask: 8, Path: "100%s", New: frame.File})
	if b, err := os.ReadFile(filepath.Join(dst, "100%s")); err != nil || string(b) != "3" {
		t.Errorf("%q, %v", b, err)
	}
	sync(0, frame.Entry{Mask: 0x40000100, Flags: 1, Path: filepath.Join(src, "d"), Old: frame.Absent, New: frame.Directory})
	sync(0, frame.Entry{Mask: 0x40000100, New: frame.Directory}) // the root, by its empty path
	equal(t, src, dst)

	must(t, os.RemoveAll(filepath.Join(src, "d/e")))
	must(t, os.WriteFile(filepath.Join(src, "a"), []byte("new"), 0o600))
	sync(0, frame.Entry{Mask: 512, Path: "d/e", Old: frame.Directory, New: frame.Absent}, frame.Entry{Mask: 2, Path: "a", Old: frame.File, New: frame.File})
	equal(t, src, dst)

	sync(1, frame.Entry{Mask: 2, Path: "gone", New: frame.File}, frame.Entry{Mask: 2, Path: "a", New: frame.File})
	must(t, p.Close(t.Context()))
	if said := p.rest(); !strings.Contains(said, "No such file") {
		t.Errorf("cp's complaint is not heard: %q", said)
	}
}

func TestRsyncExample(t *testing.T) { confinement(t, rsyncExample) }

func rsyncExample(t *testing.T, confine bool) {
	testenv.NeedTool(t, "rsync")
	src, dst := trees(t)
	list := func(lines ...string) string {
		path := filepath.Join(t.TempDir(), "list")
		must(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644))
		return path
	}
	p := prepare(t, program(t, "mirror.so"), frame.Init{Mode: frame.ModeRsync, Label: "m", WatchDir: src, DestDir: dst})
	if confine {
		p.confine("/")
	}
	p.start()
	call := func(want int, include, exclude string) {
		t.Helper()
		if code, err := p.Rsync(t.Context(), frame.Round{}, include, exclude); code != want || err != nil {
			t.Fatalf("%d, %v; want %d\n%s", code, err, want, p.rest())
		}
	}
	call(0, list("/a", "/d", "/d/g"), "")
	for path, there := range map[string]bool{"a": true, "d/g": true, "d/e": false, "link": false} {
		if _, err := os.Lstat(filepath.Join(dst, path)); (err == nil) != there {
			t.Errorf("%s: %v", path, err)
		}
	}
	call(0, list("***"), list("/d/e"))
	if _, err := os.Lstat(filepath.Join(dst, "d/e")); err == nil {
		t.Error("what is excluded was copied")
	}
	call(0, list("***"), "")
	equal(t, src, dst)
	call(11, "/none", "") // rsync cannot read the list
	must(t, p.Close(t.Context()))
	if said := p.rest(); !strings.Contains(said, "rsync") {
		t.Errorf("rsync's complaint is not heard: %q", said)
	}
}

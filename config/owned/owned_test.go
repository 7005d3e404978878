package owned

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

// Each link and each directory that the way leads through counts, not the ends of
// it alone.
func TestLinks(t *testing.T) {
	testenv.NeedRoot(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	const stranger = 12345
	for name, mode := range map[string]os.FileMode{"safe": 0o755, "open": 0o777, "sticky": 0o777 | os.ModeSticky, "his": 0o755} {
		if err := os.Mkdir(in(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(in(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		os.WriteFile(in("safe/file"), nil, 0o644),
		os.Symlink(in("safe/file"), in("open/link")), os.Symlink(in("open/link"), in("safe/through-open")),
		os.Symlink(in("safe/file"), in("sticky/root's")), os.Symlink(in("sticky/root's"), in("safe/through-sticky")),
		os.Symlink(in("safe/file"), in("sticky/stranger's")), os.Lchown(in("sticky/stranger's"), stranger, 0),
		os.Symlink(in("sticky/stranger's"), in("safe/through-stranger's")),
		os.Chown(in("his"), stranger, 0), os.Symlink("../safe", in("his/up")), os.Symlink(in("his/up/file"), in("safe/through-his")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"safe/file": "", "sticky/root's": "", "safe/through-sticky": "",
		"open/link":               in("open") + " can be written by others (mode 0777)",
		"safe/through-open":       in("open") + " can be written by others (mode 0777)",
		"sticky/stranger's":       in("sticky/stranger's") + ", a link, belongs to uid 12345",
		"safe/through-stranger's": in("sticky/stranger's") + ", a link, belongs to uid 12345",
		"safe/through-his":        in("his") + " belongs to uid 12345",
		"safe/none":               "no such file or directory",
	} {
		err := Check(in(name), 0)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	if err := Check(in("safe/through-stranger's"), 0, stranger); err != nil {
		t.Errorf("he is one of the owners: %v", err)
	}
}

package object

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

// place makes a directory of root's with an object in it.
func place(t *testing.T) (dir, object string) {
	t.Helper()
	testenv.NeedRoot(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(dir, "lib")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	object = filepath.Join(dir, "m.so")
	if err := os.WriteFile(object, []byte("\x7fELF"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, object
}

const owner, stranger = 64871, 64872

func TestOpen(t *testing.T) {
	cases := map[string]struct {
		change func(t *testing.T, dir, object string) string // returns the path to open; "" for the object's
		want   string                                        // "": it is opened
	}{
		"good":             {nil, ""},
		"of the owner":     {func(t *testing.T, d, o string) string { return chown(t, o, owner) }, ""},
		"a link of root's": {func(t *testing.T, d, o string) string { return link(t, o, filepath.Join(d, "l.so")) }, ""},
		"not there":        {func(t *testing.T, d, o string) string { return o + "x" }, "no such file"},
		"relative":         {func(t *testing.T, d, o string) string { return "m.so" }, "begin with /"},
		"root itself":      {func(t *testing.T, d, o string) string { return "/" }, "root directory"},
		"world-writable":   {func(t *testing.T, d, o string) string { return chmod(t, o, 0o666) }, "others can write to it (mode 0666)"},
		"group-writable":   {func(t *testing.T, d, o string) string { return chmod(t, o, 0o664) }, "others can write to it (mode 0664): chmod go-w"},
		"setuid":           {func(t *testing.T, d, o string) string { return chmod(t, o, 0o755|os.ModeSetuid) }, "setuid, setgid or sticky bit (mode 4755)"},
		"setgid":           {func(t *testing.T, d, o string) string { return chmod(t, o, 0o755|os.ModeSetgid) }, "setuid, setgid or sticky bit (mode 2755)"},
		"sticky":           {func(t *testing.T, d, o string) string { return chmod(t, o, 0o755|os.ModeSticky) }, "setuid, setgid or sticky bit (mode 1755)"},
		"another's":        {func(t *testing.T, d, o string) string { return chown(t, o, stranger) }, "belongs to uid 64872"},
		"directory":        {func(t *testing.T, d, o string) string { return d }, "no regular file"},
		"in another's directory": {func(t *testing.T, d, o string) string {
			chown(t, d, stranger)
			return ""
		}, "belongs to uid 64872"},
		"in an open directory": {func(t *testing.T, d, o string) string {
			chmod(t, d, 0o777)
			return ""
		}, "can be written by others (mode 0777)"},
		"below a directory open to its group": {func(t *testing.T, d, o string) string {
			chmod(t, filepath.Dir(d), 0o775)
			return ""
		}, "can be written by others (mode 0775)"},
		"a link in an open directory": {func(t *testing.T, d, o string) string {
			open := filepath.Join(d, "open")
			if err := os.Mkdir(open, 0o755); err != nil {
				t.Fatal(err)
			}
			chmod(t, open, 0o777)
			return link(t, o, filepath.Join(open, "l.so"))
		}, "can be written by others (mode 0777)"},
		// The first link and the object are root's, and so is what lies above them.
		"a link to a link in an open directory": {func(t *testing.T, d, o string) string {
			open := filepath.Join(d, "open")
			if err := os.Mkdir(open, 0o755); err != nil {
				t.Fatal(err)
			}
			chmod(t, open, 0o777)
			return link(t, link(t, o, filepath.Join(open, "l.so")), filepath.Join(d, "first.so"))
		}, "can be written by others (mode 0777)"},
		"another's link": {func(t *testing.T, d, o string) string {
			chmod(t, d, 0o777|os.ModeSticky)
			l := link(t, o, filepath.Join(d, "l.so"))
			if err := os.Lchown(l, stranger, stranger); err != nil {
				t.Fatal(err)
			}
			return l
		}, "belongs to uid 64872, who could exchange it"},
		"in root's sticky directory": {func(t *testing.T, d, o string) string {
			chmod(t, d, 0o777|os.ModeSticky)
			return ""
		}, ""},
		"in the owner's sticky directory": {func(t *testing.T, d, o string) string {
			chown(t, d, owner)
			chmod(t, d, 0o777|os.ModeSticky)
			return ""
		}, "can be written by others (mode 1777)"},
		"back through a link": {func(t *testing.T, d, o string) string {
			return link(t, "/tmp", filepath.Join(d, "away")) + "/.." + o
		}, ""},
		"through a relative link": {func(t *testing.T, d, o string) string {
			return link(t, "../lib/./m.so", filepath.Join(d, "r.so"))
		}, ""},
		"a loop": {func(t *testing.T, d, o string) string {
			return link(t, "l.so", filepath.Join(d, "l.so"))
		}, "too many levels"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir, path := place(t)
			if c.change != nil {
				if p := c.change(t, dir, path); p != "" {
					path = p
				}
			}
			file, err := Open(path, owner)
			if err == nil {
				file.Close()
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path)) {
				t.Errorf("%v; want %q", err, c.want)
			}
		})
	}
}

// What becomes a link after the links were resolved is not followed, at the end
// of the path or within it.
func TestOpenExactFollowsNoLink(t *testing.T) {
	dir, object := place(t)
	for _, path := range []string{
		link(t, object, filepath.Join(dir, "l.so")),
		filepath.Join(link(t, dir, filepath.Join(dir, "here")), "m.so"),
	} {
		if _, err := openExact(path, owner); err == nil || !strings.Contains(err.Error(), "is a symbolic link") {
			t.Errorf("%s: %v", path, err)
		}
	}
	file, err := openExact(object, owner)
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
}

func chmod(t *testing.T, path string, mode os.FileMode) string {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func chown(t *testing.T, path string, uid int) string {
	t.Helper()
	if err := os.Chown(path, uid, uid); err != nil {
		t.Fatal(err)
	}
	return path
}

func link(t *testing.T, to, path string) string {
	t.Helper()
	if err := os.Symlink(to, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPath(t *testing.T) {
	dir, object := place(t)
	file, err := Open(object, owner)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fd := int(file.Fd())
	other := filepath.Join(dir, "other.so")
	if err := os.WriteFile(other, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := Path(fd, other); err != nil || got != fmt.Sprintf("/proc/self/fd/%d", fd) {
		t.Errorf("%q, %v", got, err)
	}
	// As in a jail without /proc.
	if got, err := first(fd, "/none", object); err != nil || got != object {
		t.Errorf("%q, %v", got, err)
	}
	for _, given := range []string{"", other, "/none"} {
		if got, err := first(fd, "/none", given); err == nil {
			t.Errorf("%q instead of %q", got, given)
		}
	}
}

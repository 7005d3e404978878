package config

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/rootid"
)

func TestOwnDirsOutsideTheTrees(t *testing.T) {
	mounts, err := rootid.ParseMounts([]byte("1 1 8:1 / / rw - ext4 d rw\n2 1 8:1 /t/in /bind rw - ext4 d rw\n"))
	if err != nil {
		t.Fatal(err)
	}
	const outside, own = "; name a directory outside it", "; name a directory of its own"
	for _, c := range []struct{ run, state, want string }{
		{"/run/x", "/var/x", ""},
		{"/s/run", "/t", "--runtime-dir: /s/run is inside the source" + outside + "\n--state-dir: /t is inside the target" + outside},
		{"/run/x", "/s/var", "--state-dir: /s/var is inside the source" + outside},
		{"/", "/", "--state-dir: / holds the source" + own + "\n--state-dir: / holds the target" + own},
		{"/run/x", "/bind/x", "--state-dir: /bind/x is inside the target" + outside},
		{"/run/x", "/sss", ""},
	} {
		got := ""
		if p := (Config{Source: "/s", Target: "/t", RuntimeDir: c.run, StateDir: c.state}).ownDirs(mounts); len(p) > 0 {
			got = p.Error()
		}
		if got != c.want {
			t.Errorf("%s %s:\ngot  %s\nwant %s", c.run, c.state, got, c.want)
		}
	}
}

func TestResolveOwn(t *testing.T) {
	dir := place(t)
	for path, want := range map[string]string{
		"dst/x":           "dst/x",
		"todst/x":         "dst/x",
		"todst/new/er/x":  "dst/new/er/x",
		"todst/./new//x/": "dst/new/x",
		"todst":           "todst", // refused by what opens it
		"broken/x":        "",
		"loop/x":          "",
		"file/x/y":        "",
	} {
		var p Problems
		got := resolveOwn("--state-dir", dir+"/"+path, &p)
		if want == "" {
			if len(p) != 1 {
				t.Errorf("%s: %q %v", path, got, p)
			}
			continue
		}
		if got != dir+"/"+want || len(p) > 0 {
			t.Errorf("%s: %q %v", path, got, p)
		}
	}
	var p Problems
	if got := resolveOwn("--state-dir", "/", &p); got != "/" || len(p) > 0 {
		t.Errorf("/: %q %v", got, p)
	}
}

// A link in the way to the state directory does not get it into the target.
func TestOwnDirsThroughALink(t *testing.T) {
	dir := place(t)
	testenv.NeedTool(t, "rsync")
	cfg, err := build(t, "source", dir+"/src", "targets", dir+"/dst", "state_dir", dir+"/todst/state", "runtime_dir", dir+"/tosrc/run")
	if err != nil {
		t.Fatal(err)
	}
	_, err = cfg.Resolve()
	if err == nil || !strings.Contains(err.Error(), "/dst/state is inside the target") || !strings.Contains(err.Error(), "/src/run is inside the source") {
		t.Errorf("%v", err)
	}
}

// acl is an access control list that lets uid 12345 write.
func acl() []byte {
	out := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{1, 7, 0xffffffff}, {2, 7, 12345}, {4, 5, 0xffffffff}, {0x10, 7, 0xffffffff}, {0x20, 5, 0xffffffff}} {
		out = binary.LittleEndian.AppendUint16(out, e.tag)
		out = binary.LittleEndian.AppendUint16(out, e.perm)
		out = binary.LittleEndian.AppendUint32(out, e.id)
	}
	return out
}

func TestCheckOwnedACL(t *testing.T) {
	testenv.NeedRoot(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o775); err != nil {
		t.Fatal(err)
	}
	if err := CheckOwned(file, 0); err != nil {
		t.Errorf("the group root may write: %v", err)
	}
	err := unix.Setxattr(file, "system.posix_acl_access", acl(), 0)
	if errors.Is(err, unix.ENOTSUP) {
		testenv.Lacks(t, "this test needs a file system with access control lists")
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckOwned(file, 0); err == nil || !strings.Contains(err.Error(), "access control list") {
		t.Errorf("a list that lets another write: %v", err)
	}
	if err := os.Chmod(file, 0o755); err != nil { // the mask: nobody in the list may write
		t.Fatal(err)
	}
	if err := CheckOwned(file, 0); err != nil {
		t.Errorf("a list that lets nobody write: %v", err)
	}
}

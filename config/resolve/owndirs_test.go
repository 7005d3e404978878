package resolve

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/config"
	"lockstep/config/owned"
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
		r := resolver{mounts: mounts, Set: config.Set{Service: config.Service{RuntimeDir: c.run, StateDir: c.state}}}
		if r.ownDirs(config.Sync{Source: "/s", Targets: []config.Target{{Path: "/t"}}}); len(r.problems) > 0 {
			got = r.problems.Error()
		}
		if got != c.want {
			t.Errorf("%s %s:\ngot  %s\nwant %s", c.run, c.state, got, c.want)
		}
	}
}

func TestResolveOwn(t *testing.T) {
	dir := Place(t)
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
		var r resolver
		got := r.ownPath("state_dir", dir+"/"+path)
		if want == "" {
			if len(r.problems) != 1 {
				t.Errorf("%s: %q %v", path, got, r.problems)
			}
			continue
		}
		if got != dir+"/"+want || len(r.problems) > 0 {
			t.Errorf("%s: %q %v", path, got, r.problems)
		}
	}
	var r resolver
	if got := r.ownPath("state_dir", "/"); got != "/" || len(r.problems) > 0 {
		t.Errorf("/: %q %v", got, r.problems)
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
	if err := owned.Check(file, 0); err != nil {
		t.Errorf("the group root may write: %v", err)
	}
	err := unix.Setxattr(file, "system.posix_acl_access", acl(), 0)
	if errors.Is(err, unix.ENOTSUP) {
		testenv.Lacks(t, "this test needs a file system with access control lists")
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := owned.Check(file, 0); err == nil || !strings.Contains(err.Error(), "access control list") {
		t.Errorf("a list that lets another write: %v", err)
	}
	if err := os.Chmod(file, 0o755); err != nil { // the mask: nobody in the list may write
		t.Fatal(err)
	}
	if err := owned.Check(file, 0); err != nil {
		t.Errorf("a list that lets nobody write: %v", err)
	}
}

// Place makes a tree to resolve paths in.
func Place(t *testing.T) (dir string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"src/inner", "dst"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"tosrc": "src", "todst": "dst", "broken": "nowhere", "loop": "loop"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

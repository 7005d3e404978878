package host

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lockstep/internal/testenv"
	"lockstep/rsync"
)

func TestInspectRsync(t *testing.T) {
	testenv.NeedTool(t, "rsync")
	c, err := Inspect("/usr/bin/rsync")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(c.Files, "/usr/bin/rsync") || c.Ino == 0 {
		t.Errorf("%+v", c)
	}
	if c.Loader != "" && !slices.Contains(c.Files, c.Loader) {
		t.Errorf("the loader %s is not among %q", c.Loader, c.Files)
	}
	for _, f := range c.Files {
		info, err := os.Lstat(f)
		if err != nil || !info.Mode().IsRegular() {
			t.Errorf("%s: %v %v", f, info, err)
		}
	}
	for link, text := range c.Links {
		if got, err := os.Readlink(link); err != nil || got != text {
			t.Errorf("%s is %q (%v), not %q", link, got, err, text)
		}
	}
}

func TestInspectRefuses(t *testing.T) {
	script := t.TempDir() + "/script"
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Inspect(script); err == nil || !strings.Contains(err.Error(), "not a program of this system") {
		t.Errorf("a script: %v", err)
	}
	if _, err := Inspect("/nowhere/rsync"); err == nil {
		t.Error("a missing program is no error")
	}
}

func TestParseLibraries(t *testing.T) {
	libs, err := parseLibraries("\tlinux-vdso.so.1 (0x00007f)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x00)\n\t/lib64/ld.so.2 (0x00)\n", "p")
	if err != nil || !slices.Equal(libs, []string{"/lib/x/libc.so.6", "/lib64/ld.so.2"}) {
		t.Errorf("%q %v", libs, err)
	}
	if _, err := parseLibraries("\tlibacl.so.1 => not found\n", "p"); err == nil || !strings.Contains(err.Error(), "libacl.so.1 is missing") {
		t.Errorf("%v", err)
	}
}

func TestKernelRefuse(t *testing.T) {
	k := Kernel{missing: []missing{{"landlock", "no landlock"}, {"", "no seccomp"}}}
	var warned []string
	err := k.Refuse(func(string) bool { return false }, func(string) {})
	if err == nil || !strings.Contains(err.Error(), "--allow-missing landlock") || !strings.Contains(err.Error(), "no seccomp") {
		t.Errorf("%v", err)
	}
	// What has no name cannot be allowed.
	err = k.Refuse(func(string) bool { return true }, func(s string) { warned = append(warned, s) })
	if err == nil || strings.Contains(err.Error(), "landlock") || len(warned) != 1 {
		t.Errorf("%v %q", err, warned)
	}
}

func TestCheckKernelHere(t *testing.T) {
	k := CheckKernel()
	for _, m := range k.missing {
		t.Logf("missing here: %s (%s)", m.what, m.name)
	}
	if k.Release == "" {
		t.Error("no release")
	}
}

// TestInspectRemote: what ssh needs is found as what rsync needs is.
func TestInspectRemote(t *testing.T) {
	testenv.NeedTool(t, "rsync")
	testenv.NeedTool(t, "ssh")
	c, err := Inspect("/usr/bin/rsync")
	if err != nil {
		t.Fatal(err)
	}
	r, err := InspectRemote(c, rsync.SSH, DefaultSSH)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(r.SSH.Files, r.SSH.Program) || !slices.Equal(r.Rsync.Files, c.Files) {
		t.Errorf("%+v", r)
	}
	d, err := InspectRemote(c, rsync.Daemon, "/nowhere")
	if err != nil || d.SSH.Program != "" {
		t.Errorf("%+v, %v", d, err)
	}
	// What the C library loads by itself is there for who asks for names.
	for who, got := range map[string]Command{"ssh": r.SSH, "rsync": d.Rsync} {
		for _, f := range got.Files {
			lib := filepath.Join(filepath.Dir(f), "libnss_files.so.2")
			if _, err := os.Stat(lib); filepath.Base(f) == "libc.so.6" && err == nil && !slices.ContainsFunc(got.Files, func(f string) bool { return strings.Contains(f, "libnss_files") }) {
				t.Errorf("%s lacks %s", who, lib)
			}
		}
	}
	if slices.ContainsFunc(c.Files, func(f string) bool { return strings.Contains(f, "libnss_files") }) {
		t.Error("the command of a local target was changed")
	}
	if _, err := InspectRemote(c, rsync.SSH, "/nowhere/ssh"); err == nil || !strings.Contains(err.Error(), "install OpenSSH's client") {
		t.Errorf("without ssh: %v", err)
	}
	if _, err := InspectRemote(c, rsync.Local, DefaultSSH); err == nil {
		t.Error("a local target has a remote jail")
	}
}

//go:build reproduce

package supply

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"lockstep/internal/testenv"
)

// TestReproducible builds twice, by the Makefile: in two directories, as two users,
// with nothing in common but the toolchain and the modules as they were fetched.
// Each module's hash is in go.sum.
func TestReproducible(t *testing.T) {
	testenv.NeedRoot(t)
	const stranger = 61999 // no user of the host's
	modules := strings.TrimSpace(run(t, "go", "env", "GOMODCACHE"))
	var bins [2]string
	for i, one := range []struct {
		dir   string
		uid   uint32
		umask string
		env   []string
	}{
		{"a", 0, "022", []string{"TZ=UTC", "LANG=C"}},
		{"another/place/with a space", stranger, "077", []string{"TZ=Asia/Tokyo", "LANG=C.UTF-8", "USER=stranger", "HOSTNAME=elsewhere"}},
	} {
		base := scratch(t)
		src, home, fetched := filepath.Join(base, one.dir), filepath.Join(base, "home"), filepath.Join(base, "modules")
		run(t, "mkdir", "-p", src, home, filepath.Join(base, "tmp"))
		// What git has, as it is in the working tree.
		run(t, "sh", "-c", `cd "$1" && git ls-files -z --cached --others --exclude-standard | xargs -0 -n 100 sh -c 'for f; do [ ! -e "$f" ] || printf "%s\0" "$f"; done' sh | tar --null -T - -cf - | tar --no-same-owner -xf - -C "$2"`, "sh", top, src)
		run(t, "cp", "-r", filepath.Join(modules, "cache/download"), fetched)
		if one.uid != 0 {
			run(t, "chown", "-R", "61999:61999", base)
		}
		cmd := exec.Command("sh", "-c", "umask "+one.umask+" && exec make build")
		cmd.Dir = src
		cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + base + "/tmp", "GOPROXY=file://" + fetched,
			"GOSUMDB=off", "GOTOOLCHAIN=local", "GOFLAGS=-modcacherw"}, one.env...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: one.uid, Gid: one.uid}}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("make build as %d in %s: %v\n%s", one.uid, src, err, out)
		}
		bins[i] = filepath.Join(src, "bin")
	}
	for _, name := range programs(t) {
		var texts [2][]byte
		for i := range texts {
			var err error
			if texts[i], err = os.ReadFile(filepath.Join(bins[i], name)); err != nil {
				t.Fatal(err)
			}
		}
		sum, _, _ := strings.Cut(run(t, "sha256sum", filepath.Join(bins[0], name)), " ")
		if !bytes.Equal(texts[0], texts[1]) {
			t.Errorf("%s: the two builds differ", name)
			continue
		}
		t.Logf("%s %s", sum, name)
	}
}

// scratch is a directory that others can enter, as t.TempDir is not.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lockstep-reproduce-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

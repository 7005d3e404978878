package way

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/config"
	"lockstep/internal/testenv"
	"lockstep/supervise/host"
)

// at makes a file in a directory that only root can write to.
func at(t *testing.T, name string, data []byte, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadSecret(t *testing.T) {
	testenv.NeedRoot(t)
	good := at(t, "key", []byte("secret"), 0o600)
	if data, err := readSecret(good); err != nil || string(data) != "secret" {
		t.Errorf("%q %v", data, err)
	}
	for name, path := range map[string]string{
		"missing":              filepath.Join(t.TempDir(), "none"),
		"written by others":    at(t, "open", []byte("x"), 0o666),
		"longer than any":      at(t, "long", bytes.Repeat([]byte("x"), maxSecret+1), 0o600),
		"a directory":          t.TempDir(),
		"in a place of others": "/proc/1/environ/x",
	} {
		if data, err := readSecret(path); err == nil {
			t.Errorf("%s: %d bytes", name, len(data))
		}
	}
}

// What is found is as the files are now, and a name that nobody knows is said.
func TestFind(t *testing.T) {
	testenv.NeedRoot(t)
	rsync, err := host.Inspect(testenv.NeedTool(t, "rsync"))
	if err != nil {
		t.Fatal(err)
	}
	password := at(t, "password", []byte("one"), 0o600)
	target, err := config.ParseTarget("rsync://me@192.0.2.1:8730/mod/dir")
	if err != nil {
		t.Fatal(err)
	}
	g := Goal{Target: target, Config: config.Config{Sync: config.Sync{PasswordFile: password}}, Rsync: rsync, UID: 61234, GID: 61235}
	for _, secret := range []string{"one", "two"} {
		if err := os.WriteFile(password, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := g.Find()
		if err != nil {
			t.Fatal(err)
		}
		if string(r.Password) != secret || r.Port != 8730 || r.UID != 61234 || r.GID != 61235 || r.Identity != nil || len(r.Hosts.Addrs) != 1 {
			t.Errorf("%+v", r)
		}
	}
	g.Target.Host = "no-such-host.invalid"
	if _, err := g.Find(); err == nil || !strings.Contains(err.Error(), "host unknown") {
		t.Errorf("%v", err)
	}
	g.Target = target
	g.Config.PasswordFile += "-none"
	if _, err := g.Find(); err == nil {
		t.Error("a missing password is no error")
	}
}

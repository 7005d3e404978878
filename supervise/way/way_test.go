package way

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

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
	link := filepath.Join(t.TempDir(), "link")
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := errors.Join(os.Symlink(good, link), unix.Mkfifo(fifo, 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path            string
		secret, another bool // can be read as a private file, as known hosts
	}{
		"root's alone":         {good, true, true},
		"a link to it":         {link, true, true},
		"empty":                {at(t, "empty", nil, 0o400), true, true},
		"read by a group":      {at(t, "group", []byte("secret"), 0o640), false, true},
		"read by others":       {at(t, "others", []byte("secret"), 0o604), false, true},
		"written by others":    {at(t, "open", []byte("x"), 0o602), false, false},
		"of another":           {given(t, at(t, "his", []byte("x"), 0o600), 1234, 0), false, false},
		"written by a group":   {given(t, at(t, "theirs", []byte("x"), 0o620), 0, 1234), false, false},
		"missing":              {filepath.Join(t.TempDir(), "none"), false, false},
		"longer than any":      {at(t, "long", bytes.Repeat([]byte("x"), maxSecret+1), 0o600), false, false},
		"a directory":          {t.TempDir(), false, false},
		"a FIFO":               {fifo, false, false},
		"in a place of others": {"/proc/1/environ/x", false, false},
	} {
		for private, want := range map[bool]bool{true: c.secret, false: c.another} {
			data, err := within(t, name, func() ([]byte, error) { return readSecret(c.path, private) })
			if (err == nil) != want || err != nil && data != nil {
				t.Errorf("%s, private %v: %d bytes, %v", name, private, len(data), err)
			}
		}
	}
	if data, err := readSecret(link, true); err != nil || string(data) != "secret" {
		t.Errorf("%q %v", data, err)
	}
	if err := os.Chmod(good, 0o644); err != nil {
		t.Fatal(err)
	}
	if data, err := readSecret(good, true); err == nil || !strings.Contains(err.Error(), "can be read by others (mode 0644)") {
		t.Errorf("readable by others since: %q %v", data, err)
	}
}

// given gives a file away.
func given(t *testing.T, path string, uid, gid int) string {
	t.Helper()
	if err := os.Chown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
	return path
}

// within fails the test when a read waits for somebody.
func within(t *testing.T, name string, read func() ([]byte, error)) (data []byte, err error) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		data, err = read()
	}()
	select {
	case <-done:
		return data, err
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: the read does not end", name)
		return nil, nil
	}
}

// What was opened is looked at itself: its path may have said something else.
func TestReadLooksAtWhatIsOpen(t *testing.T) {
	testenv.NeedRoot(t)
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path    string
		private bool
		want    string // "": it is read
	}{
		{at(t, "key", []byte("x"), 0o600), true, ""},
		{at(t, "hosts", []byte("x"), 0o644), false, ""},
		{at(t, "roots", []byte("x"), 0o664), false, ""},
		{at(t, "bare", []byte("x"), 0o644), true, "can be read by others"},
		{at(t, "wide", []byte("x"), 0o646), false, "can be written by others"},
		{given(t, at(t, "theirs", []byte("x"), 0o664), 0, 1234), false, "can be written by others"},
		{given(t, at(t, "his", []byte("x"), 0o600), 1234, 0), true, "belongs to uid 1234"},
		{given(t, at(t, "his", []byte("x"), 0o644), 1234, 0), false, "belongs to uid 1234"},
		{fifo, true, "is not a regular file"},
		{fifo, false, "is not a regular file"},
		{t.TempDir(), false, "is not a regular file"},
	} {
		f, err := os.OpenFile(c.path, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		data, err := read(f, c.private)
		switch {
		case c.want == "" && (err != nil || string(data) != "x"):
			t.Errorf("%s: %q %v", c.path, data, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s, private %v: %v, want %s", c.path, c.private, err, c.want)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What is opened is not inherited, and a link that has come since is not
// followed.
func TestOpen(t *testing.T) {
	testenv.NeedRoot(t)
	f, err := open(at(t, "key", []byte("x"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0)
	status, err2 := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil || err2 != nil || flags&unix.FD_CLOEXEC == 0 || status&unix.O_NOFOLLOW == 0 || status&unix.O_ACCMODE != unix.O_RDONLY {
		t.Errorf("flags %#x, %#x, %v %v", flags, status, err, err2)
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

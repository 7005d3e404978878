package resolve_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lockstep/config"
	"lockstep/config/keys"
	"lockstep/config/owned"
	"lockstep/config/resolve"
	"lockstep/internal/testenv"
)

func TestResolvePaths(t *testing.T) {
	dir := resolve.Place(t)
	testenv.NeedTool(t, "rsync") // in /usr/bin, and owned by root
	for _, c := range []struct{ src, dst, want string }{
		{"src", "dst", ""},
		{"src/", "dst/.", ""},
		{"tosrc", "todst", ""},
		{"src", "new", ""},
		{"src", "todst/new", ""},
		{"none", "dst", "source D/none: is missing; name a directory that is there and can be read"},
		{"file", "dst", "source D/file: is not a directory; name a directory"},
		{"src", "file", "target D/file: is not a directory; name a directory"},
		{"src", "src", "target D/src: is the source itself; name two directories of which neither holds the other"},
		{"src", "tosrc", "target D/src: is the source itself; name two directories of which neither holds the other"},
		{"src", "src/inner", "target D/src/inner: is inside the source D/src; name two directories of which neither holds the other"},
		{"src", "src/new", "target D/src/new: is inside the source D/src; name two directories of which neither holds the other"},
		{"src/inner", "tosrc", "source D/src/inner: is inside the target D/src; name two directories of which neither holds the other"},
		{"src", "no/new", "target D/no/new: is missing, and so is its parent directory; make its parent first, or name another"},
		{"src", "broken", "target D/broken: is a symbolic link to nothing; remove the link, or make what it names"},
		{"loop", "dst", "source D/loop: has too many symbolic links; name a directory that is there and can be read"},
		{"/", "dst", "source /: the root directory cannot be a source or a target; name a directory of your own data"},
		{"src", "/", "target /: the root directory cannot be a source or a target; name a directory of your own data"},
		{"/proc/self", "dst", "source /proc/PID: /proc and what is below it cannot be a source or a target; name a directory of your own data"},
		{"/sys", "dst", "source /sys: /sys and what is below it cannot be a source or a target; name a directory of your own data"},
		{"src", "/dev/shm/x", "target /dev/shm/x: /dev and what is below it cannot be a source or a target; name a directory of your own data"},
	} {
		at := func(p string) string {
			if filepath.IsAbs(p) {
				return p
			}
			return dir + "/" + p
		}
		b := keys.NewBuilder()
		b.Set("source", at(c.src))
		b.Set("targets", at(c.dst))
		set, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if set, err = resolve.Set(set); err != nil {
			got = strings.ReplaceAll(err.Error(), dir, "D")
		}
		if parts := strings.Split(got, ": "); strings.HasPrefix(got, "source /proc/") {
			got = "source /proc/PID: " + strings.Join(parts[1:], ": ")
		}
		if got != c.want {
			t.Errorf("%s %s:\ngot  %s\nwant %s", c.src, c.dst, got, c.want)
		}
		if c.want != "" {
			continue
		}
		if s := set.Syncs[0]; s.Source != dir+"/src" || !slices.Contains([]string{dir + "/dst", dir + "/new", dir + "/dst/new"}, s.Targets[0].Path) {
			t.Errorf("%s %s resolved to %s", c.src, c.dst, s.Describe())
		}
	}
}

func TestMakeTarget(t *testing.T) {
	dir := resolve.Place(t)
	c := config.Target{Path: dir + "/new", Missing: true}
	if err := c.Make(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(c.Path)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info, err)
	}
	c.Path = dir + "/no/new"
	if err := c.Make(); err == nil || !strings.Contains(err.Error(), "cannot be made") {
		t.Errorf("%v", err)
	}
}

func TestCheckOwned(t *testing.T) {
	dir := resolve.Place(t)
	me := uint32(os.Getuid())
	file := filepath.Join(dir, "file")
	if err := owned.Check(file, me, 0); err != nil {
		t.Fatalf("own file: %v", err)
	}
	if err := owned.Check(file, me+1); err == nil {
		t.Error("another owner was not seen")
	}
	if err := os.Chmod(file, 0o757); err != nil {
		t.Fatal(err)
	}
	if err := owned.Check(file, me, 0); err == nil || !strings.Contains(err.Error(), "can be written by others") {
		t.Errorf("a file that others can write: %v", err)
	}
	if err := os.Chmod(file, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := owned.Check(file, me, 0); err == nil {
		t.Error("a directory that others can write was not seen")
	}
}

// A link in the way to the state directory does not get it into the target.
func TestOwnDirsThroughALink(t *testing.T) {
	dir := resolve.Place(t)
	testenv.NeedTool(t, "rsync")
	b := keys.NewBuilder()
	for key, value := range map[string]string{"source": "/src", "targets": "/dst", "state_dir": "/todst/state", "runtime_dir": "/tosrc/run"} {
		b.Set(key, dir+value)
	}
	set, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	_, err = resolve.Set(set)
	if err == nil || !strings.Contains(err.Error(), "/dst/state is inside the target") || !strings.Contains(err.Error(), "/src/run is inside the source") {
		t.Errorf("%v", err)
	}
}

// Keys and passwords are root's alone.
func TestKeyFiles(t *testing.T) {
	testenv.NeedRoot(t)
	testenv.NeedTool(t, "rsync")
	dir := resolve.Place(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"id", "known", "secret"} {
		if err := os.WriteFile(dir+"/"+name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	resolve := func() string {
		b := keys.NewBuilder()
		for key, value := range map[string]string{"source": dir + "/src", "ssh.identity": dir + "/id", "ssh.known_hosts": dir + "/known", "password_file": dir + "/secret"} {
			b.Set(key, value)
		}
		b.Set("targets", "web2:/x")
		b.Set("targets", "rsync://u@nas/x")
		set, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := resolve.Set(set); err != nil {
			return strings.ReplaceAll(err.Error(), dir, "D")
		}
		return ""
	}
	if got := resolve(); got != "" {
		t.Fatal(got)
	}
	for _, c := range []struct {
		change func() error
		want   string
	}{
		{func() error { return os.Chmod(dir+"/known", 0o644) }, ""},
		{func() error { return os.Chmod(dir+"/id", 0o640) }, "--ssh-identity D/id: can be read by others (mode 0640); make it root's alone: chmod 600"},
		{func() error { return errors.Join(os.Chmod(dir+"/id", 0o400), os.Chmod(dir+"/secret", 0o604)) }, "--password-file D/secret: can be read by others (mode 0604); make it root's alone: chmod 600"},
		{func() error { return errors.Join(os.Chmod(dir+"/secret", 0o600), os.Chmod(dir+"/known", 0o646)) }, "--ssh-known-hosts D/known: is not safe to use: "},
		{func() error { return errors.Join(os.Chmod(dir+"/known", 0o600), os.Chown(dir+"/id", 12345, 0)) }, "--ssh-identity D/id: is not safe to use: D/id belongs to uid 12345"},
		{func() error { return errors.Join(os.Remove(dir+"/id"), os.Mkdir(dir+"/id", 0o700)) }, "--ssh-identity D/id: is not a regular file; name a file"},
		{func() error { return os.Remove(dir + "/id") }, "--ssh-identity D/id: is missing; make it, or name another"},
	} {
		if err := c.change(); err != nil {
			t.Fatal(err)
		}
		if got := resolve(); !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") || strings.Contains(got, "\n") {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestForRun(t *testing.T) {
	set := config.Set{Syncs: []config.Sync{{Name: "a"}, {Name: "b"}}}
	got, err := set.ForRun(config.Run{Once: true}, []string{"b"})
	if err != nil || got.Config(0).AcceptRoot || !got.Config(1).AcceptRoot || !got.Config(0).Once {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := set.ForRun(config.Run{}, []string{"c"}); err == nil {
		t.Error("consent to a sync that is none")
	}
	set.Syncs[1].FirstPass = config.FirstSkip
	if _, err := set.ForRun(config.Run{}, nil); err != nil {
		t.Error(err)
	}
	for flag, run := range map[string]config.Run{"--once: ": {Once: true}, "--dry-run: ": {DryRun: true}} {
		if _, err := set.ForRun(run, nil); err == nil || !strings.HasPrefix(err.Error(), flag) || !strings.Contains(err.Error(), "b has none") {
			t.Errorf("%sbeside a sync without a first pass: %v", flag, err)
		}
	}
}

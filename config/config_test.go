package config

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

func build(t *testing.T, pairs ...string) (Config, error) {
	t.Helper()
	b := NewBuilder()
	for i := 0; i < len(pairs); i += 2 {
		b.Set(pairs[i], pairs[i+1])
	}
	return b.Build()
}

func TestDefaults(t *testing.T) {
	c, err := build(t, "source", "/s", "targets", "/t")
	if err != nil {
		t.Fatal(err)
	}
	want := Config{Source: "/s", Target: "/t", Delay: 200 * time.Millisecond, MaxDelay: 2 * time.Second,
		BigSize: 128 << 20, BigDelay: 30 * time.Minute, Timeout: 24 * time.Hour, RetryInitial: time.Second,
		RetryMax: 5 * time.Minute, MaxDeletePercent: 50, MaxDeleteEntries: 1000, Monitor: "auto",
		RsyncPath: "/usr/bin/rsync", StateDir: "/var/lib/lockstep", User: "lockstep", StopTimeout: 10 * time.Second}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// Every key must reach a field of its own, so that none is forgotten.
func TestEveryKeyIsRead(t *testing.T) {
	value := map[string]string{"source": "/s", "targets": "/t", "exclude": "*.tmp", "monitor": "inotify", "delay": "1ms",
		"max_delay": "1m", "big_file_size": "1KiB", "big_file_delay": "1m", "timeout": "1m", "retry_initial": "2s",
		"retry_max": "1h", "xattrs": "all", "rsync_path": "/r", "bwlimit": "10MiB", "max_delete_percent": "7",
		"max_delete_entries": "8", "runtime_dir": "/run/x", "state_dir": "/st", "user": "u", "log_format": "json",
		"stop_timeout": "3s", "allow_missing": "cgroup-memory,cgroup-pids"}
	changed := map[string]string{}
	for _, k := range Keys() {
		v := value[k.Name]
		if k.Switch() {
			v = "true"
		}
		var before, after Config
		if k.Default != "" {
			if err := k.read(&before, k.Default); err != nil {
				t.Fatalf("%s: default: %v", k.Name, err)
			}
			after = before
		}
		if err := k.read(&after, v); err != nil {
			t.Errorf("%s: %v", k.Name, err)
			continue
		}
		fields := diff(before, after)
		if len(fields) != 1 {
			t.Errorf("%s changes %q", k.Name, fields)
			continue
		}
		if other, ok := changed[fields[0]]; ok {
			t.Errorf("%s and %s both change %s", k.Name, other, fields[0])
		}
		changed[fields[0]] = k.Name
		if k.Help == "" || (k.Advice == "" && !k.Switch() && !k.Word && k.Name != "exclude") {
			t.Errorf("%s lacks help or advice", k.Name)
		}
	}
	if got, all := len(changed), reflect.TypeFor[Config]().NumField(); got != all-1 { // TargetMissing is found out
		t.Errorf("%d of %d fields have a key", got, all)
	}
}

func diff(a, b Config) []string {
	var out []string
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range va.NumField() {
		if !reflect.DeepEqual(va.Field(i).Interface(), vb.Field(i).Interface()) {
			out = append(out, va.Type().Field(i).Name)
		}
	}
	return out
}

func TestBadValues(t *testing.T) {
	for _, c := range []struct{ key, value, want string }{
		{"delay", "soon", `--delay: "soon" is not a duration; write a duration such as 200ms, 2s, 30m or 24h`},
		{"delay", "-1s", "--delay: -1s is not between 0s and 1h0m0s; write a duration such as 200ms, 2s, 30m or 24h"},
		{"big_file_size", "12XB", `--big-file-size: "12XB" is not a size; write a size such as 64KiB, 128MiB or 1GiB, or 0 for no such lane`},
		{"bwlimit", "99999999999TiB", `--bwlimit: "99999999999TiB" is too large; write a size such as 64KiB, 128MiB or 1GiB, or 0 for no limit`},
		{"monitor", "fanotify", `--monitor: "fanotify" is not in this version; use auto or inotify`},
		{"monitor", "magic", `--monitor: "magic" is unknown; use auto or inotify`},
		{"xattrs", "some", `--xattrs: "some" is unknown; use user, all or none`},
		{"max_delete_percent", "101", `--max-delete-percent: "101" is not a percentage; write a number from 0 to 100`},
		{"rsync_path", "rsync", `--rsync-path: "rsync" is not an absolute path; name the program by its absolute path`},
		{"user", "nobody", `--user: "nobody" cannot be the worker's user; name a user that is not root`},
		{"allow_missing", "seccomp", `--allow-missing: "seccomp" is not a feature that may be missing; use one of landlock, cgroup-kill, cgroup-devices, cgroup-memory, cgroup-pids`},
		{"exclude", "", `--exclude: an empty pattern matches nothing; leave it out`},
		{"exclude", "#x", `--exclude: "#x" is a comment in gitignore syntax; write \#x to mean the name`},
		{"devices", "maybe", `--devices: "maybe" is neither true nor false`},
		{"targets", "host:/x", `DST: "host:/x" is a remote target, which this version does not have; a local path with a colon is written ./host:/x`},
		{"nonsense", "1", `nonsense: unknown key; see lockstep mirror --help`},
	} {
		pairs := []string{c.key, c.value, "source", "/s"}
		if c.key != "targets" {
			pairs = append(pairs, "targets", "/t")
		}
		_, err := build(t, pairs...)
		got := "no error"
		if err != nil {
			got, _, _ = strings.Cut(err.Error(), "\n")
		}
		if got != c.want {
			t.Errorf("%s = %q:\ngot  %s\nwant %s", c.key, c.value, got, c.want)
		}
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	_, err := build(t, "delay", "x", "monitor", "y", "max_delay", "1ms", "delay", "3s")
	want := `--delay: "x" is not a duration; write a duration such as 200ms, 2s, 30m or 24h
--monitor: "y" is unknown; use auto or inotify
delay: given twice; give it once
SRC: missing; name the directory to mirror: lockstep mirror SRC DST
DST: missing; name the directory to keep in step: lockstep mirror SRC DST
--max-delay: 1ms is below --delay, which is 200ms; raise --max-delay or lower --delay`
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

func TestParseSize(t *testing.T) {
	for in, want := range map[string]uint64{"0": 0, "7": 7, "7B": 7, "1KiB": 1024, "128MiB": 128 << 20, "2GiB": 2 << 30, "1TiB": 1 << 40} {
		if got, err := ParseSize(in); err != nil || got != want {
			t.Errorf("%s = %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "MiB", "-1", "1.5MiB", "1MB", "1M", "1 MiB", "0x10", "1BB", "18446744073709551616"} {
		if got, err := ParseSize(in); err == nil {
			t.Errorf("%q = %d", in, got)
		}
	}
}

// place makes a tree to resolve paths in.
func place(t *testing.T) (dir string) {
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

func TestResolvePaths(t *testing.T) {
	dir := place(t)
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
		cfg, err := build(t, "source", at(c.src), "targets", at(c.dst))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if cfg, err = cfg.Resolve(); err != nil {
			got = strings.ReplaceAll(err.Error(), dir, "D")
		}
		if parts := strings.Split(got, ": "); strings.HasPrefix(got, "source /proc/") {
			got = "source /proc/PID: " + strings.Join(parts[1:], ": ")
		}
		if got != c.want {
			t.Errorf("%s %s:\ngot  %s\nwant %s", c.src, c.dst, got, c.want)
		}
		if c.want == "" && (cfg.Source != dir+"/src" || !slices.Contains([]string{dir + "/dst", dir + "/new", dir + "/dst/new"}, cfg.Target)) {
			t.Errorf("%s %s resolved to %s %s", c.src, c.dst, cfg.Source, cfg.Target)
		}
	}
}

func TestMakeTarget(t *testing.T) {
	dir := place(t)
	c := Config{Target: dir + "/new", TargetMissing: true}
	if err := c.MakeTarget(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(c.Target)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info, err)
	}
	c.Target = dir + "/no/new"
	if err := c.MakeTarget(); err == nil || !strings.Contains(err.Error(), "cannot be made") {
		t.Errorf("%v", err)
	}
}

func TestCheckOwned(t *testing.T) {
	dir := place(t)
	me := uint32(os.Getuid())
	file := filepath.Join(dir, "file")
	if err := CheckOwned(file, me, 0); err != nil {
		t.Fatalf("own file: %v", err)
	}
	if err := CheckOwned(file, me+1); err == nil {
		t.Error("another owner was not seen")
	}
	if err := os.Chmod(file, 0o757); err != nil {
		t.Fatal(err)
	}
	if err := CheckOwned(file, me, 0); err == nil || !strings.Contains(err.Error(), "can be written by others") {
		t.Errorf("a file that others can write: %v", err)
	}
	if err := os.Chmod(file, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := CheckOwned(file, me, 0); err == nil {
		t.Error("a directory that others can write was not seen")
	}
}

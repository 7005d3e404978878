package keys

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/config"
)

func build(t *testing.T, pairs ...string) (config.Config, error) {
	t.Helper()
	b := NewBuilder()
	for i := 0; i < len(pairs); i += 2 {
		b.Set(pairs[i], pairs[i+1])
	}
	set, err := b.Build()
	if err != nil {
		return config.Config{}, err
	}
	return set.Config(0), nil
}

func TestDefaults(t *testing.T) {
	c, err := build(t, "source", "/s", "targets", "/t")
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{
		Sync: config.Sync{Name: "s", Source: "/s", Targets: []config.Target{{Spec: "/t", Path: "/t"}}, Delay: 200 * time.Millisecond, MaxDelay: 2 * time.Second,
			BigSize: 128 << 20, BigDelay: 30 * time.Minute, Timeout: 24 * time.Hour, RetryInitial: time.Second,
			RetryMax: 5 * time.Minute, MaxDeletePercent: 50, MaxDeleteEntries: 1000, Monitor: "auto", UnwatchedEvery: time.Minute, BusyRate: 5000,
			Mode: "rsync", RsyncPath: "/usr/bin/rsync", End: config.End{HookTimeout: 30 * time.Second}, SSH: config.SSH{Port: 22}},
		Service: config.Service{StateDir: "/var/lib/lockstep", User: "lockstep", LogTo: "stderr", StopTimeout: 10 * time.Second, MaxJobs: 16, MaxJobsPerHost: 4, Control: config.Control{Mode: 0o600},
			Audit: config.Audit{Mode: "off", Size: 64 << 20, To: "none"}},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// Every key must reach a field of its own, so that none is forgotten.
func TestEveryKeyIsRead(t *testing.T) {
	value := map[string]string{"source": "/s", "targets": "/t", "exclude": "*.tmp", "rules": "-f^x$", "rules_file": "/r", "monitor": "inotify", "delay": "1ms",
		"max_delay": "1m", "big_file.size": "1KiB", "big_file.delay": "1m", "timeout": "1m", "retry.initial": "2s",
		"retry.max": "1h", "xattrs": "all", "rsync_path": "/r", "bwlimit": "10MiB", "max_delete.percent": "7",
		"max_delete.entries": "8", "runtime_dir": "/run/x", "state_dir": "/st", "user": "u", "log_format": "json", "log_to": "syslog", "log_level": "warn",
		"stop_timeout": "3s", "allow_missing": "cgroup-memory,cgroup-pids", "name": "n",
		"full_sync_every": "24h", "first_pass": "skip", "verify_every": "1h", "unwatched_every": "2m", "busy_rate": "0", "rsync_args": "--compress", "delete": "never", "ssh.identity": "/i", "ssh.known_hosts": "/k",
		"ssh.port": "2222", "password_file": "/p", "run_as": "u", "max_jobs": "1", "max_jobs_per_host": "1", "poll_every": "3s", "monitor_rules": "fs nfs* poll",
		"mode": "shell", "handler": "/h", "handler_user": "u:g", "backup_dir": "decrement", "handler_args": "%label%", "ignore_exit_codes": "23", "handler_changes": "uid", "handler_recursive_args": "%label%", "handler_reads": "/hr", "handler_writes": "/hw", "status_file": "/f", "standby_file": "/g", "pid_file": "/h",
		"hooks.pre_exit": "/p", "hooks.exit": "/e", "hooks.timeout": "1m", "max_iterations": "7",
		"control_socket": "/c", "control_mode": "0660", "control_owner": "u:g",
		"audit": "strict", "audit_dir": "/a", "audit_size": "1MiB", "audit_to": "journal"}
	changed := map[string]string{}
	for _, k := range Table() {
		v := value[k.Name]
		if k.Switch() {
			v = "true"
		}
		var before, after config.Config
		if k.Default != "" {
			if err := k.field.Read(&before, k.Default); err != nil {
				t.Fatalf("%s: default: %v", k.Name, err)
			}
			after = before
		}
		if err := k.field.Read(&after, v); err != nil {
			t.Errorf("%s: %v", k.Name, err)
			continue
		}
		if again := k.Values(after); !slices.Equal(again, strings.Split(v, ",")) {
			t.Errorf("%s: %q was written as %q", k.Name, v, again)
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
		if k.Help == "" || (k.Advice == "" && !k.Switch() && k.Name != "exclude") {
			t.Errorf("%s lacks help or advice", k.Name)
		}
	}
	const found = 2 // Resolve looks up a handler's ids
	if got, all := len(changed), len(fields(reflect.ValueOf(config.Config{})))-found; got != all {
		t.Errorf("%d of %d fields have a key", got, all)
	}
}

// fields are the leaves of a configuration, by their paths.
func fields(v reflect.Value) map[string]any {
	out := map[string]any{}
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Name
		if f.Kind() != reflect.Struct {
			out[name] = f.Interface()
			continue
		}
		for inner, value := range fields(f) {
			out[name+"."+inner] = value
		}
	}
	return out
}

func diff(a, b config.Config) []string {
	var out []string
	after := fields(reflect.ValueOf(b))
	for name, value := range fields(reflect.ValueOf(a)) {
		if !reflect.DeepEqual(value, after[name]) {
			out = append(out, name)
		}
	}
	return out
}

func TestBadValues(t *testing.T) {
	for _, c := range []struct{ key, value, want string }{
		{"delay", "soon", `--delay: "soon" is not a duration; write a duration such as 200ms, 2s, 30m or 24h`},
		{"delay", "-1s", "--delay: -1s is not between 0 and 1h; write a duration such as 200ms, 2s, 30m or 24h"},
		{"big_file.size", "12XB", `--big-file-size: "12XB" is not a size; write a size such as 64KiB, 128MiB or 1GiB, or 0 for no such lane`},
		{"bwlimit", "99999999999TiB", `--bwlimit: "99999999999TiB" is too large; write a size such as 64KiB, 128MiB or 1GiB, or 0 for no limit`},
		{"monitor", "magic", `--monitor: "magic" is unknown; use auto, inotify, fanotify, poll or dnotify`},
		{"xattrs", "some", `--xattrs: "some" is unknown; use user, all or none`},
		{"max_delete.percent", "101", `--max-delete-percent: "101" is not a number from 0 to 100; write a number from 0 to 100`},
		{"rsync_path", "rsync", `--rsync-path: "rsync" is not an absolute path; name the program by its absolute path`},
		{"user", "nobody", `--user: "nobody" cannot be the user of a confined process; name a user that is not root`},
		{"allow_missing", "seccomp", `--allow-missing: "seccomp" is not a feature that may be missing; use one of landlock, cgroup-kill, cgroup-devices, cgroup-memory, cgroup-pids`},
		{"exclude", "", `--exclude: an empty pattern matches nothing; leave it out`},
		{"exclude", "#x", `--exclude: "#x" is a comment in gitignore syntax; write \#x to mean the name`},
		{"devices", "maybe", `--devices: "maybe" is neither true nor false`},
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
--monitor: "y" is unknown; use auto, inotify, fanotify, poll or dnotify
--delay: given twice; give it once
SRC: missing; name the directory to mirror: lockstep mirror SRC DST
DST: missing; name the directory to keep in step: lockstep mirror SRC DST`
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

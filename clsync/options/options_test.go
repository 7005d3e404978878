package options

import (
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/clsync/table"
)

// env reads from a map of files, of which the first that is looked for is "conf".
func env(files map[string]string) Env {
	return Env{Dir: "/start", Search: []string{"/none", "/conf", "/etc/conf"}, PID: 42, ReadFile: func(path string) ([]byte, error) {
		text, ok := files[path]
		if !ok {
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		}
		return []byte(text), nil
	}}
}

// least is a command line without a fault.
func least(more ...string) []string {
	return append([]string{"-W", "w", "-M", "shell", "-S", "./h"}, more...)
}

func good(t *testing.T, e Env, args ...string) *Options {
	t.Helper()
	o, err := Read(args, e)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return o
}

// faults are what is told of a command line, one a line.
func faults(e Env, args ...string) string {
	_, err := Read(args, e)
	if err == nil {
		return ""
	}
	return err.Error()
}

func warnings(o *Options) string {
	if len(o.Warnings) == 0 {
		return ""
	}
	return o.Warnings.Error()
}

func TestDefaults(t *testing.T) {
	o := good(t, env(nil), least()...)
	want := map[string]any{
		"label": "nolabel", "background": false, "config-block": "default", "retries": 1, "ignore-failures": false, "threading": "off", "output": "stderr",
		"debug": 0, "verbose": 3, "quiet": 0, "one-file-system": false, "max-iterations": 0, "timeout-sync": 86400 * time.Second,
		"delay-sync": 30 * time.Second, "delay-collect": 30 * time.Second, "delay-collect-bigfile": 1800 * time.Second, "threshold-bigfile": 134217728,
		"rsync-inclimit": 20000, "dump-dir": "/tmp/clsync-dump-nolabel", "monitor": "inotify", "splitting": "off", "pivot-root": "off", "detach-network": "off",
		"detach-ipc": true, "preserve-capabilities": []string{"DAC_READ_SEARCH", "SETUID", "SETGID", "KILL"}, "inherit-capabilities": "empty",
		"cgroup-group-name": "clsync/42", "cluster-ip": "227.108.115.121", "cluster-port": 40079, "cluster-timeout": 1000, "cluster-hash-dl-min": 1,
		"cluster-hash-dl-max": 16, "cluster-scan-dl-max": 32, "mode": Shell, "watch-dir": "/start/w", "sync-handler": "/start/h", "custom-signals": map[int]string{},
	}
	places := map[string]any{}
	tagged(reflect.ValueOf(o).Elem(), places)
	for name, place := range places {
		got := reflect.ValueOf(place).Elem()
		if w, ok := want[name]; ok && !reflect.DeepEqual(got.Interface(), w) || !ok && !got.IsZero() {
			t.Errorf("%s: %#v, want %#v", name, got.Interface(), w)
		}
	}
	// Each option has a place, but those that say where options are.
	for _, opt := range table.All() {
		_, ok := places[opt.Name]
		if ok == slices.Contains([]string{"config-file", "config-block-inherits", table.Arguments, table.Recursive}, opt.Name) {
			t.Errorf("%s has a place: %v", opt.Name, ok)
		}
		delete(places, opt.Name)
	}
	if len(places) > 0 {
		t.Errorf("no options: %v", places)
	}
	if o.Warnings != nil || len(o.Given) != 3 || o.ConfigFile != "" || o.ConfigChain != nil || o.OwnArguments {
		t.Errorf("%+v", o)
	}
}

// Each mode's words; macro.Cut reads them.
func TestArguments(t *testing.T) {
	for _, c := range []struct {
		args string
		want []string
	}{
		{"-M simple -l 50%%", []string{"sync", "50%%", "%EVENT-MASK%", "%INCLUDE-LIST%"}},
		{"-M direct -D d/", []string{"%INCLUDE-LIST%", "/start/d/"}},
		{"-M shell", []string{"synclist", "nolabel", "%INCLUDE-LIST-PATH%"}},
		{"-M rsyncshell", []string{"rsynclist", "nolabel", "%INCLUDE-LIST-PATH%", "%EXCLUDE-LIST-PATH%"}},
		{"-M rsyncdirect -D u@h:d", []string{"%RSYNC-ARGS%", "/start/w/", "u@h:d/"}},
		{"-M so", nil},
		{"-- a -b %label%", []string{"a", "-b", "nolabel"}},
		{"x -l l y -- %label%", []string{"x", "y", "l"}},
		{"-- %TYPE%x %%TYPE%% 100% %nosuch% %NOSUCH% %watch-dir%/a", []string{"%TYPE%x", "%%TYPE%%", "100%%", "%%nosuch%%", "%%NOSUCH%%", "/start/w/a"}},
		{"-- %PID% %delay-sync% %debug% %destination-dir% %sync-handler%", []string{"42", "30", "0", "%%destination-dir%%", "/start/h"}},
	} {
		o := good(t, env(nil), least(strings.Fields(c.args)...)...)
		if !slices.Equal(o.Arguments, c.want) || o.OwnArguments != strings.Contains(c.args, "--") {
			t.Errorf("%s: %q, want %q", c.args, o.Arguments, c.want)
		}
	}
	// One empty word: none, but those of a file are not taken either.
	file := env(map[string]string{"/conf": "[default]\n-- = from \"the file\""})
	for _, c := range []struct {
		args []string
		want string
	}{{nil, `["from" "the file"]`}, {[]string{"--"}, `["from" "the file"]`}, {[]string{"--", "x"}, `["x"]`}, {[]string{"--", "x", ""}, `["x" ""]`}, {[]string{"--", ""}, `["synclist" "nolabel" "%INCLUDE-LIST-PATH%"]`}} {
		if o := good(t, file, least(c.args...)...); fmt.Sprintf("%q", o.Arguments) != c.want {
			t.Errorf("%q: %q, want %s", c.args, o.Arguments, c.want)
		}
	}
}

func TestRecursiveArguments(t *testing.T) {
	file := env(map[string]string{"/conf": "[default]\n--- = r %INCLUDE-LIST% \"x y\""})
	if o := good(t, file, least("--have-recursive-sync")...); !slices.Equal(o.RecursiveArguments, []string{"r", "%INCLUDE-LIST%", "x y"}) || o.Warnings != nil {
		t.Errorf("%q %v", o.RecursiveArguments, o.Warnings)
	}
	if o := good(t, env(nil), least("--have-recursive-sync")...); !slices.Equal(o.RecursiveArguments, []string{"initialsync", "nolabel", "%INCLUDE-LIST%"}) {
		t.Errorf("%q", o.RecursiveArguments)
	}
	if o := good(t, file, least()...); o.RecursiveArguments != nil || !strings.Contains(warnings(o), "/conf:2:1: ---: is not used without have-recursive-sync") {
		t.Errorf("%q %v", o.RecursiveArguments, o.Warnings)
	}
}

// How values are read, measured with clsync 0.4.5 where it has them.
func TestValues(t *testing.T) {
	for _, c := range []struct {
		args string
		get  func(*Options) any
		want any
	}{
		{"-t010", func(o *Options) any { return o.DelayCollect }, 8 * time.Second},
		{"-t0x10", func(o *Options) any { return o.DelayCollect }, 16 * time.Second},
		{"-t=+5=", func(o *Options) any { return o.DelayCollect }, 5 * time.Second},
		{"--delay-collect=1.5", func(o *Options) any { return o.DelayCollect }, 1500 * time.Millisecond},
		{"--delay-collect=0.000000001", func(o *Options) any { return o.DelayCollect }, time.Nanosecond},
		{"--delay-collect=", func(o *Options) any { return o.DelayCollect }, time.Duration(0)},
		{"--retries=0x2", func(o *Options) any { return o.Retries }, 2},
		{"-B0", func(o *Options) any { return o.ThresholdBigfile }, 0},
		{"-d -d", func(o *Options) any { return o.Debug }, 2},
		{"-d2 -d", func(o *Options) any { return o.Debug }, 3},
		{"-d -d0 -d", func(o *Options) any { return o.Debug }, 1},
		{"-v", func(o *Options) any { return o.Verbose }, 4},
		{"-U -U", func(o *Options) any { return o.KeepLists }, true},
		{"-U -U0", func(o *Options) any { return o.KeepLists }, false},
		{"--dont-unlink-lists=", func(o *Options) any { return o.KeepLists }, false},
		{"--only-init=0 --only-init=1", func(o *Options) any { return o.OnlyInitialSync }, true},
		{"--detach-ipc 0", func(o *Options) any { return o.DetachIPC }, false},
		{"-X", func(o *Options) any { return o.OneFileSystem }, true},
		{"-l a -l b", func(o *Options) any { return o.Label }, "b"},
		{"--label=", func(o *Options) any { return o.Label }, ""},
		{"-x 23,24 -x 7", func(o *Options) any { return o.IgnoreExitCodes }, []int{23, 24, 7}},
		{"-x 23 -x 0 -x 24,", func(o *Options) any { return o.IgnoreExitCodes }, []int{24}},
		{"-x 1,0,,2,2", func(o *Options) any { return o.IgnoreExitCodes }, []int{2}},
		{"--add-permitted a,/b --add-permitted c", func(o *Options) any { return o.PermittedHooks }, []string{"/start/a", "/b", "/start/c"}},
		{"--add-permitted a, --add-permitted c", func(o *Options) any { return o.PermittedHooks }, []string{"/start/c"}},
		{"--modification-signature uid,=gid", func(o *Options) any { return o.Signature }, []string{"uid", "gid"}},
		{"--modification-signature *", func(o *Options) any { return len(o.Signature) }, 12},
		{"--preserve-capabilities CAP_CHOWN,KILL", func(o *Options) any { return o.Capabilities }, []string{"CHOWN", "KILL"}},
		{"--inherit-capabilities", func(o *Options) any { return o.InheritCapabilities }, "empty"},
		{"--inherit-capabilities=permittied", func(o *Options) any { return o.InheritCapabilities }, "permitted"},
		{"--splitting 2", func(o *Options) any { return o.Splitting }, "process"},
		{"--secure-splitting", func(o *Options) any {
			return o.Splitting == "process" && o.CheckArguments && o.Seccomp && o.ForbidDevices
		}, true},
		{"-p safe", func(o *Options) any { return o.Threading }, "safe"},
		{"--socket s --socket-mod 0660", func(o *Options) any { return o.SocketMode }, uint32(0o660)},
		{"-R ../r/", func(o *Options) any { return o.RulesFile }, "/start/../r"},
		{"-R ././/r", func(o *Options) any { return o.RulesFile }, "/start/r"},
		{"-R .", func(o *Options) any { return o.RulesFile }, "/start"},
		{"-R /", func(o *Options) any { return o.RulesFile }, "/"},
		{"--rules-file=", func(o *Options) any { return o.RulesFile }, ""},
		{"-S rsync", func(o *Options) any { return o.SyncHandler }, "rsync"},
		{"-S a/b", func(o *Options) any { return o.SyncHandler }, "/start/a/b"},
		{"-S a.so -M so", func(o *Options) any { return o.SyncHandler }, "/start/a.so"},
		{"--sync-handler= -M direct -D d", func(o *Options) any { return o.SyncHandler }, "cp"},
		{"--sync-handler= -M rsyncdirect -D d -l %sync-handler%", func(o *Options) any { return o.SyncHandler + o.Label }, "rsyncrsync"},
		{"-D host:/x", func(o *Options) any { return o.DestinationDir }, "/start/host:/x"},
		{"-D u@host:/x", func(o *Options) any { return o.DestinationDir }, "u@host:/x"},
		{"-D rsync://h/x", func(o *Options) any { return o.DestinationDir }, "rsync://h/x"},
		{"-l x%mode%y%%", func(o *Options) any { return o.Label }, "xshelly%"},
		{"-z /run/%label%.%PID% -l a", func(o *Options) any { return o.PIDFile }, "/run/a.42"},
		{"-l %watch-dir%", func(o *Options) any { return o.Label }, "/start/w"},
	} {
		var args []string
		for _, w := range strings.Fields(c.args) {
			if !strings.HasPrefix(w, "--") {
				w = strings.ReplaceAll(w, "=", " ") // blanks around a value
			}
			args = append(args, w)
		}
		if got := c.get(good(t, env(nil), least(args...)...)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %#v, want %#v", c.args, got, c.want)
		}
	}
}

// Every bad value of a command line is told, with what to do.
func TestBadValues(t *testing.T) {
	for args, want := range map[string]string{
		"-t abc":                      `--delay-collect: "abc" is not a number; write a number such as 0, 1 or 30`,
		"-t 09":                       `--delay-collect: "09" is not a number: with a leading 0 it is octal; write it without the leading 0`,
		"-t -1":                       `--delay-collect: "-1" is negative; write a number such as 0, 1 or 30`,
		"-t 1.":                       `--delay-collect: "1." is not a number; write seconds such as 30 or 0.5`,
		"-t 01.5":                     `--delay-collect: "01.5" is not a number; write seconds such as 30 or 0.5`,
		"-t 99999999999":              `--delay-collect: "99999999999" is too large; write a smaller number`,
		"-t 99999999999.5":            `--delay-collect: "99999999999.5" is too large; write a smaller number`,
		"-r 99999999999999999999":     `--retries: "99999999999999999999" is too large; write a smaller number`,
		"-r 1_0":                      `--retries: "1_0" is not a number; write a number such as 0, 1 or 30`,
		"-r +-1":                      `--retries: "+-1" is not a number; write a number such as 0, 1 or 30`,
		"-r 0x":                       `--retries: "0x" is not a number; write a number such as 0, 1 or 30`,
		"-B 128M":                     `--threshold-bigfile: "128M" is not a number; write a number such as 0, 1 or 30`,
		"-b=1":                        `--background: "=1" is not a number; write a number such as 0, 1 or 30`,
		"-UX":                         `--dont-unlink-lists: "X" is not a number; write a number such as 0, 1 or 30`,
		"-Mfoo":                       `--mode: "foo" is unknown; write simple, direct, shell, rsyncdirect, rsyncshell, rsyncso or so`,
		"-p saf":                      `--threading: "saf" is unknown; write off, safe or full`,
		"-p 0":                        `--threading: "0" is unknown; write off, safe or full`,
		"-Y file":                     `--output: "file" is unknown; write stderr, stdout or syslog`,
		"--monitor gio":               `--monitor: "gio" is unknown; write inotify or fanotify`,
		"--modification-signature x":  `--modification-signature: "x" is unknown; write dev, ino, mode, nlink, uid, gid, rdev, size, blksize, blocks, atime, mtime, ctime or *`,
		"-C KIL":                      `--preserve-capabilities: "KIL" is unknown; write one of its 41 words; did you mean KILL?`,
		"-x abc":                      `--ignore-exitcode: "abc" is no exit code; write numbers up to 255 with commas and no blanks: 23,24`,
		"-x 300":                      `--ignore-exitcode: "300" is no exit code; write numbers up to 255 with commas and no blanks: 23,24`,
		"--socket s --socket-mod 9":   `--socket-mod: "9" is no mode of a file; write octal digits such as 660`,
		"--socket-mod 660":            `--socket-mod: has no sense without socket; name the socket: --socket=FILE`,
		"-D /":                        `--destination-dir: is the root of all files; name a directory below it`,
		"-l %label%x":                 `--label: the values name each other in a circle: %label% → %label%; write one of them out`,
		"-l %pid-file% -z /%label%":   `--label: the values name each other in a circle: %pid-file% → %label% → %pid-file%; write one of them out`,
		"-l %labl%":                   `--label: %labl% is no option; write %%labl%% to mean just that; did you mean label?`,
		"-l %TYPE%":                   `--label: %TYPE% has a value only when the handler is called; use it among the arguments of the handler`,
		"-l %rules-file%":             `--label: %rules-file% names an option that has no value; give --rules-file`,
		"--custom-signals 10:a":       `--custom-signals: there is no file that could have the blocks; name one by --config-file`,
		"--custom-signals 10":         `--custom-signals: "10" names no block; write a number, a colon and a block: 28:normal`,
		"--custom-signals 65:a":       `--custom-signals: "65:a" has no number of a signal; write a number from 1 to 64, a colon and a block: 28:normal`,
		"--custom-signals 9:a":        `--custom-signals: no process hears signal 9; choose another one, such as 28`,
		"--custom-signals 10:a,10:b":  `--custom-signals: signal 10 has two blocks; name one, and let it inherit the other`,
		"--config-file /nosuch":       `--config-file: /nosuch: file does not exist; name a file that can be read, or /NULL/ for none`,
		"--nosuch -tx --lable -ry -Z": "--nosuch: unknown option; see --help\n--lable: unknown option; see --help; did you mean --label?\n-Z: unknown option; see --help\n" + `--retries: "y" is not a number; write a number such as 0, 1 or 30` + "\n" + `--delay-collect: "x" is not a number; write a number such as 0, 1 or 30`,
	} {
		if got := faults(env(nil), least(strings.Fields(args)...)...); got != want {
			t.Errorf("%s:\n%s, want\n%s", args, got, want)
		}
	}
}

// What must be there, and what does not go together.
func TestContradictions(t *testing.T) {
	for args, want := range map[string]string{
		"":                                      "--watch-dir: is not given\n--mode: is not given",
		"-M shell -W w":                         "--sync-handler: is not given, and this mode has none of its own",
		"-M rsyncdirect -W w":                   "--destination-dir: is not given, and mode rsyncdirect needs it",
		"-M direct -W w":                        "--destination-dir: is not given, and the arguments of mode direct name it",
		"-M direct -W w -- %INCLUDE-LIST%":      "",
		"-M rsyncdirect -W w -D d":              "",
		"-W w -S h -M":                          "-M: needs a value\n--mode: is not given",
		"S -F --skip-initialsync":               "--full-initialsync: does not go with skip-initialsync",
		"S --only-initialsync --skip-init":      "--only-initialsync: does not go with skip-initialsync",
		"S --cancel mon_stat --modif uid":       "--modification-signature: does not go with cancel-syscalls",
		"S -p safe --only-initialsync":          "--threading: does not go with only-initialsync",
		"S -p full --exit-on-no-events":         "--threading: does not go with exit-on-no-events",
		"S -p full --max-iterations 1":          "--threading: does not go with max-iterations",
		"S -p full --max-iterations 0":          "",
		"S -p full --pre-exit-hook /h":          "--threading: does not go with pre-exit-hook",
		"S -p full --splitting thread":          "--threading: does not go with splitting",
		"S -p full --seccomp-filter":            "--threading: does not go with seccomp-filter",
		"S -M rsyncshell --have-recursive-sync": "--have-recursive-sync: does not go with mode rsyncshell",
		"S -M rsyncso --synclist-s -L l":        "--synclist-simplify: does not go with mode rsyncso",
		"S --synclist-simplify":                 "--synclist-simplify: has no sense without lists-dir",
		"S --synclist-simplify -L l":            "",
		"S --standby-file s -M simple":          "--standby-file: does not go with mode simple",
		"S --pivot-root auto":                   "--pivot-root: has no sense without chroot",
		"S --pivot-root auto --chroot /c":       "",
		"S --check-exec -M direct -D d":         "--check-execvp-arguments: does not go with mode direct",
		"S --secure-splitting -M direct -D d":   "--check-execvp-arguments: does not go with mode direct",
	} {
		list := strings.Fields(args)
		if len(list) > 0 && list[0] == "S" {
			list = least(list[1:]...)
		}
		var got []string
		for _, line := range strings.Split(faults(env(nil), list...), "\n") {
			text, advice, _ := strings.Cut(line, "; ")
			if text != "" && advice == "" {
				t.Errorf("%s: no advice: %s", args, line)
			}
			got = append(got, text)
		}
		if strings.Join(got, "\n") != want {
			t.Errorf("%s:\n%s, want\n%s", args, strings.Join(got, "\n"), want)
		}
	}
}

func TestHelp(t *testing.T) {
	for args, want := range map[string]Options{"-h --nosuch": {Help: true}, "--vers": {Version: true}, "-V -h": {Help: true}} {
		if o, err := Read(strings.Fields(args), env(nil)); err != nil || !reflect.DeepEqual(*o, want) {
			t.Errorf("%s: %+v %v", args, o, err)
		}
	}
	if _, err := new(Options).With("x"); err == nil {
		t.Error("nothing was read")
	}
}

// What clsync means and is done otherwise is told once for each option.
func TestWarnings(t *testing.T) {
	file := env(map[string]string{"/conf": "[default]\nbackground = 1\nlabel = a\nlabel = b\n-- = %nosuch% 100% %INCLUDE-LIS%\nauto-add-rules-w = 1\n"})
	got := warnings(good(t, file, least("-v", "-v2", "-t010", "-U", "1")...))
	want := `"1": belongs to no option and is taken for an argument of the handler; write such words after --; an optional value is joined: -b1, --background=1
/conf:4:1: label: is set more than once in [default]; this line counts; take the others out
/conf:2:1: background: is read for the sake of old files; stays in the foreground; a service manager, or & of a shell, puts it in the background
--delay-collect: 010 is octal, and means 8; write it without the leading 0
/conf:6:1: auto-add-rules-w: is read for the sake of old files; no rule is added to those of the file, as in every released clsync`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	got = warnings(good(t, file, "-Mso", "-Ww", "-Sh", "-r007"))
	if !strings.Contains(got, "/conf:5:1: --: %nosuch% is no option; write %%nosuch%% to mean just that") || strings.Contains(got, "octal") ||
		!strings.Contains(got, "%INCLUDE-LIS% is no option; write %%INCLUDE-LIS%% to mean just that; did you mean INCLUDE-LIST?") ||
		!strings.Contains(got, "/conf:5:1: --: are not used: in mode so the handler is a function") {
		t.Error(got)
	}
}

// Relative paths all begin in one place; the directories are found by the caller.
func TestRealPath(t *testing.T) {
	e := env(map[string]string{"/conf": "[default]\nrules-file = r\nwatch-dir = link\n"})
	e.RealPath = func(path string) (string, error) {
		if path == "/start/gone" {
			return "", &fs.PathError{Op: "lstat", Path: path, Err: fs.ErrNotExist}
		}
		return "/real" + path, nil
	}
	o := good(t, e, "-M", "direct", "-D", "d", "-L", "l", "--", "%watch-dir%")
	if o.WatchDir != "/real/start/link" || o.DestinationDir != "/real/start/d" || o.RulesFile != "/start/r" || o.ListsDir != "/start/l" || o.Arguments[0] != "/real/start/link" {
		t.Errorf("%+v", o)
	}
	o = good(t, e, "-M", "direct", "-D", "u@h:gone")
	if o.DestinationDir != "u@h:gone" {
		t.Error(o.DestinationDir)
	}
	if got := faults(e, "-M", "direct", "-D", "gone"); got != "--destination-dir: /start/gone: file does not exist; name a directory that there is" {
		t.Error(got)
	}
}

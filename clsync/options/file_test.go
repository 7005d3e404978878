package options

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const lxc = `# a common base, and what differs
[base]
watch-dir = /srv/%label%
mode = rsyncshell
sync-handler = /h/base.sh
full-initialsync = 1
retries = 3
ignore-exitcode = 23,24
delay-sync = 5
-- = base %label%

[brother]
config-block-inherits	= base
delay-sync		= 15
sync-handler = /h/brother.sh
pid-file = /run/%label%-%config-block%.pid

[atomic]
config-block-inherits = brother
retries = 0
full-initialsync = 0
-- = "a b" '%retries%' c

[default]
label = web
`

func TestInheritance(t *testing.T) {
	file := env(map[string]string{"/conf": lxc})
	o := good(t, file, "-K", "atomic", "-l", "lab", "--delay-sync=7")
	if o.WatchDir != "/srv/lab" || o.SyncHandler != "/h/brother.sh" || o.Retries != 0 || o.FullInitialSync || o.DelaySync != 7*time.Second ||
		o.PIDFile != "/run/lab-atomic.pid" || !slices.Equal(o.IgnoreExitCodes, []int{23, 24}) || !slices.Equal(o.Arguments, []string{"a b", "0", "c"}) {
		t.Errorf("%+v", o)
	}
	if o.ConfigFile != "/conf" || o.ConfigBlock != "atomic" || !slices.Equal(o.ConfigChain, []string{"atomic", "brother", "base"}) {
		t.Errorf("%q %q %q", o.ConfigFile, o.ConfigBlock, o.ConfigChain)
	}
	if at := o.Given["retries"]; at.File != "/conf" || at.Line != 20 || o.Given["label"].File != "" || len(o.Given) != 12 {
		t.Errorf("%d %v", len(o.Given), o.Given)
	}
	// The command line can name the first parent; and a block can be named by others.
	o = good(t, file, "--config-block-inherits", "%mode%", "-M", "brother", "-Msimple", "-M", "rsyncshell", "--config-block-inherits=brother")
	if o.Label != "web" || o.DelaySync != 15*time.Second || !slices.Equal(o.ConfigChain, []string{"default", "brother", "base"}) {
		t.Errorf("%+v", o)
	}
}

// The order of keys is nothing (clsync takes that of its table); what a nearer
// place sets as empty is not asked of a farther one.
func TestMergedFirst(t *testing.T) {
	file := env(map[string]string{"/conf": "[default]\npid-file = /x/%label%.pid\nlabel = IN%mode%\nconfig-block-inherits = p\nrules-file =\n[p]\nmode = shell\nrules-file = /nosuch\nwatch-dir=/w\nsync-handler=h\ndelay-sync=1%retries%\nretries=5"})
	o := good(t, file)
	if o.PIDFile != "/x/INshell.pid" || o.RulesFile != "" || o.DelaySync != 15*time.Second {
		t.Errorf("%+v", o)
	}
}

func TestCycles(t *testing.T) {
	for text, want := range map[string]string{
		"[default]\nconfig-block-inherits=default":                                                       "/conf:2:1: config-block-inherits: blocks inherit each other in a circle: [default] → [default]",
		"[default]\nconfig-block-inherits=b\n[b]\nconfig-block-inherits=c\n[c]\nconfig-block-inherits=b": "/conf:6:1: config-block-inherits: blocks inherit each other in a circle: [default] → [b] → [c] → [b]",
	} {
		got := faults(env(map[string]string{"/conf": text}), least()...)
		if got != want+"; take one of the lines config-block-inherits out" {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// All that is wrong with a file is told at once.
func TestAllFaults(t *testing.T) {
	text := `[default]
syslog = 1
rules-path = /x
modes = shell
retries = x
delay-sync = y
; a remark
help = 1
-- = "a b
label[de] = x
config-block-inherits = p
[p]
threading = saf
exit-on-sync-skip = 1
[other]
nothing = is said of this
`
	want := `--monitor: "x" is unknown; write inotify or fanotify
/conf:2:1: syslog: unknown key; clsync ignored it as well; write output = syslog, or take it out
/conf:3:1: rules-path: unknown key; clsync ignored it as well, so that no rules were read; write rules-file = FILE, or take it out
/conf:4:1: modes: unknown key; take it out, or give --lenient to have it ignored; did you mean mode?
/conf:5:1: retries: "x" is not a number; write a number such as 0, 1 or 30
/conf:6:1: delay-sync: "y" is not a number; write a number such as 0, 1 or 30
/conf:7:1: this is neither a [block], a key = value nor a remark; a remark begins with #
/conf:8:1: help: has no effect in a file; write --help on the command line
/conf:9:1: --: column 1: the quote " has no end; close it, or put it in quotes of the other kind
/conf:10:1: label[de]: unknown key; take it out, or give --lenient to have it ignored
/conf:13:1: threading: "saf" is unknown; write off, safe or full`
	if got := faults(env(map[string]string{"/conf": text}), least("--monitor=x")...); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestLenient(t *testing.T) {
	file := env(map[string]string{"/conf": "[default]\nsyslog = 1\nlabel = %nosuch%x%rules-file%%TYPE%\nconfig-file = x\n"})
	if got := strings.Count(faults(file, least()...), "\n"); got != 4 {
		t.Errorf("%d", got)
	}
	for _, more := range [][]string{{"--lenient"}, nil} {
		e := file
		e.Lenient = more == nil
		o := good(t, e, least(more...)...)
		if o.Label != "%nosuch%x%rules-file%%TYPE%" || !o.Lenient || len(o.Warnings) != 5 {
			t.Errorf("%+v", o)
		}
	}
}

func TestSearch(t *testing.T) {
	const a, b = "[default]\nlabel=a", "[default]\nlabel=b"
	for _, c := range []struct {
		name    string
		files   map[string]string
		args    string
		label   string
		warning string
	}{
		{"the first that there is", map[string]string{"/conf": a, "/etc/conf": b}, "", "a", ""},
		{"the second", map[string]string{"/etc/conf": b}, "", "b", ""},
		{"named, from the start directory", map[string]string{"/conf": a, "/start/c": b}, "-Hc", "b", ""},
		{"none", map[string]string{"/conf": a}, "-H /NULL/", "nolabel", ""},
		{"none too", map[string]string{"/conf": a}, "--config-file=", "nolabel", ""},
		{"broken, lenient", map[string]string{"/conf": "x", "/etc/conf": b}, "--lenient", "b", "/conf:1:1: this is neither"},
		{"no such block", map[string]string{"/conf": a}, "-K defualt", "nolabel", "--config-block: there is no block [defualt] in /conf; write it; did you mean default?"},
		{"no such parent", map[string]string{"/conf": a + "\nconfig-block-inherits = nosuch"}, "", "a", "/conf:3:1: config-block-inherits: there is no block [nosuch] in /conf; write it"},
		{"no block default", map[string]string{"/conf": "[x]"}, "", "nolabel", ""},
	} {
		o := good(t, env(c.files), least(strings.Fields(c.args)...)...)
		if o.Label != c.label || (warnings(o) == "") != (c.warning == "") || !strings.Contains(warnings(o), c.warning) {
			t.Errorf("%s: %s %s", c.name, o.Label, warnings(o))
		}
	}
	if got := faults(env(map[string]string{"/conf": "x", "/etc/conf": b}), least()...); !strings.HasPrefix(got, "/conf:1:1: this is neither") {
		t.Error(got)
	}
	e := env(map[string]string{"/conf": "[default]\nlabel=a\n[lrsync]\nlabel=c"})
	e.Block = "lrsync"
	if o := good(t, e, least()...); o.Label != "c" || o.ConfigBlock != "lrsync" {
		t.Errorf("%+v", o)
	}
	e.ReadFile = func(string) ([]byte, error) { return nil, errors.New("disk is on fire") }
	if got := faults(e, least()...); !strings.HasPrefix(got, "/none: disk is on fire; ") {
		t.Error(got)
	}
	if got := Search("/root"); len(got) != 5 || got[0] != "/root/.clsync.conf" {
		t.Error(got)
	}
}

func TestCustomSignals(t *testing.T) {
	text := `[default]
custom-signals = 10:x,0,29:debug,28:normal
label = base
[debug]
debug = 5
config-block-inherits = more
watch-dir = /elsewhere
-- = from debug %label% %delay-sync%
[more]
label = dbg
[normal]
debug = 0
`
	file := env(map[string]string{"/conf": text})
	o := good(t, file, least("-l", "cli", "-d1")...)
	if !reflect.DeepEqual(o.CustomSignals, map[int]string{28: "normal", 29: "debug"}) {
		t.Errorf("%v", o.CustomSignals)
	}
	if got := warnings(o); !strings.Contains(got, "/conf:7:1: watch-dir: is read at the start; a signal does not change it; take it out of [debug]") {
		t.Error(got)
	}
	loaded := func(from *Options, block string) *Options {
		t.Helper()
		next, err := from.With(block)
		if err != nil {
			t.Fatal(err)
		}
		return next
	}
	dbg := loaded(o, "debug")
	if dbg.Debug != 5 || dbg.Label != "dbg" || dbg.WatchDir != "/start/w" || !slices.Equal(dbg.Arguments, []string{"from", "debug", "dbg", "30"}) || o.Debug != 1 || o.Label != "cli" {
		t.Errorf("%+v", dbg)
	}
	// What one block set stays until another one sets it.
	normal := loaded(dbg, "normal")
	if normal.Debug != 0 || normal.Label != "dbg" {
		t.Errorf("%+v", normal)
	}
	again := loaded(normal, "debug")
	for range 100 {
		again = loaded(loaded(again, "normal"), "debug")
	}
	if again.Debug != 5 || len(again.in.layers) != 5 || again.in.runtime != 3 {
		t.Errorf("%d layers, %+v", len(again.in.layers), again)
	}
	if _, err := o.With("nosuch"); err == nil || !strings.Contains(err.Error(), "there is no block [nosuch]") {
		t.Error(err)
	}
}

// What a signal would ask for is checked at the start.
func TestBadSignalBlocks(t *testing.T) {
	text := "[default]\ncustom-signals = 28:normla,29:dbg\n[normal]\n[dbg]\nretries=x\nfull-initialsync=1\n"
	want := `--skip-initialsync: no
/conf:1:1: custom-signals: there is no block [normla]; write it; did you mean normal?
/conf:5:1: retries: "x" is not a number; write a number such as 0, 1 or 30
/conf:6:1: full-initialsync: does not go with skip-initialsync; take one of them out`
	want = strings.TrimPrefix(want, "--skip-initialsync: no\n")
	if got := faults(env(map[string]string{"/conf": text}), least("--skip-initialsync")...); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A name that stands for two of the next is told before memory is gone.
func TestGrowth(t *testing.T) {
	var b strings.Builder
	b.WriteString("[default]\n")
	list := []string{"label", "pid-file", "status-file", "standby-file", "lists-dir", "rules-file", "exit-hook", "pre-exit-hook", "chroot", "socket", "uid", "gid", "socket-own"}
	for i, name := range list[:len(list)-1] {
		b.WriteString(name + " = " + strings.Repeat("%"+list[i+1]+"%", 16) + "\n")
	}
	b.WriteString(list[len(list)-1] + " = x\n")
	got := faults(env(map[string]string{"/conf": b.String()}), least()...)
	if !strings.Contains(got, "the value is longer than 131072 bytes") || len(got) > 1<<16 {
		t.Errorf("%.1000s", got)
	}
	if got := faults(env(map[string]string{"/conf": strings.Replace(b.String(), "socket-own = x", "socket-own = ", 1)}), least()...); got != "" {
		t.Errorf("%.1000s", got)
	}
}

// Whatever is written, each fault and warning has a reason, and what is done by
// the words of a handler is said by macro's names alone.
func FuzzRead(f *testing.F) {
	f.Add(lxc, "-K\natomic\n-l\nx")
	f.Add("[default]\ncustom-signals=28:a\n[a]\nlabel=%mode%\n-- = 'x", "-Mso\n-W.\n-S%mode%")
	f.Add("[default]\nconfig-block-inherits=%label%\nlabel=default", "--\n%%%a%TYPE%\n%")
	f.Add("", "") // one word, which is empty
	f.Add("[default]\nmode=%sync-handler%\nsync-handler=%mode%", "-v\n-b1\n--lenient")
	f.Add("", "-l\na\x00b") // the default of dump-dir holds it, too
	f.Fuzz(func(t *testing.T, text, line string) {
		e := env(map[string]string{"/conf": text})
		sound(t, e, strings.Split(line, "\n"))
	})
}

// sound checks what is true of whatever is read.
func sound(t *testing.T, e Env, line []string) (taken bool) {
	t.Helper()
	o, err := Read(line, e)
	if o == nil {
		t.Fatal("nothing")
	}
	for _, p := range slices.Concat(o.Warnings, news(nil, err)) {
		if p.Reason == "" || p.Advice == "" || p.Pos.File == "" && p.Thing == "" || p.Pos.File != "" && (p.Pos.Line < 1 || p.Pos.Column < 1) {
			t.Errorf("%+v", p)
		}
	}
	if err != nil || o.Help || o.Version {
		return err == nil
	}
	if o.WatchDir == "" || o.Mode == "" || o.WatchDir[0] != '/' || o.DelaySync < 0 || o.Retries < 0 {
		t.Errorf("%+v", o)
	}
	checkWords(t, slices.Concat(o.Arguments, o.RecursiveArguments))
	for _, block := range o.CustomSignals {
		if next, err := o.With(block); err != nil || next.WatchDir != o.WatchDir {
			t.Errorf("%v", err)
		}
	}
	again, err := Read(line, e)
	if again.in, o.in = nil, nil; err != nil || !reflect.DeepEqual(o, again) {
		t.Errorf("%+v, then %+v %v", o, again, err)
	}
	return true
}

package main

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"lockstep/config"
)

func TestCommands(t *testing.T) {
	for _, c := range []struct {
		args   string
		code   int
		stdout string // a part of it
		stderr string
	}{
		{"", 2, "", "lockstep mirror [flags] SRC DST"},
		{"help", 0, "Exit codes", ""},
		{"--help", 0, "Exit codes", ""},
		{"version", 0, "lockstep 0", ""},
		{"help mirror", 0, "--max-delete-percent PERCENT", ""},
		{"mirror --help", 0, "What may be deleted:\n", ""},
		{"run -c x", 2, "", "run: not in this version"},
		{"check", 2, "", "check: not in this version"},
		{"watch /x", 2, "", "watch: not in this version"},
		{"mirrr", 2, "", `"mirrr" is no command; see lockstep help`},
		{"mirror", 2, "", "SRC: missing"},
		{"mirror /a", 2, "", "DST: missing"},
		{"mirror /a /b /c", 2, "", "DST: only one target in this version"},
		{"mirror --nonsense /a /b", 2, "", "unknown flag: --nonsense; see lockstep mirror --help"},
		{"mirror --delay", 2, "", "flag needs an argument: --delay"},
		{"mirror --delay=x --monitor=poll /a /b", 2, "", `--delay: "x" is not a duration`},
		{"mirror --delay=x --monitor=poll /a /b", 2, "", `lockstep: --monitor: "poll" is not in this version; use auto or inotify`},
		{"mirror /a host:/b", 2, "", "remote target"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(strings.Fields(c.args), &stdout, &stderr)
		if code != c.code || !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) {
			t.Errorf("lockstep %s: code %d\nstdout: %s\nstderr: %s", c.args, code, stdout.String(), stderr.String())
		}
		if (c.stdout == "") != (stdout.Len() == 0) || (c.stderr == "") != (stderr.Len() == 0) {
			t.Errorf("lockstep %s: results go to stdout, all else to stderr: %q %q", c.args, stdout.String(), stderr.String())
		}
	}
}

func TestFlags(t *testing.T) {
	got, err := parseMirror(strings.Fields("--exclude *.tmp --once --exclude=/cache/ --delay 1s --max-delay=3s --xattrs=none --bwlimit 1MiB --devices=false " +
		"--allow-missing=cgroup-memory --log-format json -- /src ./-dst"))
	if err != nil {
		t.Fatal(err)
	}
	b := config.NewBuilder()
	b.Set("source", "/src")
	b.Set("targets", "./-dst")
	want, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	want.Exclude = []string{"*.tmp", "/cache/"}
	want.Once, want.Delay, want.MaxDelay, want.Xattrs = true, time.Second, 3*time.Second, config.XattrsNone
	want.BWLimit, want.AllowMissing, want.JSON = 1<<20, []string{"cgroup-memory"}, true
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// The help names every key of the table, with its unit and default.
func TestHelpIsComplete(t *testing.T) {
	help := mirrorHelp()
	for _, k := range config.Keys() {
		if k.Word {
			continue
		}
		line := ""
		for l := range strings.Lines(help) {
			if strings.HasPrefix(l, "  --"+k.Flag()+" ") || strings.TrimSpace(l) == "--"+k.Flag() {
				line = l
			}
		}
		if line == "" || !strings.Contains(help, k.Help) || !strings.Contains(line, k.Unit) {
			t.Errorf("%s: %q", k.Name, line)
		}
		if k.Default != "" && !strings.Contains(help, "(default "+k.Default+")") {
			t.Errorf("%s: no default", k.Name)
		}
	}
}

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"lockstep/config"
	"lockstep/config/keys"
	"lockstep/internal/testenv"
	"lockstep/supervise/explain"
	watching "lockstep/supervise/watch"
	"lockstep/trail/inspect"
)

func TestCommands(t *testing.T) {
	tell(t, []telling{
		{"", 2, "", "lockstep mirror [flags] SRC DST…"},
		{"help", 0, "Exit codes", ""},
		{"--help", 0, "Exit codes", ""},
		{"version", 0, "lockstep 0", ""},
		{"help mirror", 0, "--max-delete-percent PERCENT", ""},
		{"mirror --help", 0, "What may be deleted:\n", ""},
		{"help run", 0, "--accept-root NAME", ""},
		{"help check", 0, "--json", ""},
		{"help watch", 0, "--follow-renames", ""},
		{"help audit", 0, "lockstep audit self [-c FILE", ""},
		{"audit", 2, "", "audit: say what is to be audited: lockstep audit self"},
		{"audit all", 2, "", "audit: say what is to be audited: lockstep audit self"},
		{"audit self --nonsense", 2, "", "unknown flag: --nonsense; see lockstep audit --help"},
		{"help version", 2, "", "no command with a help of its own"},
		{"run --help", 0, "lockstep run [-c FILE]", ""},
		{"check -h", 0, "lockstep check [-c FILE]", ""},
		{"run -c /none/x", 2, "", "/none/x: no such file or directory; name the file by -c"},
		{"run /none/x", 2, "", "lockstep run takes no words, but /none/x was given"},
		{"run --nonsense", 2, "", "unknown flag: --nonsense; see lockstep run --help"},
		{"check -c /none/x", 2, "", "/none/x: no such file or directory; name the file by -c"},
		{"check --once", 2, "", "unknown flag: --once; see lockstep check --help"},
		{"watch", 2, "", "DIR: missing; name a directory to be watched; see lockstep watch --help"},
		{"watch --format=xml /x", 2, "", `--format: "xml" is none; use json or text`},
		{"watch --monitor=fam /x", 2, "", `--monitor: "fam" is not in this version`},
		{"watch --settle=-1s /x", 2, "", "a duration is not negative"},
		{"mirrr", 2, "", `"mirrr" is no command; see lockstep help`},
		{"mirror", 2, "", "SRC: missing"},
		{"mirror /a", 2, "", "DST: missing"},
		{"mirror --nonsense /a /b", 2, "", "unknown flag: --nonsense; see lockstep mirror --help"},
		{"mirror --delay", 2, "", "flag needs an argument: --delay"},
		{"mirror --delay=x --monitor=poll /a /b", 2, "", `--delay: "x" is not a duration`},
		{"mirror --delay=x --monitor=fsevents /a /b", 2, "", `lockstep: --monitor: "fsevents" is unknown; use auto, inotify, fanotify, poll or dnotify`},
	})
}

// telling is a command line and what is told of it.
type telling struct {
	args   string
	code   int
	stdout string // a part of it; "": nothing at all
	stderr string
}

func tell(t *testing.T, all []telling) {
	t.Helper()
	for _, c := range all {
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
	parsed, err := parseMirror(strings.Fields("--exclude *.tmp --once --exclude=/cache/ --delay 1s --max-delay=3s --xattrs=none --bwlimit 1MiB --devices=false " +
		"--allow-missing=cgroup-memory --log-format json -- /src ./-dst"))
	if err != nil {
		t.Fatal(err)
	}
	b := keys.NewBuilder()
	b.Set("source", "/src")
	b.Set("targets", "./-dst")
	set, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	got, want := parsed.Config(0), set.Config(0)
	want.Exclude = []string{"*.tmp", "/cache/"}
	want.Once, want.Delay, want.MaxDelay, want.Xattrs = true, time.Second, 3*time.Second, config.XattrsNone
	want.BWLimit, want.AllowMissing, want.JSON = 1<<20, []string{"cgroup-memory"}, true
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// Each flag of watch reaches its option.
func TestWatchFlags(t *testing.T) {
	got, err := parseWatch(strings.Fields("--format json --monitor poll --poll-every 300ms --allow-blind --exclude a --exclude=b --settle 1s --follow-renames " +
		"--verify-every 1m --stats --interactive --allow-missing cgroup-memory /d -- -e"))
	want := watching.Options{Dirs: []string{"/d", "-e"}, JSON: true, Monitor: "poll", PollEvery: 300 * time.Millisecond, AllowBlind: true, Exclude: []string{"a", "b"},
		Settle: time.Second, Follow: true, VerifyEvery: time.Minute, Stats: true, Interactive: true, AllowMissing: []string{"cgroup-memory"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v; got  %+v\nwant %+v", err, got, want)
	}
}

// The help names every key of the table, with its unit and default.
func TestHelpIsComplete(t *testing.T) {
	help := mirrorHelp()
	for _, k := range keys.Table() {
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

// config writes a configuration that only root could have written.
func configFile(t *testing.T, text string) string {
	t.Helper()
	testenv.NeedRoot(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err == nil {
		err = errors.Join(os.Chmod(dir, 0o755), os.Mkdir(dir+"/src", 0o755), os.WriteFile(dir+"/f.toml", []byte(strings.ReplaceAll(text, "D/", dir+"/")), 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir + "/f.toml"
}

const good = "[[sync]]\nsource = \"D/src\"\ntargets = [\"D/dst\"]\n"

func TestCheck(t *testing.T) {
	testenv.NeedTool(t, "rsync")
	path := configFile(t, good)
	var stdout, stderr bytes.Buffer
	if code := run([]string{"check", "-c", path}, &stdout, &stderr); code != 0 || stderr.Len() > 0 || !strings.Contains(stdout.String(), "\nsync src\n") {
		t.Errorf("code %d: %s%s", code, stdout.String(), stderr.String())
	}
	stdout.Reset()
	var plan struct {
		Syncs []struct{ Name string }
	}
	if code := run([]string{"check", "--json", "-c", path}, &stdout, &stderr); code != 0 || json.Unmarshal(stdout.Bytes(), &plan) != nil || len(plan.Syncs) != 1 {
		t.Errorf("code %d: %s%s", code, stdout.String(), stderr.String())
	}
}

// All that is wrong is told at once: what is written, and what it names.
func TestCheckBroken(t *testing.T) {
	testenv.NeedTool(t, "rsync")
	path := configFile(t, good+"delay = \"x\"\n[[sync]]\nname = \"other\"\nsource = \"D/none\"\ntargets = [\"D/dst\"]\n")
	var stdout, stderr bytes.Buffer
	code := run([]string{"check", "-c", path}, &stdout, &stderr)
	want := path + ":4:1: delay: \"x\" is not a duration; write a duration such as 200ms, 2s, 30m or 24h\n" +
		path + ":7:1: source " + filepath.Dir(path) + "/none: is missing; name a directory that is there and can be read\n" +
		path + ":8:1: target " + filepath.Dir(path) + "/dst: is also a target of the sync \"src\", " + filepath.Dir(path) + "/dst; each would delete what the other copies; name two directories apart\n"
	if code != 2 || stdout.Len() > 0 || stderr.String() != want {
		t.Errorf("code %d\ngot\n%s%s\nwant\n%s", code, stdout.String(), stderr.String(), want)
	}
	stderr.Reset()
	code = run([]string{"check", "--json", "-c", path}, &stdout, &stderr)
	var told struct {
		Problems []struct {
			File, Thing, Reason, Advice string
			Line, Column                int
		}
	}
	if err := json.Unmarshal(stdout.Bytes(), &told); err != nil || code != 2 || stderr.Len() > 0 || len(told.Problems) != 3 || told.Problems[0].Line != 4 || told.Problems[0].File != path {
		t.Errorf("code %d, %v: %s%s", code, err, stdout.String(), stderr.String())
	}
}

func TestExplain(t *testing.T) {
	testenv.NeedTool(t, "rsync")
	path := configFile(t, good+"exclude = [\"*.tmp\"]\nrules = ['-f\\.bak$', '-d^d$']\n")
	dir := filepath.Dir(path)
	for args, want := range map[string]struct {
		code int
		text string
	}{
		"D/src/a.tmp":           {0, "src: a.tmp, as a file\n"},
		"D/src/d/x":             {0, "  so it is left out: it is neither copied nor deleted on a target (not synced: d)\n"},
		"D/src/d":               {0, "src: d, as a file\n"},
		"D/src/d/":              {0, "  sync     d: rejected by rules:2: -d^d$\n"},
		"D/src D/src/e/../keep": {0, "src: keep, as a file\n"},
		"/etc/passwd":           {2, "lockstep: /etc/passwd is below no source; name a path below D/src\n"},
		"":                      {2, "lockstep: explain: no path is given; see lockstep explain --help\n"},
	} {
		var out bytes.Buffer
		code := run(append([]string{"explain", "-c", path}, strings.Fields(strings.ReplaceAll(args, "D/", dir+"/"))...), &out, &out)
		if text := strings.ReplaceAll(out.String(), dir+"/", "D/"); code != want.code || !strings.Contains(text, want.text) {
			t.Errorf("%q: code %d: %s", args, code, text)
		}
	}
}

// Rules that could not be read decide nothing that could be told.
func TestExplainWithoutItsRules(t *testing.T) {
	set := config.Set{Syncs: []config.Sync{{Name: "www", Source: "/srv", RulesFile: "/etc/www.rules"}}}
	var out bytes.Buffer
	err := explainOne(set, map[string]*explain.Decider{}, "/srv/x", &out)
	if err == nil || err.Error() != "www: /etc/www.rules cannot be read, and what it decides is not known; run it as root" || out.Len() > 0 {
		t.Errorf("%v: %s", err, out.String())
	}
}

func TestRunRefuses(t *testing.T) {
	path := configFile(t, good)
	for args, want := range map[string]string{
		"--accept-root other":         `--accept-root: there is no sync "other"; give the name of one: src`,
		"--accept-root src --dry-run": "--accept-root: is consent, and --dry-run changes nothing; give one of them",
	} {
		var stdout, stderr bytes.Buffer
		if code := run(append([]string{"run", "-c", path}, strings.Fields(args)...), &stdout, &stderr); code != 2 || strings.TrimSpace(stderr.String()) != want {
			t.Errorf("%s: code %d: %s", args, code, stderr.String())
		}
	}
}

// The manual page names each command, and each flag of run and check.
func TestManual(t *testing.T) {
	data, err := os.ReadFile("../../docs/man/lockstep.1")
	if err != nil {
		t.Fatal(err)
	}
	page := strings.ReplaceAll(string(data), "\\-", "-")
	for _, help := range []string{runHelp, checkHelp, explainHelp, auditHelp, inspect.Help(), watchHelp, lrsyncHelp, ctlHelp()} {
		for _, word := range regexp.MustCompile(`--[a-z-]+`).FindAllString(help, -1) {
			if !strings.Contains(page, word) {
				t.Errorf("lockstep.1 does not name %s", word)
			}
		}
	}
	for _, word := range regexp.MustCompile(`(?m)^  (lockstep [a-z]+)`).FindAllStringSubmatch(overview, -1) {
		if !strings.Contains(page, word[1]) {
			t.Errorf("lockstep.1 does not name %s", word[1])
		}
	}
	// And no flag of mirror that is none.
	for _, word := range regexp.MustCompile(`--[a-z-]+`).FindAllString(page, -1) {
		if !strings.Contains(mirrorHelp()+runHelp+checkHelp+auditHelp+inspect.Help()+watchHelp+clsyncHelp()+lrsyncHelp+ctlHelp()+" --help ", word) {
			t.Errorf("lockstep.1 names %s, which is no flag", word)
		}
	}
}

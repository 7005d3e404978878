//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// check says what a configuration would do, and by its code whether it could;
// run refuses what check refuses, before it has touched anything.
func TestCheckAndRun(t *testing.T) {
	f := newFleet(t, "www", "mail")
	www, mail := f.part("www"), f.part("mail")
	www.flags = []string{`exclude = ["*.tmp"]`, `delay = "100ms"`, `bwlimit = "10MiB"`}
	good := f.toml()
	write(t, f.file, good)

	out, code := runs(t, nil, "check", "-c", f.file)
	if code != 0 {
		t.Errorf("check of a good file: exit code %d, want 0", code)
	}
	for _, want := range []string{"www", "mail", www.src, mail.dst, "rsync", "*.tmp"} {
		if !strings.Contains(out, want) {
			t.Errorf("check does not show %q:\n%s", want, out)
		}
	}
	out, code = runs(t, nil, "check", "-c", f.file, "--json")
	var plan any
	if err := json.Unmarshal([]byte(out), &plan); err != nil || code != 0 {
		t.Errorf("check --json: exit code %d, %v:\n%s", code, err, out)
	}

	bad := map[string]struct {
		text string
		want []string
	}{
		"unknown key":         {good + "colour = \"red\"\n", []string{"colour"}},
		"no TOML":             {good + "[[sync\n", []string{f.file}},
		"two of one name":     {strings.Replace(good, `"mail"`, `"www"`, 1), []string{"www"}},
		"two with one target": {strings.Replace(good, mail.dst, www.dst, 1), []string{www.dst}},
		"several faults": {strings.NewReplacer(`"100ms"`, `"soon"`, `"10MiB"`, `"much"`).Replace(good) + "colour = \"red\"\n",
			[]string{"soon", "much", "colour"}},
		"no source":  {strings.Replace(good, www.src+`"`, www.src+`-none"`, 1), []string{www.src + "-none"}},
		"no sync":    {"[service]\nlog_format = \"json\"\n", []string{"sync"}},
		"bad target": {strings.Replace(good, mail.dst, "host:~/x", 1), []string{"~/x"}},
	}
	for name, c := range bad {
		t.Run(name, func(t *testing.T) {
			write(t, f.file, c.text)
			for _, words := range [][]string{{"check", "-c", f.file}, {"run", "-c", f.file}} {
				out, code := runs(t, nil, words...)
				if code != 2 {
					t.Errorf("%q: exit code %d, want 2:\n%s", words[0], code, out)
				}
				for _, want := range c.want {
					if !strings.Contains(out, want) {
						t.Errorf("%q does not say %q:\n%s", words[0], want, out)
					}
				}
				if strings.Contains(out, "goroutine ") || strings.Contains(out, "\x1b") {
					t.Errorf("%q says:\n%s", words[0], out)
				}
			}
			if out, code := runs(t, nil, "check", "-c", f.file, "--json"); code != 2 || !json.Valid([]byte(out)) {
				t.Errorf("check --json: exit code %d, valid JSON: %v:\n%s", code, json.Valid([]byte(out)), out)
			}
		})
	}
	for _, dir := range []string{www.dst, mail.dst} {
		if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
			t.Errorf("%s was written to: %v, %v", dir, names, err)
		}
	}
	if _, err := os.Stat(f.state); err == nil {
		t.Error("check made the state directory")
	}
}

// A file that others can write to is no configuration.
func TestConfigOfOthersIsRefused(t *testing.T) {
	f := newFleet(t, "one", "two")
	write(t, f.file, f.toml())
	if err := os.Chmod(f.file, 0o666); err != nil {
		t.Fatal(err)
	}
	refused(t, 2, []string{"run", "-c", f.file}, f.file, "write")
	refused(t, 2, []string{"run", "-c", f.file + "-none"}, f.file+"-none")
}

// The file and the command line are two ways to say one thing.
func TestRunOnce(t *testing.T) {
	f := newFleet(t, "one", "two")
	for _, p := range f.parts {
		hundred(t, p.src, 5)
	}
	f.start("--once")
	if code := f.wait(limit); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, p := range f.parts {
		same(t, p)
	}
	f.nothingLeft()
}

package keys

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/config.md and docs/man/lockstep.toml.5 anew")

const (
	markdown = "../../docs/config.md"
	manual   = "../../docs/man/lockstep.toml.5"
	example  = "../../docs/lockstep.toml.example"
)

// part is a table of the file.
type part struct {
	header string
	text   string
	has    func(Key) bool
}

func parts() []part {
	own := func(k Key) bool { return k.Name == "source" || k.Name == "targets" || k.Name == "name" }
	return []part{
		{"[service]", "What all syncs share. It may stand in the main file only.", func(k Key) bool { return k.Scope == ScopeService }},
		{"[[sync]]", "One source and its targets. There may be many, each with a name of its own.", func(k Key) bool { return k.Scope == ScopeSync && own(k) }},
		{"[defaults] and [[sync]]", "What stands in [defaults] is true of each sync that does not say otherwise; a list of a sync takes the place of the list in [defaults]. [defaults] may stand in the main file only.",
			func(k Key) bool { return k.Scope == ScopeSync && !own(k) }},
	}
}

// value is how a key is written.
func value(k Key) string {
	switch {
	case k.List:
		return "list of " + k.Unit
	case k.Switch():
		return "true or false"
	case k.Number:
		return k.Unit
	}
	return "\"" + k.Unit + "\""
}

func standard(k Key) string {
	switch {
	case k.Switch():
		return "false"
	case k.Number || k.Default == "":
		return k.Default
	}
	return "\"" + k.Default + "\""
}

var (
	intro = []string{
		"The file is TOML (toml.io, version 1.0). `lockstep check -c FILE` tells all that is wrong with it at once, or shows what would be done; `lockstep run -c FILE` does it.",
		"Beside FILE.toml there may be a directory FILE.d: each *.toml in it, in the order of the bytes of their names, adds syncs. Hidden files and other names are left alone.",
		"The files, the drop-in directory and all directories above them must belong to root and be writable by nobody else; so must keys and programs that they name. A file may have 1 MiB. Each is read once; its SHA-256 is in the output of check and in the log.",
		"At SIGHUP `lockstep run` reads all of them anew, with the rules_file of each sync. If anything is wrong, it is told as at the start, and nothing changes. Else a sync of which something has changed ends as at a stop and begins afresh: what is there is compared by the new rules. What is left out now stays on the target as it is. Syncs that are new begin, those that are gone end, and all others go on without noticing; a sync is known by its name. Of [service], stop_timeout and monitor_rules change with all syncs; all other keys need a restart, and are refused. A sync that begins afresh counts as started for `delete = \"start\"`.",
		"`first_pass = \"skip\"` leaves out the first pass of a start, and no other one. What changed before the sync is ready is not copied, nor is what waited when it ended last; a warning says so at each start, and how much waits at the end. Changes since the start of the walk are copied where the file system's times tell of them, all changes once the sync is ready (READY=1 of the service, and the log). Lost events, a process that died, a target that was away, `full_sync_every`, SIGUSR2 and `lockstep ctl resync` have the whole tree compared as ever, and so has a reload after which a sync takes the place of another one.",
		"Unknown keys, values of another type, keys that stand twice and keys that nothing would use are faults. Texts stand in quotes, numbers and true and false without.",
	}
	units = []string{
		"DURATION: \"200ms\", \"2s\", \"30m\", \"24h\". SIZE: \"0\", \"64KiB\", \"128MiB\", \"1GiB\". DIR, FILE: a path from / on.",
		"TARGET: \"/DIR\" on this host, made when its last component is missing; \"[USER@]HOST:PATH\" by ssh, with PATH from / on or below the login directory; \"rsync://[USER@]HOST[:PORT]/MODULE[/PATH]\" or \"[USER@]HOST::MODULE[/PATH]\" of an rsync daemon. An IPv6 address stands in brackets.",
		"A key with a dot belongs in a table of its group: retry = { initial = \"1s\", max = \"5m\" }.",
	}
)

func makeMarkdown() string {
	var b strings.Builder
	b.WriteString("# The configuration file\n\nMade from the table of keys in `config/keys` (`go test ./config/keys -update`). `docs/lockstep.toml.example` is a whole file, with remarks.\n")
	for _, text := range append(intro, units...) {
		b.WriteString("\n" + text + "\n")
	}
	for _, p := range parts() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| key | value | default | |\n|---|---|---|---|\n", p.header, p.text)
		for _, k := range Table() {
			if p.has(k) {
				fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Name, cell(value(k)), cell(standard(k)), cell(k.Help))
			}
		}
	}
	b.WriteString("\n## rsync_args\n\nWords that name no file, no program and no shell, and after which a target is still what its source is.\n\n| word | what for |\n|---|---|\n")
	for _, a := range RsyncArgs() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", strings.ReplaceAll(a.String(), "|", "\\|"), a.Why)
	}
	b.WriteString("\nRefused, among all others:\n\n| word | it |\n|---|---|\n")
	for _, word := range slices.Sorted(maps.Keys(refusedArgs())) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", word, refusedArgs()[word])
	}
	b.WriteString("\n## On the command line only\n\n`lockstep run` takes `--once`, `--dry-run` and `--accept-root NAME`. All other keys are flags of `lockstep mirror` too: `retry.initial` is `--retry-initial`.\n")
	return b.String()
}

func cell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }

func makeManual() string {
	var b strings.Builder
	b.WriteString(".\\\" made by go test ./config/keys -update\n.TH LOCKSTEP.TOML 5 2026-11-21 \"lockstep 0.1.0\" \"File Formats\"\n.SH NAME\nlockstep.toml \\- configuration of lockstep\n.SH SYNOPSIS\n.I /etc/lockstep/lockstep.toml\n.br\n.I /etc/lockstep/lockstep.d/*.toml\n.SH DESCRIPTION\n")
	for i, text := range append(intro, units...) {
		if i > 0 {
			b.WriteString(".PP\n")
		}
		b.WriteString(roff(text) + "\n")
	}
	for _, p := range parts() {
		fmt.Fprintf(&b, ".SH %s\n%s\n", strings.ToUpper(p.header), roff(p.text))
		for _, k := range Table() {
			if !p.has(k) {
				continue
			}
			fmt.Fprintf(&b, ".TP\n.BR %s \" = %s\"\n%s", roff(k.Name), strings.ReplaceAll(roff(value(k)), "\"", "\\(dq"), roff(strings.ToUpper(k.Help[:1])+k.Help[1:]))
			if d := standard(k); d != "" {
				b.WriteString(" (default " + roff(d) + ")")
			}
			b.WriteString(".\n")
		}
	}
	b.WriteString(".SH RSYNC_ARGS\nThese words and no others:\n")
	for _, a := range RsyncArgs() {
		fmt.Fprintf(&b, ".TP\n.B %s\n%s.\n", roff(a.String()), roff(strings.ToUpper(a.Why[:1])+a.Why[1:]))
	}
	b.WriteString(".SH SEE ALSO\n.BR lockstep (1),\n.BR rsync (1),\n.BR gitignore (5)\n")
	return b.String()
}

// roff escapes a text, and sets off what stands between backquotes.
func roff(s string) string {
	s = strings.NewReplacer("\\", "\\e", "-", "\\-", "…", "...").Replace(s)
	s = regexp.MustCompile("`([^`]*)`").ReplaceAllString(s, "\\fB$1\\fR")
	if s != "" && (s[0] == '.' || s[0] == '\'') {
		s = "\\&" + s
	}
	return s
}

// The documents say what the table says.
func TestDocuments(t *testing.T) {
	for path, want := range map[string]string{markdown: makeMarkdown(), manual: makeManual()} {
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Errorf("%s is not what the table says (%v); run go test ./config/keys -update", path, err)
		}
	}
}

// The example names every key.
func TestExampleIsComplete(t *testing.T) {
	data, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range Table() {
		if k.Scope == ScopeRun {
			continue
		}
		group, last, grouped := strings.Cut(k.Name, ".")
		pattern := `(?m)^#? ?` + regexp.QuoteMeta(k.Name) + ` *= `
		if grouped {
			pattern = `(?m)^#? ?` + group + ` *= \{.*\b` + last + ` = `
		}
		if !regexp.MustCompile(pattern).Match(data) {
			t.Errorf("%s does not show %s", example, k.Name)
		}
	}
}

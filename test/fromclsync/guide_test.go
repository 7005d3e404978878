package fromclsync

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lockstep/clsync/compile"
	"lockstep/clsync/options"
	"lockstep/clsync/table"
	"lockstep/handler"
)

// guide is written by hand, but for what stands between two marks.
const guide = "docs/from-clsync.md"

// made is what stands there, by the name in the first mark.
func made(t *testing.T) map[string]string {
	t.Helper()
	broken := conf + "pid-file = /run/clsync.pid\nchroot = /srv\noutput = syslog\nbackground = 1\n"
	return map[string]string{
		"file":     shown("cat /etc/clsync/clsync.conf", broken) + "\n" + shown("cat /etc/clsync/rules/www", ruleFile),
		"refused":  session(t, broken),
		"meant":    session(t, conf),
		"taken":    taken(t),
		"already":  outcomes(compile.Already),
		"useless":  outcomes(compile.Useless, compile.Told),
		"refusals": refusals(),
		"changes":  changesTable(),
		"lists":    listsTable(),
		"told":     toldTable(),
		"defects":  defectsTable(),
		"examples": examplesTable(t),
		"later":    laterTable(),
	}
}

// The guide says what the code says.
func TestGuide(t *testing.T) {
	old, err := os.ReadFile(at(guide))
	if err != nil {
		t.Fatal(err)
	}
	text, used := string(old), map[string]bool{}
	parts := made(t)
	text = regexp.MustCompile(`(?s)<!-- made: (\w+) -->\n.*?<!-- end -->`).ReplaceAllStringFunc(text, func(part string) string {
		name := strings.Fields(part)[2]
		used[name] = true
		return "<!-- made: " + name + " -->\n" + parts[name] + "<!-- end -->"
	})
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		if !used[name] || parts[name] == "" {
			t.Errorf("%s has no place for %s, or there is nothing to be put there", guide, name)
		}
	}
	for name := range used {
		if parts[name] == "" {
			t.Errorf("nothing is made for the place %s", name)
		}
	}
	golden(t, at(guide), []byte(text))
}

// conf and ruleFile are what the guide begins with.
const (
	conf     = "[default]\nwatch-dir = /srv/www\ndestination-dir = /backup/www\nmode = rsyncdirect\nrules-file = /etc/clsync/rules/www\ndelay-collect = 5\ndelay-sync = 5\n"
	ruleFile = "# backups, and a cache\n-f\\.bak$\n-w^cache$\n"
)

// shown is a command and what it prints.
func shown(command, output string) string { return "```\n# " + command + "\n" + output + "```\n" }

// session is what `lockstep clsync --print-config` prints for a configuration file.
func session(t *testing.T, text string) string {
	t.Helper()
	f := files{"/etc/clsync/clsync.conf": text, "/etc/clsync/rules/www": ruleFile}
	o, err := options.Read([]string{"--print-config"}, options.Env{Dir: "/", Search: options.Search("/root"), PID: pid, ReadFile: f.read})
	if err != nil {
		t.Fatal(err)
	}
	r, err := compile.Compile(o, f.read)
	var b strings.Builder
	for _, w := range r.Warnings {
		b.WriteString("lockstep: warning: " + w.Error() + "\n")
	}
	code := 0
	if err != nil {
		code = 2
		for line := range strings.Lines(err.Error() + "\n") {
			b.WriteString("lockstep: " + line)
		}
	}
	b.Write(r.Text)
	return shown(`lockstep clsync --print-config; echo "exit $?"`, fmt.Sprintf("%sexit %d\n", b.String(), code))
}

func cell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }

func row(cells ...string) string {
	for i, c := range cells {
		cells[i] = cell(c)
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

func header(titles ...string) string {
	return row(titles...) + strings.Repeat("|---", len(titles)) + "|\n"
}

// named is an option as it is written.
func named(name string) string {
	o, _ := table.Lookup(name)
	switch {
	case name == table.Arguments:
		return "`--` and words, as a key too"
	case name == table.Recursive:
		return "the key `---`"
	case o.Short != 0:
		return fmt.Sprintf("`--%s` `-%c`", name, o.Short)
	}
	return "`--" + name + "`"
}

// samples are words with an option, after least, that show which keys it sets.
func samples() map[string][][]string {
	words := func(more ...string) []string {
		return append([]string{"--", "%RSYNC-ARGS%"}, append(more, "%watch-dir%/", "%destination-dir%/")...)
	}
	return map[string][][]string{
		"watch-dir":              {{"-W", "/srv/other"}},
		"sync-handler":           {{"-S", "/opt/bin/rsync"}},
		"rules-file":             {{"-R", "/same"}, {"-R", "/other"}},
		"destination-dir":        {{"-D", "/backup/other"}},
		"uid":                    {{"-u", "sync"}},
		"sync-handler-uid":       {{"-D", "rsync://nas/www", "--sync-handler-uid", "sync"}, {"-M", "shell", "-S", "/h", "--sync-handler-uid", "lab"}},
		"sync-handler-gid":       {{"-M", "shell", "-S", "/h", "--sync-handler-uid", "lab", "--sync-handler-gid", "lab"}},
		"one-file-system":        {{"--one-file-system"}},
		"exclude-mount-points":   {{"-X"}},
		"timeout-sync":           {{"-k", "90"}},
		"delay-sync":             {{"-w", "7"}},
		"delay-collect":          {{"-t", "3"}},
		"delay-collect-bigfile":  {{"-T", "60"}},
		"threshold-bigfile":      {{"-B", "5"}},
		"only-initialsync":       {{"--only-initialsync"}},
		"exit-on-no-events":      {{"--exit-on-no-events"}},
		"monitor":                {{"--monitor", "fanotify"}},
		"pre-exit-hook":          {{"--pre-exit-hook", "/opt/bin/x"}},
		"exit-hook":              {{"--exit-hook", "/opt/bin/x"}},
		"max-iterations":         {{"--max-iterations", "20"}},
		"sync-on-quit":           {{"--sync-on-quit"}},
		"skip-initialsync":       {{"--skip-initialsync"}},
		"label":                  {{"-l", "web"}},
		"status-file":            {{"--status-file", "/run/www.state"}},
		"standby-file":           {{"--standby-file", "/run/www.hold"}},
		"pid-file":               {{"-z", "/run/www.pid"}},
		"output":                 {{"-Y", "syslog"}},
		"verbose":                {{"--verbose=1"}},
		"quiet":                  {{"-q"}},
		"have-recursive-sync":    {{"-M", "shell", "-S", "/h", "--have-recursive-sync"}},
		"synclist-simplify":      {{"-M", "shell", "-S", "/h", "--synclist-simplify", "-L", "/l"}},
		"dont-unlink-lists":      {{"-M", "shell", "-S", "/h", "-U"}},
		"modification-signature": {{"--modification-signature", "*"}, {"-M", "shell", "-S", "/h", "--modification-signature", "uid,gid"}},
		"socket":                 {{"-s", "/run/www.control"}},
		"socket-mod":             {{"-s", "/run/www.control", "--socket-mod", "660"}},
		"socket-own":             {{"-s", "/run/www.control", "--socket-own", ":adm"}},
		"--": {words("-X", "--no-devices", "--no-delete"), words("--max-delete=5", "--exclude=*.o", "-z", "--bwlimit=5m", "-b", "--backup-dir=old"),
			append([]string{"-D", "me@web2:/srv/www"}, words("-e", "ssh -i /etc/id -o UserKnownHostsFile=/etc/known")...),
			append([]string{"-D", "rsync://nas/www"}, words("--password-file=/etc/secret")...)},
	}
}

// keyless are options that lockstep takes, and that no key is for.
func keyless() []string {
	return []string{"mode", "config-file", "config-block", "config-block-inherits", "custom-signals", "gid", "privileged-uid", "privileged-gid", "help", "version", "lenient", "print-config", "full-initialsync", table.Recursive}
}

// becomes are the keys that an option sets, as compile does it.
func becomes(t *testing.T, name string) string {
	t.Helper()
	f := files{"/same": "-f\\.bak$\n", "/other": "+w^a$\n"}
	var keys []string
	for _, words := range samples()[name] {
		plain := least()
		if i := slices.Index(words, "-D"); i >= 0 && name != "destination-dir" {
			// What another target alone asks for is not this option's.
			plain = least("-D", strings.Replace(words[i+1], "me@web2:", "/", 1))
		}
		if words[0] == "-M" { // of a handler
			plain = least(words[:4]...)
		}
		without, err := compiled(f, plain...)
		if err != nil {
			t.Fatalf("%q: %v", plain, err)
		}
		with, err := compiled(f, least(words...)...)
		if err != nil {
			t.Fatalf("%q: %v", words, err)
		}
		before, after := keysOf(without.Text), keysOf(with.Text)
		for key, value := range after {
			if before[key] != value && key != "runtime_dir" && (key != "targets" || name == "destination-dir") {
				keys = append(keys, "`"+key+"`")
			}
		}
		if with.Run.Once != without.Run.Once {
			keys = append(keys, "`lockstep run --once`")
		}
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	if (len(keys) == 0) != slices.Contains(keyless(), name) {
		t.Errorf("%s sets the keys %q: samples, or keyless, have to know", name, keys)
	}
	return strings.Join(keys, " ")
}

func taken(t *testing.T) string {
	t.Helper()
	text := header("option", "becomes", "what it is")
	for _, x := range compile.Outcomes() {
		if x.Kind == compile.Mapped {
			text += row(named(x.Name), becomes(t, x.Name), strings.Replace(x.Help, "this text", "every option, and what becomes of it", 1))
		}
	}
	return text
}

func outcomes(kinds ...compile.Kind) string {
	text := header("option", "why")
	for _, x := range compile.Outcomes() {
		if !slices.Contains(kinds, x.Kind) {
			continue
		}
		why := x.Help
		if x.Kind == compile.Told {
			o, _ := table.Lookup(x.Name)
			why = o.Instead
		}
		text += row(named(x.Name), why)
	}
	return text
}

func refusals() string {
	text := header("option", "asks for", "what to do")
	for _, x := range compile.Outcomes() {
		if x.Kind == compile.Refused {
			text += row(named(x.Name), x.Help, x.Advice)
		}
	}
	return text
}

// Every option is in the guide, in one table.
func TestEveryOptionIsInTheGuide(t *testing.T) {
	tables := []string{taken(t), outcomes(compile.Already), outcomes(compile.Useless, compile.Told), refusals()}
	for _, o := range table.All() {
		n := 0
		for _, text := range tables {
			n += strings.Count(text, "\n| "+named(o.Name)+" |")
		}
		if n != 1 {
			t.Errorf("--%s has %d rows", o.Name, n)
		}
	}
}

func examplesTable(t *testing.T) string {
	t.Helper()
	text := header("example", "what it does")
	for _, e := range examples(t) {
		text += row("[`"+e.name+".sh`](../examples/clsync/"+e.name+".sh)", e.about)
	}
	return text
}

func laterTable() string {
	text := header("clsync's", "refused by", "instead")
	for _, l := range notYet() {
		option, _, _ := strings.Cut(l.says, ":")
		if mode, ok := strings.CutPrefix(l.says, "--mode: mode "); ok {
			option += " " + strings.Fields(mode)[0]
		}
		text += row(l.about, "`"+option+"`", l.until)
	}
	return text
}

// numbers are defects of the table.
func numbers(all []int) string {
	var out []string
	for _, n := range all {
		out = append(out, fmt.Sprint(n))
	}
	return strings.Join(out, ", ")
}

func changesTable() string {
	text := header("what", "clsync 0.4.5", "lockstep", "why", "defect")
	for _, c := range changes() {
		text += row(c.what, c.was, c.is, c.why, numbers(c.defects))
	}
	return text
}

func listsTable() string {
	text := header("what", "clsync 0.4.5", "here", "why", "defect")
	for _, d := range handler.Differences() {
		text += row(d.Name, d.Was, d.Is, d.Why, numbers(ofLists()[d.Name]))
	}
	return text
}

func toldTable() string {
	text := header("what", "clsync 0.4.5", "here", "why")
	for _, c := range telling() {
		text += row(c.what, c.was, c.is, c.why)
	}
	return text
}

func defectsTable() string {
	text := header("", "clsync 0.4.5", "lockstep", "shown by")
	for _, d := range defects() {
		var proofs []string
		for _, p := range d.proofs() {
			if refused, ok := strings.CutPrefix(p, "refused: "); ok {
				option, _, _ := strings.Cut(refused, "=")
				if option == "--mode" {
					option = refused
				}
				proofs = append(proofs, "not built yet: `"+option+"` is refused")
				continue
			}
			words := strings.Fields(p)
			proofs = append(proofs, "`"+words[1]+"` in "+words[0])
		}
		text += row(fmt.Sprint(d.number), d.was, d.is, strings.Join(proofs, "; "))
	}
	return text
}

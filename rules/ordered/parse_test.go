package ordered

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func mustParse(t testing.TB, lines ...string) *Set {
	t.Helper()
	s, err := Parse("rules", []byte(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What is measured of clsync, with its faults left behind.
func TestDecide(t *testing.T) {
	whitelist := []string{"+f^etc/passwd$", "+f^etc/ssh/sshd_config$", "+W^$", "+W^etc$", "+W^etc/ssh$", "-*"}
	for _, c := range []struct {
		rules []string
		path  string
		kind  Kind
		want  string // the actions that are permitted, and each one's rule
	}{
		{nil, "a", File, "wms -1 -1 -1"},
		{[]string{"-*^[Tt]est", `-f\.bak$`}, "Test", Dir, " 0 0 0"},
		{[]string{"-*^[Tt]est", `-f\.bak$`}, "Test/in", File, " 0 0 0"},
		{[]string{"-*^[Tt]est", `-f\.bak$`}, "keep/Test", Dir, "wms -1 -1 -1"},
		{[]string{"-*^[Tt]est", `-f\.bak$`}, "d1/x.bak", File, " 1 1 1"},
		{[]string{"-*^[Tt]est", `-f\.bak$`}, "d1/x.bak", Dir, "wms -1 -1 -1"},
		{whitelist, "", Dir, "wm 2 2 5"},
		{whitelist, "etc", Dir, "wm 3 3 5"},
		{whitelist, "etc/passwd", File, "wms 0 0 0"},
		{whitelist, "etc/shadow", File, " 5 5 5"},
		{whitelist, "d1", Dir, " 5 5 5"},
		{[]string{"-m^d1$", "-s^Test$", "-w^keep$"}, "d1", Dir, "ws -1 0 -1"},
		{[]string{"-m^d1$", "-s^Test$", "-w^keep$"}, "Test", Dir, "wm -1 -1 1"},
		{[]string{"-m^d1$", "-s^Test$", "-w^keep$"}, "keep", Dir, "ms 2 -1 -1"},
		{[]string{"-m^d1$", "-s^Test$", "-w^keep$"}, "keep", File, "wms -1 -1 -1"},
		{[]string{"+f.txt$", "-f"}, "f.txt", File, "wms 0 0 0"},
		{[]string{"+f.txt$", "-f"}, "link", File, " 1 1 1"}, // f: all but directories
		{[]string{"+f.txt$", "-f"}, "fifo", File, " 1 1 1"},
		{[]string{"+f.txt$", "-f"}, "socket", File, " 1 1 1"},
		{[]string{"+f.txt$", "-f"}, "d", Dir, "wms -1 -1 -1"},
		{[]string{"-d^a$"}, "a/b", Dir, "wms -1 -1 -1"}, // only its own path
		{[]string{"", "# -*", "-f^ab$"}, "a", File, "wms -1 -1 -1"},
		{[]string{"", "# -*", "-f^ab$"}, "ab", File, " 0 0 0"}, // the last line is whole
		{[]string{"-fa $"}, "a ", File, " 0 0 0"},              // nothing is trimmed
		{[]string{"-f\xff$"}, "\xff", File, " 0 0 0"},
		{[]string{"-f\xff$"}, "\xfe", File, "wms -1 -1 -1"},
	} {
		s := mustParse(t, c.rules...)
		got := ""
		d := s.DecideAll(c.path, c.kind)
		for a := range actions {
			if d[a].Permit {
				got += a.String()[:1]
			}
			if permit, rule := s.Decide(c.path, c.kind, a); (Decision{permit, rule}) != d[a] {
				t.Errorf("%q, %q: Decide and DecideAll differ", c.rules, c.path)
			}
		}
		got += fmt.Sprint(" ", d[Walk].Rule, d[Monitor].Rule, d[Sync].Rule)
		if got != c.want {
			t.Errorf("%q, %q of kind %d: %s, want %s", c.rules, c.path, c.kind, got, c.want)
		}
	}
}

// Every fault of a file is told, with its line.
func TestFaults(t *testing.T) {
	file := strings.Join([]string{"+f^ok$", " +f", "-", "-xa", "-Fa", "-f(a", "", "# fine", "-f^a$\r", "-f\\1", "\xef\xbb\xbf-f", "-fa\x00"}, "\n")
	_, err := Parse("etc/the rules", []byte(file))
	var faults Faults
	if !errors.As(err, &faults) {
		t.Fatal(err)
	}
	want := []struct {
		line int
		text string
	}{{2, `with " "`}, {3, "missing after the -"}, {4, `type "x" is unknown; there are`}, {5, "did you mean f?"}, {6, "never closed"},
		{9, "Unix line ends"}, {10, "back-reference"}, {11, `with "\xef"`}, {12, "NUL"}}
	if len(faults) != len(want) {
		t.Fatalf("%d faults, want %d:\n%v", len(faults), len(want), err)
	}
	for i, w := range want {
		if faults[i].Line != w.line || !strings.Contains(faults[i].Reason, w.text) {
			t.Errorf("%v, want line %d with %q", faults[i], w.line, w.text)
		}
	}
	if !strings.HasPrefix(err.Error(), `etc/the rules:2: a rule begins with + or -`) {
		t.Error(err)
	}
}

func TestBounds(t *testing.T) {
	for name, c := range map[string]struct {
		file, want string
		faults     int
	}{
		"large":   {strings.Repeat("#", MaxFile+1), "may have 1048576", 1},
		"many":    {strings.Repeat("-f\n", MaxRules+1), "one rule more", 1},
		"wrong":   {strings.Repeat("x\n", 1000), "there is more", maxFaults + 1},
		"heavy":   {strings.Repeat("-f.{1000}.{1000}.{1000}\n", 400), "too much memory", 1},
		"longest": {"-f" + strings.Repeat("a", 4097), "longer than 4096", 1},
	} {
		_, err := Parse("rules", []byte(c.file))
		var faults Faults
		if !errors.As(err, &faults) || len(faults) != c.faults || !strings.Contains(faults[len(faults)-1].Reason, c.want) {
			t.Errorf("%s: %d faults, want %d with %q", name, len(faults), c.faults, c.want)
		}
	}
	if s := mustParse(t, strings.Repeat("-f\n", MaxRules)); s.Len() != MaxRules {
		t.Errorf("%d rules", s.Len())
	}
}

func TestCheckRoot(t *testing.T) {
	for rules, want := range map[string]string{
		"": "", "-f": "", "-d.": "", "+d^$\n-*": "", "-m": "",
		"+f\\.txt$\n-*": "rules:2: \"-*\" rejects going into the root, the empty path, so that nothing would be synced; write the line +d^$ above it\n" +
			"rules:2: \"-*\" rejects syncing the root, the empty path, so that nothing would be synced; write the line +d^$ above it",
		"-w":   "rules:1: \"-w\" rejects going into the root, the empty path, so that nothing would be synced; write the line +d^$ above it",
		"-s^$": "rules:1: \"-s^$\" rejects syncing the root, the empty path, so that nothing would be synced; write the line +d^$ above it",
	} {
		got := ""
		if err := mustParse(t, rules).CheckRoot(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %s\nwant %s", rules, got, want)
		}
	}
}

func ExampleSet_Explain() {
	s, err := Parse("www.rules", []byte("+f^etc/ssh/sshd_config$\n+W^(etc(/ssh)?)?$\n-m^etc$\n-*\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, path := range []string{"etc/ssh/sshd_config", "var/log/x"} {
		e := s.Explain(path, File)
		for _, step := range e.Above {
			fmt.Printf("%q walk %v\n  monitor %v\n", step.Path, step.Walk, step.Monitor)
		}
		fmt.Printf("%q sync %v; reached %v, noticed %v\n", path, e.Sync, e.Reached, e.Noticed)
	}
	// Output:
	// "" walk permitted by www.rules:2: +W^(etc(/ssh)?)?$
	//   monitor permitted by www.rules:2: +W^(etc(/ssh)?)?$
	// "etc" walk permitted by www.rules:2: +W^(etc(/ssh)?)?$
	//   monitor permitted by www.rules:2: +W^(etc(/ssh)?)?$
	// "etc/ssh" walk permitted by www.rules:2: +W^(etc(/ssh)?)?$
	//   monitor permitted by www.rules:2: +W^(etc(/ssh)?)?$
	// "etc/ssh/sshd_config" sync permitted by www.rules:1: +f^etc/ssh/sshd_config$; reached true, noticed true
	// "" walk permitted by www.rules:2: +W^(etc(/ssh)?)?$
	//   monitor permitted by www.rules:2: +W^(etc(/ssh)?)?$
	// "var" walk rejected by www.rules:4: -*
	//   monitor rejected by www.rules:4: -*
	// "var/log" walk rejected by www.rules:4: -*
	//   monitor rejected by www.rules:4: -*
	// "var/log/x" sync rejected by www.rules:4: -*; reached false, noticed false
}

func TestExplain(t *testing.T) {
	s := mustParse(t, "-m^a$", "-w^a/b$")
	for path, want := range map[string]string{
		"": "[] true true", "x": "[] true true", "a/x": "[ a] true false", "a/b": "[ a] true false", "a/b/c": "[ a a/b] false false",
	} {
		e := s.Explain(path, File)
		var dirs []string
		for _, step := range e.Above {
			dirs = append(dirs, step.Path)
		}
		if path == "x" {
			dirs = dirs[1:]
		}
		if got := fmt.Sprint(dirs, " ", e.Reached, " ", e.Noticed); got != want {
			t.Errorf("%q: %s, want %s", path, got, want)
		}
	}
	if v := s.Explain("a", Dir).Monitor.String(); v != "rejected by rules:1: -m^a$" {
		t.Error(v)
	}
	if v := s.Explain("a", Dir).Walk.String(); v != "permitted: no rule says anything" {
		t.Error(v)
	}
}

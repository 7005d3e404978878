package cmdline

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func specs() []Spec {
	return []Spec{
		{"watch-dir", 'W', Required}, {"sync-handler", 'S', Required}, {"sync-handler-uid", 0, Required}, {"sync-on-quit", 0, Optional},
		{"background", 'b', Optional}, {"exclude-mount-points", 'X', Optional}, {"secure-splitting", 0, None}, {"label", 'l', Required}, {"quick", 'q', None},
	}
}

func show(l Line) string {
	var b strings.Builder
	for _, i := range l.Items {
		fmt.Fprintf(&b, "%s(%s", i.Name, i.Written)
		if i.Has {
			fmt.Fprintf(&b, " %q", i.Value)
		}
		b.WriteString(") ")
	}
	if l.Stray != nil {
		fmt.Fprintf(&b, "stray%q ", l.Stray)
	}
	if l.Ended {
		fmt.Fprintf(&b, "words%q", l.Words)
	}
	return strings.TrimSpace(b.String())
}

func TestRead(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"", ""},
		{"--watch-dir=/a --label=", `watch-dir(--watch-dir "/a") label(--label "")`},
		{"--watch-dir /a --w=/b", `watch-dir(--watch-dir "/a") watch-dir(--w "/b")`},
		{"-W /a -W/b -W=c", `watch-dir(-W "/a") watch-dir(-W "/b") watch-dir(-W "=c")`},
		{"-b -b1 --background --background=1 -b 1", `background(-b) background(-b "1") background(--background) background(--background "1") background(-b) stray["1"]`},
		{"-qbX -qX0", `quick(-q) background(-b "X") quick(-q) exclude-mount-points(-X "0")`},
		{"--sync-handler a --sync-handler-u b", `sync-handler(--sync-handler "a") sync-handler-uid(--sync-handler-u "b")`},
		{"a -l x b -- c -q --", `label(-l "x") stray["a" "b"] words["c" "-q" "--"]`},
		{"-l -- x", `label(-l "--") stray["x"]`},
		{"--label -q", `label(--label "-q")`},
		{"- --", `stray["-"] words[]`},
		{"--secure", "secure-splitting(--secure)"},
	} {
		line, faults := Read(specs(), strings.Fields(c.args))
		if got := show(line); got != c.want || faults != nil {
			t.Errorf("%s: %s %v, want %s", c.args, got, faults, c.want)
		}
	}
	if line, _ := Read(specs(), []string{"--", ""}); !reflect.DeepEqual(line.Words, []string{""}) {
		t.Errorf("%+v", line)
	}
}

// All that is wrong is told, and the rest is read.
func TestFaults(t *testing.T) {
	for args, want := range map[string]string{
		"--nosuch -l x":       "--nosuch: unknown option; see --help",
		"--lable=x -q":        "--lable: unknown option; see --help; did you mean --label?",
		"--sync x":            "--sync: may mean --sync-handler, --sync-handler-uid or --sync-on-quit; write more of the name",
		"--=x":                "--: unknown option; see --help",
		"--secure-splitting=": "--secure-splitting: takes no value; write --secure-splitting alone",
		"--label":             "--label: needs a value; write --label=VALUE",
		"-ql":                 "-l: needs a value; write -l VALUE",
		"-z1 --no":            "-z: unknown option; see --help, -1: unknown option; see --help, --no: unknown option; see --help",
	} {
		_, faults := Read(specs(), strings.Fields(args))
		var got []string
		for _, f := range faults {
			got = append(got, f.Written+": "+f.Reason+"; "+f.Advice)
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s:\n%s, want\n%s", args, strings.Join(got, ", "), want)
		}
	}
}

// A line that is understood means the same when it is written in full.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"", "-W\n/a\n--\nx", "-bX\n-qX", "--lab=x\n--sync\n-l", "a\n-\n--\n--"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		line, faults := Read(specs(), strings.Split(text, "\n"))
		if faults != nil {
			return
		}
		var again []string
		for _, i := range line.Items {
			if i.Has {
				again = append(again, "--"+i.Name+"="+i.Value)
			} else {
				again = append(again, "--"+i.Name)
			}
		}
		again = append(again, line.Stray...)
		if line.Ended {
			again = append(append(again, "--"), line.Words...)
		}
		second, faults := Read(specs(), again)
		if faults != nil || len(second.Items) != len(line.Items) {
			t.Fatalf("%q, then %q: %v", text, again, faults)
		}
		for i := range line.Items {
			second.Items[i].Written = line.Items[i].Written
		}
		if show(second) != show(line) {
			t.Errorf("%s, then %s", show(line), show(second))
		}
	})
}

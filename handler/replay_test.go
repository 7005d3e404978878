package handler_test

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"lockstep/handler"
	"lockstep/test/clsync"
)

// edit is a place in a recording where we differ, and by which difference.
type edit struct{ script, difference, was, is string }

// edits are all places. An edit makes a line of a recording another, or nothing,
// or adds one after it.
func edits() []edit {
	return []edit{
		{"direct-arguments", "percent", `arg "100"`, `arg "100%"`},
		{"shell-arguments", "percent", `arg "100"`, `arg "100%"`},
		{"shell-arguments", "percent", `arg "x"`, `arg "x%label"`},
		{"direct-names", "dash", `arg "-dash"`, `arg "./-dash"`},
		{"direct-names", "dash", `arg "--help"`, `arg "./--help"`},
		{"direct-names", "macros", `arg "xy"`, `arg "x%label%y"`},
		{"direct-names", "macros", `arg "xsynclisty"`, `arg "x%TYPE%y"`},
		{"direct-names", "macros", `arg "50"`, `arg "50%"`},
		{"direct-names", "newline", `after arg "a b"`, `arg "n\nl"`},
		{"shell-label", "macros", `arg "my  lab"`, `arg "my %TYPE% lab"`},
		{"shell-label", "macros", `line "sync my  lab 1073742080 "`, `line "sync my %TYPE% lab 1073742080 "`},
		{"shell-label", "macros", `line "sync my  lab 256 a"`, `line "sync my %TYPE% lab 256 a"`},
		{"simple-names", "macros", `arg "/w/from/xy"`, `arg "/w/from/x%label%y"`},
		{"rsyncshell-names", "escaping", `line "/br\\]"`, `line "/br]"`},
		{"rsyncshell-names", "escaping", `line "/b\\\\s"`, `line "/b\\s"`},
		{"rsyncshell-names", "escaping", `line "/s\\[1\\]"`, `line "/s\\[1]"`},
		{"rsyncshell-names", "escaping", `line "/d\\[x\\]/***"`, `line "/d\\[x]/***"`},
		{"rsyncshell-names", "newline", `after line "/a b"`, `line "/n[^\x01-\t\v-\xff]l"`},
		{"rsyncshell-names", "return", `line "/c\rr"`, `line "/c[^\x01-\f\x0e-\xff]r"`},
		{"rsyncshell-reject-names", "escaping", `line "/x/br\\]"`, `line "/x/br]"`},
		{"rsyncshell-reject-names", "escaping", `line "/x/b\\\\s"`, `line "/x/b\\s"`},
		{"rsyncshell-reject-names", "escaping", `line "/x/s\\[1\\]"`, `line "/x/s\\[1]"`},
		{"rsyncshell-reject-names", "escaping", `line "/x/d\\[x\\]"`, `line "/x/d\\[x]"`},
		{"rsyncshell-reject-names", "newline", `line "/x/n"`, `line "/x/n[^\x01-\t\v-\xff]l"`},
		{"rsyncshell-reject-names", "newline", `line "l"`, ``},
		{"rsyncshell-reject-names", "return", `line "/x/c\rr"`, `line "/x/c[^\x01-\f\x0e-\xff]r"`},
		{"rsyncshell-root-rejected", "root", `line ""`, `line "/**"`},
	}
}

// divided are the scripts whose calls we put together before we compare.
func divided() []string { return []string{"rsyncshell-limit", "rsyncdirect-limit-prefer-include"} }

func options(t *testing.T, s *clsync.Script) handler.Options {
	t.Helper()
	mode, err := handler.ParseMode(s.Mode)
	if err != nil {
		t.Fatal(err)
	}
	o := handler.Options{Mode: mode, Path: clsync.Handler, Arguments: s.Arguments, Label: "lab",
		Watch: clsync.Watch, Destination: clsync.Dest, MaxWords: 256, MaxBytes: 128 << 10,
		Values: map[string]string{"delay-sync": "0"}, PID: 4711}
	for i, word := range s.Options {
		switch word {
		case "-l":
			o.Label = s.Options[i+1]
		case "--synclist-simplify":
			o.Simplify = true
		case "--rsync-prefer-include":
			o.PreferInclude = true
		case "--rsync-inclimit":
			if o.Limit, err = strconv.Atoi(s.Options[i+1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	return o
}

// batches are a step's: a call for one whole directory is made at once, so that
// it is a batch of its own.
func batches(step clsync.Step, recorded []clsync.Call, rsync bool) []handler.Batch {
	kinds := map[string]handler.Kind{"absent": handler.Absent, "file": handler.File, "dir": handler.Dir}
	var out []handler.Batch
	begin := func(c clsync.Call) *handler.Batch {
		iteration, _ := strconv.ParseUint(c.Iteration, 10, 64)
		out = append(out, handler.Batch{Status: c.Status, Iteration: iteration, Rejected: step.Rejected})
		return &out[len(out)-1]
	}
	for _, e := range step.Entries {
		if e.Flag == "recursive" && !rsync {
			b := begin(recorded[len(out)])
			b.Entries = []handler.Entry{{Path: e.Path, Mask: e.Mask, Old: kinds[e.Old], New: kinds[e.New], Recursive: true}}
		}
	}
	if len(out) == len(recorded) {
		return out
	}
	b := begin(recorded[len(out)])
	for _, e := range step.Entries {
		if e.Flag != "recursive" || rsync {
			b.Entries = append(b.Entries, handler.Entry{Path: e.Path, Mask: e.Mask, Old: kinds[e.Old], New: kinds[e.New], Recursive: e.Flag == "recursive"})
		}
	}
	return out
}

func names(n handler.ListName) string {
	if n == handler.Exclude {
		return clsync.Exclude
	}
	return clsync.Include
}

// told is how the recorder's module tells of a function's call.
func told(mode string, r handler.Run) []handler.Word {
	words := []handler.Word{{{Text: clsync.Handler}}, {{Text: mode}}}
	for _, l := range r.Lists {
		words = append(words, handler.Word{{List: l.Name}})
	}
	switch {
	case mode == "so":
		for i, e := range r.Entries {
			flags := 0
			if e.Recursive {
				flags = 1
			}
			words = append(words, handler.Word{{Text: fmt.Sprintf("%d %d %d %d %s", e.Mask, e.Old, e.New, flags, r.Names[i])}})
		}
	case len(r.Lists) == 1:
		words = append(words, handler.Word{{Text: "none"}})
	}
	return words
}

// call is a run in a recording's words.
func call(mode string, r handler.Run) clsync.Call {
	if r.Argv == nil {
		r.Argv = told(mode, r)
	}
	c := clsync.Call{Dir: clsync.Watch, Argv: handler.Fill(r.Argv, names)}
	if i := slices.Index(c.Argv, "pid=4711"); i >= 0 {
		c.Argv[i] = "pid=" + clsync.PID
	}
	for _, v := range r.Env {
		if s, ok := strings.CutPrefix(v, "CLSYNC_STATUS="); ok {
			c.Status = s
		}
		if s, ok := strings.CutPrefix(v, "CLSYNC_ITERATION="); ok {
			c.Iteration = s
		}
	}
	for _, w := range r.Argv {
		for _, p := range w {
			for _, l := range r.Lists {
				if l.Name != p.List {
					continue
				}
				list := clsync.List{Name: names(l.Name)}
				for line := range bytes.Lines(l.Content) {
					list.Lines = append(list.Lines, strings.TrimSuffix(string(line), "\n"))
				}
				c.Lists = append(c.Lists, list)
			}
		}
	}
	return c
}

// together is the calls of each step as one, each line once.
func together(r clsync.Recording) {
	for i, step := range r {
		all := step[0]
		for _, c := range step[1:] {
			for j, l := range c.Lists {
				lines := append(slices.Clone(all.Lists[j].Lines), l.Lines...)
				slices.Sort(lines)
				all.Lists[j].Lines = slices.Compact(lines)
			}
		}
		r[i] = []clsync.Call{all}
	}
}

// What real clsync handed over is what we hand over, word for word but for the
// edits above.
func TestReplay(t *testing.T) {
	dir := clsync.Dir(1)
	scripts, err := clsync.Names(dir)
	if err != nil || len(scripts) < 20 {
		t.Fatalf("%d scripts: %v", len(scripts), err)
	}
	used := map[string]bool{"excludes": false}
	for _, name := range scripts {
		t.Run(name, func(t *testing.T) {
			s, err := clsync.Load(dir, name)
			if err != nil {
				t.Fatal(err)
			}
			recorded, err := clsync.LoadRecording(dir, name)
			if err != nil {
				t.Fatal(err)
			}
			made := replay(t, s, recorded, used)
			made.Sort(s)
			if slices.Contains(divided(), name) {
				used["parts"] = true
				together(recorded)
				together(made)
			}
			want, got := edited(t, s, recorded, used).Text(), made.Text()
			if want != got {
				t.Error(difference(strings.Split(want, "\n"), strings.Split(got, "\n")))
			}
		})
	}
	for _, d := range handler.Differences() {
		if !used[d.Name] {
			t.Errorf("no recording shows the difference %q", d.Name)
		}
	}
}

func replay(t *testing.T, s *clsync.Script, recorded clsync.Recording, used map[string]bool) clsync.Recording {
	t.Helper()
	m, err := handler.New(options(t, s))
	if err != nil {
		t.Fatal(err)
	}
	made := make(clsync.Recording, len(s.Steps))
	for i, step := range s.Steps {
		var left []string
		for _, b := range batches(step, recorded[i], strings.HasPrefix(s.Mode, "rsync")) {
			result, err := m.Make(b)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range result.Runs {
				made[i] = append(made[i], call(s.Mode, r))
			}
			for _, l := range result.Left {
				left = append(left, l.Path)
			}
		}
		if len(left) > 0 && (s.Name != "shell-names" || !slices.Equal(left, []string{"n\nl"})) {
			t.Errorf("left: %q", left)
		}
		for j, c := range made[i] {
			if len(made[i]) == 1 || len(c.Lists) < 2 || s.Mode != "rsyncshell" {
				continue
			}
			if len(c.Lists[1].Lines) != len(step.Rejected) {
				t.Errorf("part %d has the excludes %q, want %q", j, c.Lists[1].Lines, step.Rejected)
			}
			used["excludes"] = true
		}
	}
	return made
}

// edited is a recording with the edits of its script.
func edited(t *testing.T, s *clsync.Script, recorded clsync.Recording, used map[string]bool) clsync.Recording {
	t.Helper()
	var want []string
	for l := range strings.SplitSeq(recorded.Text(), "\n") {
		want = append(want, strings.TrimSpace(l))
	}
	for _, e := range edits() {
		if e.script != s.Name {
			continue
		}
		used[e.difference] = true
		anchor, add := strings.CutPrefix(e.was, "after ")
		n := 0
		for i := 0; i < len(want); i++ {
			switch {
			case want[i] != anchor:
				continue
			case add:
				want = slices.Insert(want, i+1, e.is)
			default:
				want[i] = e.is
			}
			n++
		}
		if n == 0 {
			t.Errorf("the recording has no %s", anchor)
		}
	}
	r, err := clsync.ParseRecording(strings.Join(want, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	r.Sort(s)
	return r
}

func difference(want, got []string) string {
	var b strings.Builder
	for _, l := range want {
		if !slices.Contains(got, l) {
			fmt.Fprintf(&b, "\nonly clsync: %s", l)
		}
	}
	for _, l := range got {
		if !slices.Contains(want, l) {
			fmt.Fprintf(&b, "\nonly we: %s", l)
		}
	}
	fmt.Fprintf(&b, "\nclsync:\n%s\nwe:\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	return b.String()
}

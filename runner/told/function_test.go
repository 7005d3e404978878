package told

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"lockstep/handler"
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/plugin/frame"
)

// functions has a job told, and is what functions are called with.
func (b *bench) functions(kind ipc.JobKind, list []byte) []string {
	b.t.Helper()
	var got []string
	left, err := b.Tell(kind, list, never, caller(func(c Call) error {
		if c.Function == nil || len(c.Argv) > 0 {
			b.t.Fatalf("a program is called: %+v", c)
		}
		f := *c.Function
		text := fmt.Sprint(f.Status, " ", f.Iteration)
		for i, e := range f.Entries {
			text += fmt.Sprintf("|%q %d %d", f.Names[i], e.Mask, e.New)
		}
		for _, path := range []string{f.Include, f.Exclude} {
			if path == "" {
				continue
			}
			data, err := os.ReadFile(path) // it is there during the call
			if err != nil {
				b.t.Error(err)
			}
			text += fmt.Sprintf("|%q", data)
		}
		got = append(got, text)
		return nil
	}))
	if rest, e := os.ReadDir(b.c.Lists); err != nil || e != nil || len(rest) > 0 || len(left) > 0 {
		b.t.Errorf("%v; lists stay: %v %v; left %v", err, e, rest, left)
	}
	return got
}

// A function gets what a program gets, in entries or in files of patterns.
func TestTellFunctions(t *testing.T) {
	changed := list(handler.Told{Path: "-dir/x", Mask: 8}, handler.Told{Path: "d", Mask: 0x40000104}, handler.Told{Path: "gone", Mask: 0x200}, handler.Told{Path: "new\nline", Mask: 8})
	rules := rule("- /left", "- /d/b")
	for _, c := range []struct {
		mode       string
		list, pass []string
	}{
		{"so", []string{`running 0|"-dir/x" 8 2|"d" 1073742084 3|"gone" 512 1|"new\nline" 8 2`},
			[]string{`initsync 1|"" 1073742080 3|"%%" 256 2|"-dir" 1073742080 3|"-dir/new\nline" 256 2|"100%" 256 2|"a" 256 2|"d" 1073742080 3|"d/deep" 1073742080 3|"d/deep/f" 256 2|"e" 1073742080 3|"e/fifo" 256 2|"link" 256 2|"\xff" 256 2`}},
		{"rsyncso", []string{`running 0|"/-dir\n/-dir/x\n/d\n/gone\n/gone/**\n/new[^\x01-\t\v-\xff]line\n"|"- *.bak\n"`},
			[]string{`initsync 1|"/***\n"|"- *.bak\n/d/b\n/left\n"`}},
	} {
		b := make1(t, c.mode, func(h *settings.Handler) {
			if c.mode == "rsyncso" {
				h.Excludes = []string{"- *.bak"}
			}
		})
		if !b.Function() {
			t.Errorf("%s: calls a program", c.mode)
		}
		if got := b.functions(ipc.JobList, changed); !slices.Equal(got, c.list) {
			t.Errorf("%s:\ngot  %q\nwant %q", c.mode, got, c.list)
		}
		if got := b.functions(ipc.JobInitial, rules); !slices.Equal(got, c.pass) {
			t.Errorf("%s:\ngot  %q\nwant %q", c.mode, got, c.pass)
		}
	}
}

// A call of a function has no more than one message to its host can carry.
func TestFunctionsAreBounded(t *testing.T) {
	var many []handler.Told
	for i := range frame.MaxEntries + 1 {
		many = append(many, handler.Told{Path: fmt.Sprint(i), Mask: 8})
	}
	for i := range 3 * maxList / 4000 {
		many = append(many, handler.Told{Path: fmt.Sprintf("%04d", i) + strings.Repeat("/xxx", 999), Mask: 8})
	}
	b := make1(t, "so", nil)
	calls, told := 0, 0
	if _, err := b.Tell(ipc.JobList, list(many...), never, caller(func(c Call) error {
		calls++
		told += len(c.Function.Names)
		m := &frame.Sync{Round: frame.Round{Status: c.Function.Status}}
		for _, name := range c.Function.Names {
			m.Entries = append(m.Entries, frame.Entry{Path: name})
		}
		_, err := frame.Append(nil, 0, m)
		return err
	})); err != nil || told != len(many) || calls < 4 {
		t.Errorf("%d calls, %d paths of %d: %v", calls, told, len(many), err)
	}
}

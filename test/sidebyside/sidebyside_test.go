package sidebyside

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestReadCall(t *testing.T) {
	text := "d 2 /wv 21 CLSYNC_STATUS=runninga 3 a\nbl 0 e 9 512 0 2 1p 1 w.d 1 x."
	r := bufio.NewReader(strings.NewReader(text))
	c, err := ReadCall(r)
	want := Call{Dir: "/w", Env: []string{"CLSYNC_STATUS=running"}, Words: []Word{{Plain, "a\nb"}, {List, ""}, {Event, "512 0 2 1"}, {Path, "w"}}}
	if err != nil || fmt.Sprintf("%q", c) != fmt.Sprintf("%q", want) {
		t.Errorf("%q, %v", c, err)
	}
	if c, err = ReadCall(r); err != nil || c.Dir != "x" {
		t.Errorf("%q, %v", c, err)
	}
	if _, err = ReadCall(r); err != io.EOF {
		t.Error(err)
	}
	for _, bad := range []string{"a", "a ", "a x ", "a -1 ", "a 5 abc", "z 0 .", "a99999999999 ", "a 99999999 "} {
		if c, err := ReadCall(bufio.NewReader(strings.NewReader(bad))); err == nil {
			t.Errorf("%q is %q", bad, c)
		}
	}
}

// made is a call with the usual variables.
func made(status string, iteration int, words ...Word) Call {
	return Call{Dir: "/w", Env: []string{"CLSYNC_STATUS=" + status, fmt.Sprint("CLSYNC_ITERATION=", iteration)}, Words: words}
}

func plain(words ...string) (out []Word) {
	for _, w := range words {
		out = append(out, Word{Plain, w})
	}
	return out
}

func facts(t *testing.T, mode string, calls ...Call) Facts {
	t.Helper()
	f, err := Side{Mode: mode, Watch: "/w", Dest: "/to", More: []string{"100%"}}.Facts(calls)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// No word is passed over.
func TestFactsRefuse(t *testing.T) {
	list := func(text string) Word { return Word{List, text} }
	for mode, all := range map[string][][]Word{
		"simple":     {plain("sync", "lab", "8", "/x/a"), plain("sync", "lab", "8", "/wa"), plain("sync", "lab", "08", "/w/a"), plain("sync", "bal", "8", "/w/a"), plain("sync", "lab", "8", "/w/a", "b"), nil},
		"direct":     {plain("a", "/to"), plain("/to/"), {list("a"), {Plain, "/to/"}}},
		"shell":      {plain("synclist", "lab", "x", "100%"), append(plain("synclist", "lab"), list("sync lab 8 a\n")), append(plain("synclist", "lab"), list("sync lab 8 a"), Word{Plain, "100%"}), append(plain("synclist", "lab"), list("sync xyz 8 a\n"), Word{Plain, "100%"})},
		"rsyncshell": {plain("rsynclist", "lab"), append(plain("rsynclist", "lab"), list("/a\n")), append(plain("rsynclist", "lab"), list("/a"), list(""))},
		"rsyncso":    {{list("/a\n")}, plain("a", "b")},
		"so":         {nil, {{Event, "8 0 2 2"}}, {{Event, "8 1 2 2"}, {Path, "a"}}, {{Event, "8 0 2"}, {Path, "a"}}, {{Event, "x 0 2 2"}, {Path, "a"}}},
		"other":      {nil},
	} {
		for _, words := range all {
			if f, err := (Side{Mode: mode, Watch: "/w", Dest: "/to", More: []string{"100%"}}).Facts([]Call{made("running", 1, words...)}); err == nil {
				t.Errorf("%s: %q are %+v", mode, words, f)
			}
		}
	}
	good := plain("sync", "lab", "8", "/w/a")
	for _, c := range []Call{{Dir: "/x", Env: made("running", 1).Env, Words: good}, {Dir: "/w", Words: good}, {Dir: "/w", Env: []string{"CLSYNC_STATUS=x", "CLSYNC_OTHER=1"}, Words: good}} {
		if f, err := (Side{Mode: "simple", Watch: "/w"}).Facts([]Call{c}); err == nil {
			t.Errorf("%q is %+v", c, f)
		}
	}
}

// Whatever one side says and the other does not is a difference.
func TestDiffer(t *testing.T) {
	base := func() Facts {
		return facts(t, "so", made("running", 1, Word{Event, "8 0 0 2"}, Word{Path, "a"}, Word{Event, "512 0 0 1"}, Word{Path, "b"}))
	}
	if got := Differ(base(), base()); len(got) > 0 {
		t.Errorf("%q", got)
	}
	for name, change := range map[string]func(*Facts){
		`is not told`:       func(f *Facts) { delete(f.Paths, "a") },
		`"c" is told`:       func(f *Facts) { f.Paths["c"] = Entry{} },
		`is told as`:        func(f *Facts) { f.Paths["a"] = Entry{Mask: 10, New: 2} },
		`CLSYNC_STATUS`:     func(f *Facts) { f.Status["initsync"] = true },
		`include list has`:  func(f *Facts) { f.Include["/x"] = true },
		`exclude list has`:  func(f *Facts) { f.Exclude["/x"] = true },
		`Old:0 New:3`:       func(f *Facts) { f.Paths["a"] = Entry{Mask: 8, New: 3} },
		`"a" is told as {M`: func(f *Facts) { f.Paths["a"] = Entry{Mask: 8, Old: 1, New: 2} },
	} {
		f := base()
		change(&f)
		if got := Differ(base(), f); len(got) != 1 || !strings.Contains(got[0], name) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// step is one with all that differs.
func step() Step {
	return Step{
		Before: World{"": true, "a": false, "d": true, "d/f": false, "gone": true, "gone/x": false, "x.bak": false},
		After:  World{"": true, "a": false, "d": true, "d/f": false, "n%": false, "-n": false, "b]": false, "l\nn": false, "new": true, "new/g": false, "kept-link": false},
		Left: func(rel string, dir bool) bool {
			return !dir && (strings.HasSuffix(rel, ".bak") || strings.HasPrefix(rel, "kept-"))
		},
		Unwalked: func(rel string) bool { return rel == "noWalk" },
	}
}

func met(rows map[Row]bool) string { return fmt.Sprint(slices.Sorted(maps.Keys(rows))) }

// What clsync says becomes what lockstep has to say, with the rows that this took.
func TestExpectNames(t *testing.T) {
	lines := "sync lab 10 a\nsync lab 256 n%\nsync lab 268 -n\nsync lab 268 b]\nsync lab 1073742080 new\nsync lab 256 new/g\nsync lab 512 gone/x\nsync lab 1073743360 gone\nsync lab 256 kept-link\n"
	f := facts(t, "shell", made("running", 2, append(plain("synclist", "lab"), Word{List, lines}, Word{Plain, "100%"})...))
	want, rows, err := Expect("shell", f, step())
	if err != nil || met(rows) != "[above gone marks newline rules: kinds]" {
		t.Fatalf("%v %v", met(rows), err)
	}
	masks := map[string]uint32{}
	for name, e := range want.Paths {
		masks[name] = e.Mask
	}
	if got := fmt.Sprint(masks); got != fmt.Sprint(map[string]uint32{"": 1073741828, "a": 8, "n%": 268, "-n": 268, "b]": 268, "new": 1073742084, "new/g": 268, "gone": 1073742336}) {
		t.Error(got)
	}
	f = facts(t, "direct", made("running", 2, plain("a", "n", "-n", "b]", "new", "new/g", "gone/x", "gone", "/to/")...))
	want, rows, err = Expect("direct", f, step())
	if err != nil || met(rows) != "[above dash gone macros newline]" {
		t.Fatalf("%v %v", met(rows), err)
	}
	if got := slices.Sorted(maps.Keys(want.Paths)); fmt.Sprint(got) != fmt.Sprint([]string{".", "./-n", "a", "b]", "gone", "l\nn", "n%", "new", "new/g"}) {
		t.Errorf("%q", got)
	}
	// A name that never was, or another state, is not explained away.
	for _, bad := range []Facts{facts(t, "direct", made("running", 2, plain("other", "/to/")...)), facts(t, "direct", made("initsync", 2, plain("a", "/to/")...))} {
		if _, _, err := Expect("direct", bad, step()); err == nil {
			t.Errorf("%+v", bad)
		}
	}
}

func TestExpectLists(t *testing.T) {
	f := facts(t, "rsyncso", made("running", 2, Word{List, "/a\n/n%\n/-n\n/b\\]\n/new/***\n/gone\n/gone/x\n"}, Word{List, ""}))
	want, rows, err := Expect("rsyncso", f, step())
	if err != nil || met(rows) != "[above came escaping gone newline]" {
		t.Fatalf("%v %v", met(rows), err)
	}
	lines := []string{"", "/-n", "/a", "/b]", "/gone", "/gone/**", "/l[^\x01-\x09\x0b-\xff]n", "/n%", "/new", "/new/g"}
	if got := keys(want.Include); !slices.Equal(got, lines) || len(want.Exclude) > 0 {
		t.Errorf("%q", got)
	}
	// At the start both leave out the same, each in its own words.
	first := Step{First: true, After: World{"": true, "a": false, "b].bak": false, "c\n.bak": false, "noWalk": true, "noWalk/f": false}, Left: step().Left, Unwalked: step().Unwalked}
	f = facts(t, "rsyncso", made("initsync", 1, Word{List, "/***\n"}, Word{List, "/b\\].bak\n/c\n.bak\n"}))
	want, rows, err = Expect("rsyncso", f, first)
	if err != nil || met(rows) != "[escaping newline unwalked]" || !slices.Equal(keys(want.Exclude), []string{"/b].bak", "/c[^\x01-\x09\x0b-\xff].bak", "/noWalk/f"}) {
		t.Errorf("%v %v %v", want.Exclude, met(rows), err)
	}
	// That one part has no excludes is a row where a batch was divided, and there alone.
	for rounds, want := range map[[2]int]bool{{2, 2}: true, {2, 3}: false} {
		s := step()
		s.After["new/x.bak"] = false
		f := facts(t, "rsyncso", made("running", rounds[0], Word{List, "/a\n"}, Word{List, ""}), made("running", rounds[1], Word{List, "/new/***\n"}, Word{List, "/new/x.bak\n"}))
		if _, rows, err := Expect("rsyncso", f, s); err != nil || rows[Excludes] != want {
			t.Errorf("%v: %v %v", rounds, met(rows), err)
		}
	}
	for _, lists := range [][2]string{{"/a\n", "/b\\].bak\n/c\n.bak\n"}, {"/***\n", ""}, {"/***\n", "/a\n/b\\].bak\n/c\n.bak\n"}} {
		f := facts(t, "rsyncso", made("initsync", 1, Word{List, lists[0]}, Word{List, lists[1]}))
		if _, _, err := Expect("rsyncso", f, first); err == nil {
			t.Errorf("%q is taken", lists)
		}
	}
}

// A list that is divided has its excludes in one part with clsync, in all with lockstep.
func TestCalls(t *testing.T) {
	call := func(i int, exclude string) Call {
		return made("running", i, Word{List, "/a\n"}, Word{List, exclude})
	}
	clsync := facts(t, "rsyncso", call(2, "/x\n"), call(2, ""))
	if rows, err := Calls(clsync, facts(t, "rsyncso", call(0, ""), call(1, ""))); err != nil || met(rows) != "[iteration]" {
		t.Errorf("%v %v", met(rows), err)
	}
	for _, bad := range []Facts{clsync, facts(t, "rsyncso", call(0, ""), call(2, ""))} {
		if _, err := Calls(clsync, bad); err == nil {
			t.Errorf("%+v", bad)
		}
	}
	parts := func(calls ...[]Word) Facts {
		var all []Call
		for _, words := range calls {
			all = append(all, made("running", 1, words...))
		}
		return facts(t, "direct", all...)
	}
	theirs := parts(plain("b", "c", "/to/"), plain("a", "/to/"))
	if rows, err := Calls(theirs, parts(plain("a", "b", "/to/"), plain("c", "/to/"))); err != nil || met(rows) != "[parts]" {
		t.Errorf("%v %v", met(rows), err)
	}
	if _, err := Calls(theirs, theirs); err == nil {
		t.Error("parts in any order are taken")
	}
}

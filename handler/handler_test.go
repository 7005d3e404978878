package handler_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"lockstep/handler"
	"lockstep/internal/testenv"
)

func maker(t testing.TB, o handler.Options) *handler.Maker {
	t.Helper()
	o.Path, o.Watch, o.Destination = "/h", "/w", "/d"
	m, err := handler.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func make1(t testing.TB, m *handler.Maker, b handler.Batch) handler.Result {
	t.Helper()
	r, err := m.Make(b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func paths(paths ...string) []handler.Entry {
	var out []handler.Entry
	for _, p := range paths {
		out = append(out, handler.Entry{Path: p, Mask: 2})
	}
	return out
}

func content(r handler.Run, name handler.ListName) string {
	for _, l := range r.Lists {
		if l.Name == name {
			return string(l.Content)
		}
	}
	return "none"
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		o    handler.Options
		says string
	}{
		{handler.Options{}, "no mode"},
		{handler.Options{Mode: handler.Shell, Watch: "/w"}, "needs a handler"},
		{handler.Options{Mode: handler.Shell, Path: "/h", Watch: "w"}, "absolute"},
		{handler.Options{Mode: handler.RsyncShell, Path: "/h", Watch: "/w", Simplify: true}, "synclist-simplify"},
		{handler.Options{Mode: handler.Shell, Path: "/h", Watch: "/w", Label: "a\nb"}, "one line"},
		{handler.Options{Mode: handler.RsyncShell, Path: "/h", Watch: "/w", Arguments: []string{"%INCLUDE-LIST%", "%INCLUDE-LIST-PATH%"}}, "beside"},
		{handler.Options{Mode: handler.Direct, Path: "/h", Watch: "/w", MaxBytes: 20}, "shorten"},
	} {
		if _, err := handler.New(c.o); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want an error with %q", c.o, err, c.says)
		}
	}
	if _, err := handler.ParseMode("rsyncdirec"); err == nil || !strings.Contains(err.Error(), "rsyncdirect") {
		t.Errorf("a mode that does not exist: %v", err)
	}
}

// Entries of one path are one; what is above and what is rejected comes along.
func TestRsyncLists(t *testing.T) {
	long := strings.Repeat("x", 200)
	deep := strings.Repeat(long+"/", 20) + "f" // 4021 bytes
	stars := strings.Repeat("*", 200) + "/"
	far := strings.Repeat(stars, 12) + "f" // escaped, longer than a rule can be
	for _, c := range []struct {
		name     string
		mode     handler.Mode
		b        handler.Batch
		inc, exc string
		left     []handler.Left
	}{
		{"function", handler.RsyncSO, handler.Batch{Entries: paths("a/b", "a"), Rejected: []string{"x"}}, "/a\n/a/b\n", "/x\n", nil},
		{"root", handler.RsyncSO, handler.Batch{Entries: []handler.Entry{{}, {Recursive: true}}}, "/***\n", "", nil},
		{"content", handler.RsyncSO, handler.Batch{Entries: []handler.Entry{{Path: "m/n", Content: true}}}, "/m\n/m/n\n/m/n/**\n", "", nil},
		{"content of the root", handler.RsyncSO, handler.Batch{Entries: []handler.Entry{{Content: true}}}, "/**\n", "", nil},
		{"mount", handler.RsyncSO, handler.Batch{Entries: []handler.Entry{{Recursive: true}}, Below: []string{"m*"}}, "/***\n", "/m\\*/**\n", nil},
		{"rejected root", handler.RsyncSO, handler.Batch{Entries: []handler.Entry{{Recursive: true}}, Rejected: []string{""}}, "/***\n", "/**\n", nil},
		{"long", handler.RsyncSO, handler.Batch{Entries: paths(deep)}, "", "", nil},
		{"too long", handler.RsyncSO, handler.Batch{Entries: paths("a", far)}, "/a\n", "", []handler.Left{{Path: far, Why: handler.TooLong}}},
		{"rejected is too long", handler.RsyncSO, handler.Batch{Entries: paths("a"), Rejected: []string{far}}, "/a\n",
			"/" + strings.TrimSuffix(strings.ReplaceAll(strings.Repeat(stars, 10), "*", "\\*"), "/") + "\n",
			[]handler.Left{{Path: far, Rejected: true, Why: handler.TooLong}}},
	} {
		m := maker(t, handler.Options{Mode: c.mode})
		r := make1(t, m, c.b)
		if len(r.Runs) != 1 || r.Runs[0].Argv != nil {
			t.Fatalf("%s: %d runs", c.name, len(r.Runs))
		}
		if inc := content(r.Runs[0], handler.Include); c.inc != "" && inc != c.inc {
			t.Errorf("%s: includes %q, want %q", c.name, inc, c.inc)
		}
		if exc := content(r.Runs[0], handler.Exclude); exc != c.exc {
			t.Errorf("%s: excludes %q, want %q", c.name, exc, c.exc)
		}
		if !slices.Equal(r.Left, c.left) {
			t.Errorf("%s: left %+v, want %+v", c.name, r.Left, c.left)
		}
	}
}

// Where no exclude list is handed over, what holds rejected paths is not handed
// over as a whole.
func TestRejectedNeedsAnExcludeList(t *testing.T) {
	b := handler.Batch{Entries: []handler.Entry{{Path: "d", Recursive: true}}, Rejected: []string{"d/x"}}
	for _, o := range []handler.Options{
		{Mode: handler.RsyncSO, PreferInclude: true},
		{Mode: handler.RsyncDirect, PreferInclude: true},
		{Mode: handler.RsyncShell, Arguments: []string{"%INCLUDE-LIST-PATH%"}},
		{Mode: handler.RsyncShell, Arguments: []string{"%INCLUDE-LIST%"}},
	} {
		if _, err := maker(t, o).Make(b); err == nil || !strings.Contains(err.Error(), "path by path") {
			t.Errorf("%+v: %v", o, err)
		}
		if _, err := maker(t, o).Make(handler.Batch{Entries: b.Entries}); err != nil {
			t.Errorf("%+v, nothing rejected: %v", o, err)
		}
	}
	for _, b := range []handler.Batch{{Entries: paths("a\x00b")}, {Rejected: []string{"a\x00b"}}} {
		if _, err := maker(t, handler.Options{Mode: handler.RsyncSO}).Make(b); err == nil {
			t.Error("a NUL in a path is taken")
		}
	}
}

func TestEntriesOfAPathAreOne(t *testing.T) {
	r := make1(t, maker(t, handler.Options{Mode: handler.SO}), handler.Batch{Status: "running", Iteration: 7, Entries: []handler.Entry{
		{Path: "b", Mask: 256, Old: handler.Absent, New: handler.File},
		{Path: "a", Mask: 2, Old: handler.File, New: handler.File},
		{Path: "b", Mask: 10, Old: handler.File, New: handler.File},
		{Path: "b", Mask: 512, Old: handler.File, New: handler.Absent},
	}})
	want := []handler.Entry{{Path: "a", Mask: 2, Old: handler.File, New: handler.File}, {Path: "b", Mask: 778, Old: handler.Absent, New: handler.Absent}}
	if len(r.Runs) != 1 || !slices.Equal(r.Runs[0].Entries, want) || r.Runs[0].Argv != nil {
		t.Errorf("%+v, want %+v", r.Runs, want)
	}
	if env := []string{"CLSYNC_STATUS=running", "CLSYNC_ITERATION=7"}; !slices.Equal(r.Runs[0].Env, env) {
		t.Errorf("%q", r.Runs[0].Env)
	}
	if r := make1(t, maker(t, handler.Options{Mode: handler.SO}), handler.Batch{}); len(r.Runs) != 0 {
		t.Errorf("nothing makes %d runs", len(r.Runs))
	}
}

func TestRelativeTopDirectory(t *testing.T) {
	m, err := handler.New(handler.Options{Mode: handler.Simple, Path: "/h", Watch: "/"})
	if err != nil {
		t.Fatal(err)
	}
	for rel, want := range map[string]string{"": "/", "a": "/a"} {
		r := make1(t, m, handler.Batch{Entries: paths(rel)})
		if got := handler.Fill(r.Runs[0].Argv, nil); got[len(got)-1] != want {
			t.Errorf("%q of / is %q, want %q", rel, got, want)
		}
	}
}

// size is what execve(2) counts for words.
func size(words []string) int {
	n := 8
	for _, w := range words {
		n += len(w) + 1 + 8
	}
	return n
}

// Each call is within both bounds, no name is lost or twice there, and no call
// could have taken the first name of the next.
func TestWordsAreBounded(t *testing.T) {
	seed := testenv.Number(t, "LOCKSTEP_SEED", rand.Uint64())
	t.Logf("LOCKSTEP_SEED=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		o := handler.Options{Mode: handler.Direct, MaxWords: 4 + rnd.IntN(20), MaxBytes: 120 + rnd.IntN(400)}
		copies := 1
		if rnd.IntN(2) == 0 {
			o.Arguments, copies = []string{"%INCLUDE-LIST%", "%TYPE%%TYPE%", "%INCLUDE-LIST%"}, 2
		}
		if rnd.IntN(4) == 0 {
			o.Mode, o.Recursive = handler.RsyncShell, []string{"%TYPE%", "%INCLUDE-LIST%", "%INCLUDE-LIST%"}
			o.Arguments = []string{"%TYPE%%TYPE%%TYPE%", "%INCLUDE-LIST%"}
			copies = 1
		}
		b := handler.Batch{}
		names := map[string]bool{}
		for range rnd.IntN(60) {
			name := strings.Repeat(string(rune('-'+rnd.IntN(20))), 1+rnd.IntN(40))
			names[name] = true
			b.Entries = append(b.Entries, handler.Entry{Path: name})
		}
		r := make1(t, maker(t, o), b)
		var calls [][]string
		for _, run := range r.Runs {
			words := handler.Fill(run.Argv, nil)
			calls = append(calls, words)
			if len(words) > max(o.MaxWords, 2+copies) || size(words) > o.MaxBytes {
				t.Fatalf("a call of %d words, %d bytes; at most %d, %d", len(words), size(words), o.MaxWords, o.MaxBytes)
			}
			for _, e := range run.Entries {
				if !names[e.Path] {
					t.Fatalf("%q is in two calls, or in none of the batch", e.Path)
				}
				delete(names, e.Path)
			}
		}
		for i := 1; i < len(calls); i++ {
			last, next := len(calls[i-1])+copies, r.Runs[i].Entries[0].Path
			if cost := copies * (len(next) + 1 + 8); last <= o.MaxWords && size(calls[i-1])+cost+20 <= o.MaxBytes {
				t.Fatalf("%q had room in the call before", next)
			}
		}
		for _, l := range r.Left {
			if !names[l.Path] || l.Why != handler.TooLong || len(l.Path)*copies < 20 {
				t.Fatalf("left: %+v", l)
			}
			delete(names, l.Path)
		}
		if len(names) > 0 {
			t.Fatalf("lost: %v", names)
		}
	}
}

// FuzzTemplate: a template never fails, what it makes has the names as they are
// and in their number, and text without a per cent sign is as it was.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"%label%", "%%", "%", "%%label%%", "%nosuch%", "x%INCLUDE-LIST%y", "%INCLUDE-LIST%", "%INCLUDE-LIST-PATH%",
		"%EXCLUDE-LIST-PATH%,%INCLUDE-LIST-PATH%", "%RSYNC-ARGS%", "%PID%%TYPE%%EVENT-MASK%", "100%", "\xff%\x00%"} {
		f.Add(s, "x%TYPE%y", uint8(handler.Direct), false)
		f.Add(s, "-%%", uint8(handler.RsyncShell), true)
	}
	f.Fuzz(func(t *testing.T, template, name string, mode uint8, prefer bool) {
		if strings.ContainsRune(name, 0) || mode == 0 || mode > uint8(handler.RsyncShell) {
			return
		}
		const label = "%watch-dir%" // a value is not expanded either
		o := handler.Options{Mode: handler.Mode(mode), Label: label, PreferInclude: prefer, Arguments: []string{template, "%label%"}, PID: 77}
		r := make1(t, maker(t, o), handler.Batch{Entries: []handler.Entry{{Path: name}}})
		if len(r.Runs) == 0 {
			if len(r.Left) != 1 {
				t.Fatal("the entry is in no run, and not left")
			}
			return
		}
		got := handler.Fill(r.Runs[0].Argv, func(n handler.ListName) string { return "<list>" })
		if got[0] != "/h" || got[len(got)-1] != label {
			t.Fatalf("%q", got)
		}
		first := got[1]
		switch {
		case template == "%INCLUDE-LIST%":
			want := name
			switch {
			case mode == uint8(handler.Simple) && name != "":
				want = "/w/" + name
			case mode == uint8(handler.Simple):
				want = "/w"
			case name == "" && mode == uint8(handler.Direct):
				want = "."
			case name == "":
			case name[0] == '-':
				want = "./" + name
			}
			if len(got) != 3 || first != want {
				t.Fatalf("%q, want the one name %q", got, want)
			}
		case !strings.Contains(template, "%") && first != template:
			t.Fatalf("%q became %q", template, first)
		case template == "%RSYNC-ARGS%", prefer && template == "%EXCLUDE-LIST-PATH%":
		case len(got) != 3:
			t.Fatalf("%q: %d words", template, len(got))
		case strings.Count(template, "%") < 2 && first != template:
			t.Fatalf("%q became %q", template, first)
		}
	})
}

// What no recording can show, because clsync ends there, and neighbours of it.
func TestMacros(t *testing.T) {
	for template, want := range map[string]string{
		"%%": "%", "%%label%%": "%label%", "%%%label%%%": "%l%", "50%%": "50%", "%": "%", "100%": "100%", "%label": "%label",
		"%label%%label%": "ll", "%Label%": "%Label%", "% %": "% %", "%retries%": "3", "%PID%": "%PID%", "a%label%\xff": "al\xff",
		"%INCLUDE-LIST%%INCLUDE-LIST%": "", "%%INCLUDE-LIST%%": "%INCLUDE-LIST%",
	} {
		m := maker(t, handler.Options{Mode: handler.Shell, Label: "l", Values: map[string]string{"retries": "3"}, Arguments: []string{"%INCLUDE-LIST-PATH%", template}})
		r := make1(t, m, handler.Batch{Entries: paths("a")})
		got := handler.Fill(r.Runs[0].Argv, func(handler.ListName) string { return "/list" })
		if !slices.Equal(got, []string{"/h", "/list", want}) {
			t.Errorf("%q: %q, want %q", template, got, want)
		}
	}
}

// A list is cut where it would be longer than it may be; every path is in one, and
// one path that is longer by itself goes alone.
func TestListsAreCut(t *testing.T) {
	const most = 1000
	deep := strings.TrimSuffix(strings.Repeat("d/", 100), "/") // 100 lines, 10,000 bytes
	var entries []handler.Entry
	for i := range 200 {
		entries = append(entries, handler.Entry{Path: fmt.Sprintf("file%03d", i), Mask: 8, New: handler.File})
	}
	entries = append(entries, handler.Entry{Path: deep, Mask: 8, New: handler.File}, handler.Entry{Path: deep + "x", Mask: 8, New: handler.File})
	for _, mode := range []handler.Mode{handler.Shell, handler.RsyncShell} {
		m, err := handler.New(handler.Options{Mode: mode, Path: "/h", Label: "l", Watch: "/w", Destination: "/d", MaxList: most})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]int{}
		calls := 0
		left, err := m.Each(handler.Batch{Entries: entries}, func(r handler.Run) error {
			calls++
			for _, e := range r.Entries {
				got[e.Path]++
			}
			if n := len(r.Lists[0].Content); n > most && len(r.Entries) > 1 {
				t.Errorf("%v: a list of %d bytes for %d paths", mode, n, len(r.Entries))
			}
			return nil
		})
		if err != nil || len(left) > 0 || len(got) != len(entries) || calls < 3 || calls > 10 {
			t.Errorf("%v: %d calls, %d paths, %v %v", mode, calls, len(got), left, err)
		}
		for path, n := range got {
			if n != 1 {
				t.Errorf("%v: %s is in %d calls", mode, path, n)
			}
		}
	}
}

// An error of who makes the calls ends them.
func TestEachEnds(t *testing.T) {
	entries := []handler.Entry{{Path: "a", Mask: 8, New: handler.File}, {Path: "b", Mask: 8, New: handler.File}, {Path: "c", Mask: 8, New: handler.File}}
	boom := errors.New("boom")
	for _, mode := range []handler.Mode{handler.Simple, handler.Direct, handler.Shell, handler.RsyncShell, handler.RsyncDirect} {
		m, err := handler.New(handler.Options{Mode: mode, Path: "/h", Label: "l", Watch: "/w", Destination: "/d", MaxList: 1, MaxWords: 3})
		if err != nil {
			t.Fatal(err)
		}
		calls := 0
		if _, err := m.Each(handler.Batch{Entries: entries}, func(handler.Run) error { calls++; return boom }); !errors.Is(err, boom) || calls != 1 {
			t.Errorf("%v: %d calls, %v", mode, calls, err)
		}
	}
}

// What one call of a function has is bounded by paths and by bytes; a name that is
// too long is left, and said to be; nothing else is lost, and none is told twice.
func TestFunctionCallsAreCut(t *testing.T) {
	seed := testenv.Number(t, "LOCKSTEP_SEED", rand.Uint64())
	t.Logf("LOCKSTEP_SEED=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for range 200 {
		o := handler.Options{Mode: handler.SO, MaxPaths: 1 + rnd.IntN(5), MaxName: 10 + rnd.IntN(20), MaxList: 20 + rnd.IntN(60)}
		want := map[string]bool{}
		long := map[string]bool{}
		var all []handler.Entry
		for i := range rnd.IntN(40) {
			e := handler.Entry{Path: fmt.Sprintf("%d%s", i, strings.Repeat("x", rnd.IntN(32))), Mask: 8, Recursive: rnd.IntN(8) == 0}
			name := e.Path
			if e.Recursive {
				name = "/w/" + e.Path
			}
			all = append(all, e)
			if len(name) > o.MaxName {
				long[e.Path] = true
			} else {
				want[name] = true
			}
		}
		got := make1(t, maker(t, o), handler.Batch{Entries: all})
		for i, run := range got.Runs {
			if len(run.Names) != len(run.Entries) || len(run.Names) == 0 || len(run.Names) > o.MaxPaths || len(run.Argv) > 0 {
				t.Fatalf("%+v: a call of %d names, %d entries", o, len(run.Names), len(run.Entries))
			}
			size := 0
			for n, name := range run.Names {
				size += len(name)
				if !want[name] || !strings.HasSuffix(name, run.Entries[n].Path) || run.Entries[n].Recursive && len(run.Names) > 1 {
					t.Fatalf("%+v: %q of %+v", o, name, run.Entries[n])
				}
				delete(want, name)
			}
			if size > o.MaxList && len(run.Names) > 1 {
				t.Fatalf("%+v: %d bytes in a call", o, size)
			}
			if i == 0 || run.Entries[0].Recursive || got.Runs[i-1].Entries[0].Recursive {
				continue
			}
			if last := got.Runs[i-1].Names; len(last) < o.MaxPaths && len(strings.Join(last, ""))+len(run.Names[0]) <= o.MaxList {
				t.Fatalf("%+v: %q would have had room for %q", o, last, run.Names[0])
			}
		}
		for _, l := range got.Left {
			if !long[l.Path] || l.Why != handler.TooLong {
				t.Fatalf("%+v: left %+v", o, l)
			}
			delete(long, l.Path)
		}
		if len(want)+len(long) > 0 {
			t.Fatalf("%+v: lost: %v %v", o, want, long)
		}
	}
}

// Without bounds a function gets all that is no whole directory in one call.
func TestFunctionWithoutBounds(t *testing.T) {
	got := make1(t, maker(t, handler.Options{Mode: handler.SO}), handler.Batch{Entries: append(paths("a", strings.Repeat("x", 9000)), handler.Entry{Path: "d", Recursive: true}, handler.Entry{Recursive: true})})
	var calls []string
	for _, run := range got.Runs {
		calls = append(calls, fmt.Sprintf("%d %.5s", len(run.Names), run.Names[0]))
	}
	if want := []string{"1 /w", "1 /w/d", "2 a"}; !slices.Equal(calls, want) || len(got.Left) > 0 {
		t.Errorf("%q, left %v", calls, got.Left)
	}
}

package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"lockstep/ipc"
	"lockstep/rsync"
	"lockstep/rules"
	"lockstep/worker/links"
	"lockstep/worker/queue"
)

// tree answers stats as the kernel would: of what is below a non-directory it
// says ENOTDIR, below a link ELOOP, below nothing ENOENT.
type tree map[string]ipc.PathStat

func (tr tree) stat(rel string) ipc.PathStat {
	for _, dir := range above(rel) {
		s, ok := tr[dir]
		switch {
		case !ok:
			return ipc.PathStat{Status: enoent}
		case s.Status != ipc.OK:
			return s
		case s.Kind == ipc.KindLink:
			return ipc.PathStat{Status: eloop}
		case s.Kind != ipc.KindDir:
			return ipc.PathStat{Status: enotdir}
		}
	}
	if s, ok := tr[rel]; ok {
		return s
	}
	return ipc.PathStat{Status: enoent}
}

func file(ino uint64, nlink uint32) ipc.PathStat {
	return ipc.PathStat{Kind: ipc.KindFile, Ino: ino, Nlink: nlink, Size: 10}
}

func kind(k ipc.Kind) ipc.PathStat { return ipc.PathStat{Kind: k, Nlink: 1, Ino: 1000} }

var (
	dirStat  = ipc.PathStat{Kind: ipc.KindDir, Nlink: 2}
	fileStat = file(500, 1)
)

func finish(t *testing.T, p *Plan, tr tree) {
	t.Helper()
	for range 10 {
		need := p.Need()
		if len(need) == 0 {
			return
		}
		for _, rel := range need {
			p.Feed(rel, tr.stat(rel))
		}
	}
	t.Fatalf("still needs %q", p.Need())
}

// show writes a plan as text: what a test wants is then easy to read.
func show(p *Plan) string {
	var out []string
	names := map[ipc.JobKind]string{ipc.JobList: "list", ipc.JobWide: "wide", ipc.JobAttr: "attr", ipc.JobPrune: "prune"}
	for _, j := range p.Jobs() {
		var ents []string
		for _, e := range j.Entries {
			ents = append(ents, e.Rel)
		}
		parts := strings.Split(strings.TrimSuffix(string(j.List), "\x00"), "\x00")
		out = append(out, fmt.Sprintf("%s %s for %s", names[j.Kind], strings.Join(parts, ","), strings.Join(ents, ",")))
	}
	add := func(word string, rels []string) {
		if len(rels) > 0 {
			out = append(out, word+" "+strings.Join(rels, ","))
		}
	}
	add("deferred", p.Deferred())
	add("skipped", p.Skipped())
	for _, e := range p.Failed() {
		out = append(out, "failed "+e.Rel)
	}
	for _, rel := range p.TooLong() {
		out = append(out, fmt.Sprintf("long %d", len(rel)))
	}
	for _, ino := range p.Search() {
		out = append(out, fmt.Sprintf("search %d/%d", ino, p.Nlink(ino)))
	}
	if p.Whole() {
		out = append(out, "whole")
	}
	return strings.Join(out, "; ")
}

func TestPlan(t *testing.T) {
	const (
		attr, content, name = queue.Attr, queue.Content, queue.Name
		replaced            = queue.Replaced | queue.Name
	)
	type marks map[string]queue.Change
	long := strings.Repeat("d/", 2047) + "ab"
	for _, c := range []struct {
		what  string
		tree  tree
		marks marks
		opt   Options
		want  string
	}{
		{"content, name and attributes", tree{"a": fileStat, "b": fileStat, "c": fileStat},
			marks{"a": content, "b": name, "c": attr}, Options{}, "list ./a,./b for a,b; attr ./c for c"},
		{"many that are independent", tree{"a": fileStat, "b": fileStat, "c": fileStat},
			marks{"a": content, "b": name, "c": attr}, Options{Wide: 2}, "wide ./a,./b for a,b; attr ./c for c"},
		{"not many", tree{"a": fileStat, "b": fileStat, "c": fileStat},
			marks{"a": content, "b": name, "c": attr}, Options{Wide: 3}, "list ./a,./b for a,b; attr ./c for c"},
		{"many, and several names of one", tree{"a": fileStat, "d": dirStat, "d/g": file(7, 2), "h": file(7, 2), "z": fileStat},
			marks{"a": name, "d": name, "d/g": name, "h": name, "z": name}, Options{Wide: 2}, "wide ./a,./d,./z for a,d,z; list ./d/g,./h for d/g,h"},
		{"many names of one", tree{"a": file(7, 2), "b": file(7, 2), "c": fileStat},
			marks{"a": name, "b": name, "c": name}, Options{Wide: 2}, "list ./a,./b,./c for a,b,c"},
		{"a directory", tree{"d": dirStat}, marks{"d": name}, Options{}, "list ./d for d"},
		{"a link, a FIFO", tree{"l": kind(ipc.KindLink), "p": kind(ipc.KindFIFO)}, marks{"l": name, "p": name}, Options{}, "list ./l,./p for l,p"},
		{"gone", tree{"d": dirStat}, marks{"d/x": name}, Options{}, "list ./d,./d/x for d/x"},
		{"gone from the root", tree{}, marks{"x": name}, Options{}, "list ./x for x"},
		{"gone after attributes", tree{}, marks{"x": attr}, Options{}, "list ./x for x"},
		{"a tree is gone: its top alone", tree{"d": dirStat}, marks{"d/t/a": name, "d/t/s/b": content, "d/t": replaced, "d": attr},
			Options{}, "list ./d,./d/t for d,d/t,d/t/a,d/t/s/b"},
		{"only below a gone tree", tree{"d": dirStat}, marks{"d/t/s/b": content}, Options{}, "list ./d,./d/t for d/t/s/b"},
		{"below a link", tree{"l": kind(ipc.KindLink)}, marks{"l/x/y": name}, Options{}, "list ./l for l/x/y"},
		{"below a file", tree{"f": fileStat}, marks{"f/x": attr, "f/y/z": name}, Options{}, "list ./f for f/x,f/y/z"},
		{"below a socket", tree{"s": kind(ipc.KindSocket)}, marks{"s/x": name, "s": name}, Options{},
			"prune H /s,+ /s,+ /s/***,- * for s,s/x; skipped s"},
		{"a socket", tree{"p": dirStat, "p/s": kind(ipc.KindSocket)}, marks{"p/s": name}, Options{},
			"list ./p for p/s; prune H /p/s,+ /p/,+ /p/s,+ /p/s/***,- * for p/s; skipped p/s"},
		{"a socket's attributes", tree{"s": kind(ipc.KindSocket)}, marks{"s": attr}, Options{}, "skipped s"},
		{"a device", tree{"d": kind(ipc.KindBlock)}, marks{"d": attr | content}, Options{}, "skipped d"},
		{"devices are copied, sockets never", tree{"d": kind(ipc.KindChar), "s": kind(ipc.KindSocket)}, marks{"d": name, "s": attr},
			Options{Devices: true}, "list ./d for d; skipped s"},
		{"a replaced directory", tree{"a": dirStat, "a/d": dirStat}, marks{"a/d": replaced}, Options{},
			"list ./a/d for a/d; prune + /a/,+ /a/d/***,- * for a/d"},
		{"replaced directories and a mount", tree{"a": dirStat, "a/d": dirStat, "b": dirStat}, marks{"a/d": replaced, "a": replaced, "b": replaced, "a/m/x": content},
			Options{Mounts: []string{"a/m"}}, "list ./a,./a/d,./b for a,a/d,b; prune - /a/m,+ /a/***,+ /a/,+ /a/d/***,+ /b/***,- * for a,a/d,b"},
		{"a replaced directory and what cannot be read", tree{"a": dirStat}, marks{"a": replaced},
			Options{Mounts: []string{"m"}, Unknown: func() []string {
				return []string{"elsewhere", "a.", "a/b*", "a/l/" + strings.Repeat("l", rsync.MaxRel)}
			}},
			`list ./a for a; prune - /m,- /a/b\*,- /a/l,+ /a/***,- * for a`},
		{"wildcards in a rule", tree{"[a]*": dirStat}, marks{"[a]*": replaced}, Options{}, `list ./[a]* for [a]*; prune + /\[a]\*/***,- * for [a]*`},
		{"the root with others", tree{"a": fileStat}, marks{"": attr, "a": content}, Options{}, "list ./a for ,a"},
		{"the root alone", tree{}, marks{"": attr}, Options{}, "attr ./.lockstep-none for "},
		{"the root and a prune", tree{"s": kind(ipc.KindSocket)}, marks{"": attr, "s": name}, Options{},
			"prune H /s,+ /s,+ /s/***,- * for s; attr ./.lockstep-none for ; skipped s"},
		{"the root in doubt", tree{}, marks{"": queue.Replaced}, Options{}, "whole"},
		{"big", tree{"b": {Kind: ipc.KindFile, Nlink: 1, Size: 100}, "s": fileStat}, marks{"b": content, "s": content},
			Options{BigSize: 100}, "list ./s for s; deferred b"},
		{"a stat fails", tree{"a": {Status: 5}, "b": {Status: ipc.StatusTimeout}, "c/d": {}, "c": {Status: 5}},
			marks{"a": content, "b": name, "c/d": name}, Options{}, "failed a; failed b; failed c/d"},
		{"another file system", tree{"m": {Status: exdev}}, marks{"m": name}, Options{}, "skipped m"},
		{"too long", tree{}, marks{long: name, strings.Repeat("n", 256): name}, Options{}, "long 4096; long 256"},
		{"the longest", tree{}, marks{long[:rsync.MaxRel-1] + "x": name}, Options{}, "list ./d for " + long[:rsync.MaxRel-1] + "x"},
	} {
		t.Run(c.what, func(t *testing.T) {
			var entries []queue.Entry
			for rel, change := range c.marks {
				entries = append(entries, queue.Entry{Rel: rel, Change: change})
			}
			slices.SortFunc(entries, func(a, b queue.Entry) int { return strings.Compare(a.Rel, b.Rel) })
			p := New(entries, c.opt, links.New())
			finish(t, p, c.tree)
			if got := show(p); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestExcluded(t *testing.T) {
	const replaced = queue.Replaced | queue.Name
	for _, c := range []struct {
		what, patterns string
		stat           ipc.PathStat // of "x"
		change         queue.Change
		inexact        bool
		want           string
	}{
		{"out", "x", fileStat, queue.Content, false, ""},
		{"out and gone", "x", ipc.PathStat{Status: enoent}, queue.Name, true, ""},
		{"a file where directories are out", "x/", fileStat, queue.Name, true, "list ./x for x"},
		{"a directory that is out, perhaps a file before", "x/", dirStat, queue.Name, false, "prune H /x,+ /x,- * for x"},
		{"the same, inexact", "x/", dirStat, queue.Name, true, "whole"},
		{"only its attributes", "x/", dirStat, queue.Attr, true, ""},
		{"gone: a file or a directory that was out", "x/", ipc.PathStat{Status: enoent}, queue.Name, false, "prune + /x,- * for x"},
		{"a file that is out, perhaps a directory before", "x\n!x/", fileStat, queue.Name, false, "prune H /x,+ /x/***,- * for x"},
		{"a directory went, in which something may be protected", "*.o", ipc.PathStat{Status: enoent}, replaced, false, "prune + /x,+ /x/***,- * for x"},
		{"a file went", "*.o", ipc.PathStat{Status: enoent}, queue.Name, false, "list ./x for x"},
		{"replaced", "*.o", dirStat, replaced, false, "list ./x for x; prune + /x/***,- * for x"},
		{"replaced, inexact", "*.o", dirStat, replaced, true, "whole"},
	} {
		t.Run(c.what, func(t *testing.T) {
			set, err := rules.New(strings.Split(c.patterns, "\n"))
			must(t, err)
			p := New([]queue.Entry{{Rel: "x", Change: c.change}}, Options{Excluded: set.Excluded, InexactExcludes: c.inexact}, links.New())
			finish(t, p, tree{"x": c.stat})
			if got := show(p); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestLinks(t *testing.T) {
	idx := links.New()
	tr := tree{"a": file(7, 3), "d": dirStat, "d/b": file(7, 3), "z": file(7, 3)}
	entries := []queue.Entry{{Rel: "d/b", Change: queue.Name}}
	p := New(entries, Options{}, idx)
	finish(t, p, tr)
	if got := show(p); got != "search 7/3" {
		t.Fatal(got)
	}
	for rel, s := range tr {
		if s.Kind == ipc.KindFile {
			idx.Set(rel, s.Ino, s.Nlink)
		}
	}
	idx.Searched(7, 3)
	p = New(entries, Options{}, idx)
	finish(t, p, tr)
	if got := show(p); got != "list ./a,./d/b,./z for d/b" {
		t.Fatal(got)
	}
	// Attributes of one name are those of all.
	p = New([]queue.Entry{{Rel: "a", Change: queue.Attr}}, Options{}, idx)
	finish(t, p, tr)
	if got := show(p); got != "attr ./a,./d/b,./z for a" {
		t.Fatal(got)
	}
	// One name is gone, one is another file now: the first is listed as
	// missing, the second has an event of its own.
	tr = tree{"a": file(7, 1), "z": file(8, 1), "d": dirStat}
	var told []string
	idx.Left = func(rel string, ino uint64) { told = append(told, rel) }
	p = New([]queue.Entry{{Rel: "a", Change: queue.Content}}, Options{}, idx)
	finish(t, p, tr)
	if got := show(p); got != "list ./a for a" {
		t.Fatal(got) // one link: the others are no names of it any more
	}
	tr["a"] = file(7, 2)
	tr["new"] = file(7, 2)
	for _, rel := range []string{"a", "d/b", "new", "z"} {
		idx.Set(rel, 7, 3)
	}
	p = New([]queue.Entry{{Rel: "a", Change: queue.Attr}}, Options{}, idx)
	finish(t, p, tr)
	if got := show(p); got != "list ./d,./d/b for ; attr ./a,./new for a" {
		t.Fatal(got)
	}
	if got := strings.Join(idx.Names(7), " "); got != "a new" || !slices.Contains(told, "d/b") {
		t.Fatal(got, told)
	}
	// All names of a big file go to the other lane.
	p = New([]queue.Entry{{Rel: "a", Change: queue.Content}, {Rel: "new", Change: queue.Name}}, Options{BigSize: 10}, idx)
	finish(t, p, tr)
	if got := show(p); got != "deferred a,new" {
		t.Fatal(got)
	}
}

// TestRaces: stats taken at different times contradict each other; the list
// must fit in itself all the same.
func TestRaces(t *testing.T) {
	entries := []queue.Entry{{Rel: "a", Change: queue.Name}, {Rel: "a/b/c", Change: queue.Content}, {Rel: "x/y", Change: queue.Content}}
	p := New(entries, Options{}, links.New())
	p.Need()
	p.Feed("a/b/c", fileStat)                    // was there
	p.Feed("a", ipc.PathStat{Status: enoent})    // and then its directory was not
	p.Feed("x/y", ipc.PathStat{Status: enotdir}) // was below a file
	if got := p.Need(); !slices.Equal(got, []string{"x"}) {
		t.Fatalf("needs %q", got)
	}
	p.Feed("x", dirStat) // which then was a directory
	if len(p.Need()) != 0 {
		t.Fatalf("needs %q", p.Need())
	}
	if got := show(p); got != "list ./a for a,a/b/c; failed x/y" {
		t.Fatal(got)
	}
}

func TestListSize(t *testing.T) {
	var entries []queue.Entry
	tr := tree{}
	name := strings.Repeat("n", 200)
	dir := strings.TrimSuffix(strings.Repeat(name+"/", 19), "/")
	for _, d := range append(above(dir), dir) {
		tr[d] = dirStat
	}
	for i := range 5000 { // 19 MB of names
		rel := fmt.Sprintf("%s/f%04d", dir, i)
		tr[rel] = fileStat
		entries = append(entries, queue.Entry{Rel: rel, Change: queue.Content})
	}
	p := New(entries, Options{}, links.New())
	finish(t, p, tr)
	n := 0
	for _, j := range p.Jobs() {
		if len(j.List) > ipc.MaxList {
			t.Fatal("too long a list")
		}
		n += len(j.Entries)
	}
	if len(p.Jobs()) != 2 || n != 5000 {
		t.Fatalf("%d jobs, %d entries", len(p.Jobs()), n)
	}
	// Names of one inode cannot be split.
	idx := links.New()
	for _, e := range entries {
		tr[e.Rel] = file(7, 5000)
		idx.Set(e.Rel, 7, 5000)
	}
	p = New(entries[:1], Options{}, idx)
	finish(t, p, tr)
	if !p.Whole() || p.Jobs() != nil {
		t.Fatal("a list that cannot be made")
	}
}

func TestFailing(t *testing.T) {
	e := func(rel string) queue.Entry { return queue.Entry{Rel: rel} }
	jobs := []Job{{Entries: []queue.Entry{e("a"), e("b")}}, {Entries: []queue.Entry{e("b"), e("c")}}}
	var got []string
	for _, x := range Failing(jobs, []queue.Entry{e("c"), e("d")}) {
		got = append(got, x.Rel)
	}
	if !slices.Equal(got, []string{"a", "b", "c", "d"}) {
		t.Fatalf("%q", got)
	}
}

// TestListsPassTheHelper: whatever the marks and stats, what a plan makes
// passes the helper's own checks.
func FuzzPlan(f *testing.F) {
	f.Add("a\na/b\nc/d/e", []byte{1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Fuzz(func(t *testing.T, names string, bytes []byte) {
		next := func() byte {
			if len(bytes) == 0 {
				return 0
			}
			b := bytes[0]
			bytes = bytes[1:]
			return b
		}
		seen := map[string]bool{}
		var entries []queue.Entry
		for rel := range strings.SplitSeq(names, "\n") {
			if !ipc.IsRel(rel) || seen[rel] {
				continue
			}
			seen[rel] = true
			entries = append(entries, queue.Entry{Rel: rel, Change: queue.Change(next())})
		}
		p := New(entries, Options{Mounts: []string{"m"}, BigSize: 200}, links.New())
		for range 50 {
			need := p.Need()
			if len(need) == 0 {
				break
			}
			for _, rel := range need {
				b := next()
				s := ipc.PathStat{Kind: ipc.Kind(b % 8), Nlink: uint32(b%3) + 1, Ino: uint64(b % 4), Size: uint64(b)}
				if b > 200 {
					s = ipc.PathStat{Status: []ipc.Status{enoent, enotdir, eloop, 5}[b%4]}
				}
				p.Feed(rel, s)
			}
		}
		if len(p.Need()) > 0 {
			t.Fatalf("needs %q for ever", p.Need())
		}
		for _, j := range p.Jobs() {
			err := ipc.CheckList(j.List)
			if j.Kind == ipc.JobPrune {
				err = ipc.CheckRules(j.List)
			}
			if err != nil {
				t.Fatalf("job %d %q: %v", j.Kind, j.List, err)
			}
		}
	})
}

// What is new, has changed again or was missing is looked at anew, and no more.
func TestExtend(t *testing.T) {
	tr := tree{"d": dirStat, "d/same": fileStat, "d/again": fileStat}
	entry := func(rel string) queue.Entry {
		return queue.Entry{Rel: rel, Change: queue.Name | queue.Content}
	}
	entries := []queue.Entry{entry("d/again"), entry("d/late"), entry("d/same")}
	p := New(entries, Options{}, links.New())
	finish(t, p, tr)

	tr["d/again"], tr["d/late"] = kind(ipc.KindSocket), fileStat
	p.Extend(append(entries, entry("d/zeal")), []string{"d/again", "d/zeal"})
	if need := p.Need(); !slices.Equal(need, []string{"d/again", "d/late", "d/zeal"}) {
		t.Errorf("it needs %q", need)
	}
	finish(t, p, tr)
	fresh := New(append(entries, entry("d/zeal")), Options{}, links.New())
	finish(t, fresh, tr)
	if got, want := show(p), show(fresh); got != want || !slices.Equal(p.Skipped(), []string{"d/again"}) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func BenchmarkPlan(b *testing.B) {
	var entries []queue.Entry
	tr := tree{}
	for d := range 200 {
		dir := fmt.Sprintf("src/d%03d", d)
		tr["src"], tr[dir] = dirStat, dirStat
		entries = append(entries, queue.Entry{Rel: dir, Change: queue.Attr})
		for f := range 100 {
			rel := fmt.Sprintf("%s/file%03d", dir, f)
			tr[rel] = fileStat
			entries = append(entries, queue.Entry{Rel: rel, Change: queue.Content | queue.Name})
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		p := New(entries, Options{}, links.New())
		for need := p.Need(); len(need) > 0; need = p.Need() {
			for _, rel := range need {
				p.Feed(rel, tr[rel])
			}
		}
		if len(p.Jobs()) != 1 { // the directories ride along
			b.Fatal(len(p.Jobs()))
		}
	}
}

package plan

import (
	"fmt"
	"strings"
	"testing"

	"lockstep/handler"
	"lockstep/ipc"
	"lockstep/rules"
	"lockstep/worker/links"
	"lockstep/worker/queue"
)

// showTold writes the lists for a handler as text.
func showTold(t *testing.T, p *Plan) string {
	t.Helper()
	var out []string
	for _, j := range p.Jobs() {
		if j.Kind != ipc.JobList {
			t.Errorf("a job of kind %d", j.Kind)
		}
		if err := ipc.CheckList(j.List); err != nil {
			t.Error(err)
		}
		told, err := handler.ReadTold(j.List)
		if err != nil {
			t.Error(err)
		}
		for _, one := range told {
			text := fmt.Sprintf("%s=%x", one.Path, one.Mask)
			if one.Recursive {
				text += "r"
			}
			out = append(out, text)
		}
		var ents []string
		for _, e := range j.Entries {
			ents = append(ents, e.Rel)
		}
		out = append(out, "for "+strings.Join(ents, ","))
	}
	if p.Whole() {
		out = append(out, "whole")
	}
	if len(p.Deferred()) > 0 {
		out = append(out, "deferred "+strings.Join(p.Deferred(), ","))
	}
	if len(p.Skipped()) > 0 {
		out = append(out, "skipped "+strings.Join(p.Skipped(), ","))
	}
	return strings.Join(out, " ")
}

func TestTold(t *testing.T) {
	const attr, content, name, replaced = queue.Attr, queue.Content, queue.Name, queue.Replaced
	set, err := rules.New([]string{"*.bak", "only/"})
	if err != nil {
		t.Fatal(err)
	}
	type marks map[string]queue.Change
	paths, lists := Options{Tell: TellPaths}, Options{Tell: TellRsync}
	excluding := Options{Tell: TellRsync, Excluded: set.Excluded}
	for _, c := range []struct {
		what  string
		tree  tree
		marks marks
		opt   Options
		want  string
	}{
		{"each change has its mark", tree{"a": fileStat, "b": fileStat, "c": fileStat, "d": dirStat},
			marks{"a": content, "b": name | content, "c": attr, "d": name | attr}, paths, "a=8 b=108 c=4 d=40000104 for a,b,c,d"},
		{"the topmost that is gone", tree{"a": fileStat}, marks{"d/e/f": name, "g": name}, paths, "d=40000200 g=200 for d/e/f,g"},
		{"below what is no directory", tree{"a": fileStat}, marks{"a/b": name}, paths, "a=108 for a/b"},
		{"the root", tree{}, marks{"": attr}, paths, "=40000004 for "},
		{"another directory", tree{"d": dirStat}, marks{"d": attr | replaced}, lists, "d=40000004r for d"},
		{"a directory in doubt, of which nothing else is told, for who has no lists", tree{"d": dirStat}, marks{"d": attr | replaced}, paths, "d=40000004 for d"},
		{"a directory was exchanged for another", tree{"d": dirStat, "d/f": fileStat, "d.old": dirStat}, marks{"d": name | attr | replaced, "d/f": name | content, "d.old": name | attr | replaced, "d.new": name},
			paths, "d=40000304 d.new=200 d.old=40000304 d/f=108 for d,d.new,d.old,d/f"},
		{"a directory went and came", tree{"d": dirStat, "f": fileStat}, marks{"d": name | attr | replaced, "f": name | replaced}, paths, "d=40000304 f=300 for d,f"},
		{"another directory, and something is left out", tree{"d": dirStat}, marks{"d": attr | replaced}, excluding, "whole"},
		{"another directory, and something is mounted", tree{"d": dirStat}, marks{"d": replaced}, Options{Tell: TellRsync, Mounts: []string{"m"}}, "whole"},
		{"a directory became a file", tree{"d": fileStat}, marks{"d": name | replaced}, excluding, "d=100r for d"},
		{"the root is another", tree{}, marks{"": replaced}, paths, "whole"},
		{"left out", tree{"x.bak": fileStat, "only": dirStat, "f": fileStat}, marks{"x.bak": name, "only": name, "f": name}, excluding, "f=100 for f"},
		{"gone, and left out as a directory alone", tree{}, marks{"only": name, "y.bak": name}, excluding, "only=200 for only"},
		{"sockets", tree{"s": kind(ipc.KindSocket), "c": kind(ipc.KindChar)}, marks{"s": name, "c": name}, paths, "c=200 s=200 for c,s skipped c,s"},
		{"sockets whose attributes alone changed", tree{"s": kind(ipc.KindSocket)}, marks{"s": attr}, paths, "skipped s"},
		{"sockets, for who has lists", tree{"s": kind(ipc.KindSocket)}, marks{"s": name}, lists, "skipped s"},
		{"a newline, in lines", tree{"a\nb": fileStat, "c": fileStat}, marks{"a\nb": content, "c": content, "d\n": name}, Options{Tell: TellLines}, "a\nb=8 c=8 d\n=200 for a\nb,c,d\n skipped a\nb,d\n"},
		{"a newline, in words", tree{"a\nb": fileStat}, marks{"a\nb": content}, paths, "a\nb=8 for a\nb"},
		{"devices", tree{"c": kind(ipc.KindChar)}, marks{"c": name}, Options{Tell: TellPaths, Devices: true}, "c=100 for c"},
		{"a big file", tree{"f": fileStat}, marks{"f": content}, Options{Tell: TellPaths, BigSize: 5}, "deferred f"},
	} {
		var entries []queue.Entry
		for rel, change := range c.marks {
			entries = append(entries, queue.Entry{Rel: rel, Change: change})
		}
		p := New(entries, c.opt, links.New())
		finish(t, p, c.tree)
		if got := showTold(t, p); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.what, got, c.want)
		}
	}
}

// What is written through one name is told of each: another name may be all that
// the handler's copy knows it by.
func TestToldSharesInodes(t *testing.T) {
	idx := links.New()
	idx.Set("a", 7, 3)
	idx.Set("d/b", 7, 3)
	idx.Set("gone", 7, 3)
	p := New([]queue.Entry{{Rel: "a", Change: queue.Content}}, Options{Tell: TellRsync}, idx)
	finish(t, p, tree{"a": file(7, 3), "d": dirStat, "d/b": file(7, 3)})
	if got := showTold(t, p); got != "a=8 d/b=c gone=200 for a" {
		t.Error(got)
	}
	if len(p.Search()) > 0 {
		t.Error("the tree is searched for names")
	}
}

// What does not fit into a list goes into another.
func TestToldManyLists(t *testing.T) {
	var entries []queue.Entry
	tr := tree{}
	long := strings.Repeat("n", 200)
	const n = ipc.MaxList/200 + 10
	for i := range n {
		rel := fmt.Sprintf("%s%06d", long, i)
		entries, tr[rel] = append(entries, queue.Entry{Rel: rel, Change: queue.Content}), fileStat
	}
	p := New(entries, Options{Tell: TellPaths}, links.New())
	finish(t, p, tr)
	total := 0
	for _, j := range p.Jobs() {
		if len(j.List) > ipc.MaxList {
			t.Errorf("a list of %d bytes", len(j.List))
		}
		total += len(j.Entries)
	}
	if len(p.Jobs()) != 2 || total != n {
		t.Errorf("%d jobs with %d entries", len(p.Jobs()), total)
	}
}

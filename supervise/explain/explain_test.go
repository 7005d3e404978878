package explain

import (
	"strings"
	"testing"

	"lockstep/config"
)

func TestWrite(t *testing.T) {
	s := config.Sync{
		Name: "www", Exclude: []string{"*.tmp", "!keep.tmp", "/cache/"},
		Rules: []string{"# what is watched", "+f^keep/", `-f\.bak$`, "-w^shut$", "-s^hidden$", "-m^still$"},
	}
	d, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	const free = "permitted: no rule says anything"
	dir := func(rel string) []string {
		return []string{"  sync     " + rel + ": " + free, "  walk     " + rel + ": " + free, "  monitor  " + rel + ": " + free}
	}
	root := dir("the source itself")
	for _, c := range []struct {
		path Path
		want [][]string
	}{
		{Path{"a.tmp", false}, [][]string{{"www: a.tmp, as a file"}, root, {"  exclude  a.tmp: left out by exclude pattern *.tmp",
			"  so it is left out: it is neither copied nor deleted on a target (excluded: a.tmp)"}}},
		{Path{"keep.tmp", false}, [][]string{{"www: keep.tmp, as a file"}, root, {"  exclude  keep.tmp: brought back by exclude pattern !keep.tmp",
			"  sync     keep.tmp: " + free, "  so it is copied"}}},
		{Path{"cache/x/y", false}, [][]string{{"www: cache/x/y, as a file"}, root, {"  exclude  cache: left out by exclude pattern /cache/",
			"  so it is left out: it is neither copied nor deleted on a target (excluded: cache)"}}},
		{Path{"d/x.bak", false}, [][]string{{"www: d/x.bak, as a file"}, root, dir("d"), {`  sync     d/x.bak: rejected by rules:3: -f\\.bak$`,
			"  so it is left out: it is neither copied nor deleted on a target (not synced: d/x.bak)"}}},
		{Path{"keep/x.bak", false}, [][]string{{"www: keep/x.bak, as a file"}, root, dir("keep"), {"  sync     keep/x.bak: permitted by rules:2: +f^keep/", "  so it is copied"}}},
		{Path{"shut/x", false}, [][]string{{"www: shut/x, as a file"}, root, {"  sync     shut: " + free, "  walk     shut: rejected by rules:4: -w^shut$", "  monitor  shut: " + free,
			"  so it is left out: it is neither copied nor deleted on a target (not walked: shut)"}}},
		{Path{"shut", true}, [][]string{{"www: shut, as a directory"}, root, {"  sync     shut: " + free, "  walk     shut: rejected by rules:4: -w^shut$", "  monitor  shut: " + free, "  so it is copied"}}},
		{Path{"hidden/x", false}, [][]string{{"www: hidden/x, as a file"}, root, {"  sync     hidden: rejected by rules:5: -s^hidden$",
			"  so it is left out: it is neither copied nor deleted on a target (not synced: hidden)"}}},
		{Path{"still/x", false}, [][]string{{"www: still/x, as a file"}, root, {"  sync     still: " + free, "  walk     still: " + free, "  monitor  still: rejected by rules:6: -m^still$",
			"  sync     still/x: " + free, "  so it is copied, but a change of it alone only by the next whole pass"}}},
		{Path{"", true}, [][]string{{"www: the source itself, as a directory"}, root, {"  so it is copied"}}},
	} {
		var want []string
		for _, part := range c.want {
			want = append(want, part...)
		}
		var got strings.Builder
		if err := d.Write(&got, c.path); err != nil {
			t.Fatal(err)
		}
		if w := strings.Join(want, "\n") + "\n"; got.String() != w {
			t.Errorf("%q:\ngot\n%swant\n%s", c.path.Rel, got.String(), w)
		}
		// What is told is what the worker does.
		excluded := d.pattern.With(d.ordered).Excluded(c.path.Rel, c.path.Dir)
		if told := strings.Contains(got.String(), "left out: "); told != excluded {
			t.Errorf("%q: it is told that it is left out: %t; it is: %t", c.path.Rel, told, excluded)
		}
	}
}

// Without rules there is nothing to say but of patterns.
func TestPatternsAlone(t *testing.T) {
	d, err := New(config.Sync{Name: "n"})
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	if err := d.Write(&got, Path{"a\x1b/b", false}); err != nil || got.String() != "n: "+`a\x1b/b`+", as a file\n  so it is copied\n" {
		t.Errorf("%q, %v", got.String(), err)
	}
}

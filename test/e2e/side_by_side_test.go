//go:build e2e

package e2e

import (
	"cmp"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"lockstep/test/sidebyside"
)

// What both are given. No path changes in more than one step, and each in one way
// only: what is told of it is all that ever is. What comes with content comes whole,
// so that nobody sees it half.
const (
	sideRules = `-f\.bak$
-*^[Tt]est
-d^dontSync$
-w^noWalk$
-f^kept-
`
	sideTree = `mkdir -p old/deep gone/in mv/in keep dontSync/in Test/in noWalk/in
touch a w c f.bak keep/k.bak dontSync/f TestFile noWalk/in/f f.txt old/deep/f old/g gone/x gone/in/y mv/in/z kept-f
touch 'br]' 'b\s' 's[1]' 'q?' 'st*' ' b ' 'x%label%y' '50%' ./-dash '#h' "$(printf 'c\rr')" "$(printf 'n\nl')" "$(printf '\303\274')" "$(printf '\377')"
touch 'keep/br].bak' 'keep/s[1].bak' "$(printf 'keep/n\nl.bak')" "$(printf 'keep/c\rr.bak')"
ln -s a link; mkfifo fifo`
	sideFiles = `echo x >a; chmod 700 c; : >w; touch -h link
touch new 'nbr]' 'nb\s' 'ns[1]' 'nq?' 'nst*' ' n ' 'nx%label%y' 'n50%' ./-ndash '#n' "$(printf 'nc\rr')" "$(printf 'nn\nl')" "$(printf 'n\303\274')" "$(printf 'n\377')"
touch n.bak keep/n.bak TestNew
ln -s a nlink; mkfifo nfifo; ln -s a kept-link; mkdir made`
	sideDirs = `mv a renamed; rm w f.bak 'br]'; rm -r gone; mv mv moved; mv old ../out/old; chmod 700 keep
mkdir -p ../out/came/sub; touch ../out/came/sub/f ../out/came/f.bak '../out/came/sub/b]' "$(printf '../out/came/sub/n\nl')"; mv ../out/came came
rm TestFile; rm -r dontSync`
)

// sideLeft and sideUnwalked are sideRules, by another hand.
func sideLeft(rel string, dir bool) bool {
	switch {
	case !dir && strings.HasSuffix(rel, ".bak"), !dir && strings.HasPrefix(rel, "kept-"), dir && rel == "dontSync":
		return true
	}
	return strings.HasPrefix(rel, "Test") || strings.HasPrefix(rel, "test")
}

func sideUnwalked(rel string) bool { return rel == "noWalk" }

// variant is how a mode is called, beside what all have in common.
type variant struct {
	mode    string // "": the variant's name
	alone   bool   // there is no destination
	options []string
	words   []string // after --
	more    [2]string
	tree    string // in addition
	rows    []sidebyside.Row
}

// The real clsync and lockstep are given the same words, and the same changes in the
// same order. What they tell handlers is the same, word for word, but for what
// docs/from-clsync.md says; all that it says is met, in each mode that can show it.
func TestSideBySide(t *testing.T) {
	const (
		marks, kinds, came, gone, above = sidebyside.Marks, sidebyside.Kinds, sidebyside.Came, sidebyside.Gone, sidebyside.Above
		newline, iteration, ruleKinds   = sidebyside.Newline, sidebyside.Iteration, sidebyside.RuleKinds
	)
	variants := map[string]variant{
		"simple": {rows: []sidebyside.Row{marks, gone, above, iteration, ruleKinds, sidebyside.Events, sidebyside.Status, sidebyside.Macros}},
		"direct": {tree: "mkdir many; i=0; while [ $i -lt 300 ]; do : >many/$i; i=$((i+1)); done",
			rows: []sidebyside.Row{gone, above, iteration, ruleKinds, newline, sidebyside.Dash, sidebyside.Macros, sidebyside.Parts}},
		"shell": {words: []string{"synclist", "%label%", "%INCLUDE-LIST-PATH%", "100%", "pid=%PID%"}, more: [2]string{"100", "100%"},
			rows: []sidebyside.Row{marks, gone, above, iteration, ruleKinds, newline, sidebyside.Percent}},
		"rsyncshell": {options: []string{"--rsync-inclimit", "6"},
			rows: []sidebyside.Row{came, gone, above, iteration, ruleKinds, newline, sidebyside.Escaping, sidebyside.Return, sidebyside.Unwalked, sidebyside.Excludes}},
		"so":      {rows: []sidebyside.Row{marks, kinds, gone, above, iteration, ruleKinds, newline}},
		"rsyncso": {rows: []sidebyside.Row{came, gone, above, iteration, ruleKinds, newline, sidebyside.Escaping, sidebyside.Return, sidebyside.Unwalked}},
	}
	for _, mode := range []string{"so", "rsyncso"} {
		v := variants[mode]
		v.mode, v.alone = mode, true
		variants[mode+" without a destination"] = v
	}
	met := map[sidebyside.Row]bool{sidebyside.Root: true} // by TestRejectedRootSideBySide
	for _, v := range variants {
		for _, row := range v.rows {
			met[row] = true
		}
	}
	for _, row := range slices.Concat(sidebyside.Lists(), sidebyside.Told(), sidebyside.Changes()) {
		if !met[row] {
			t.Errorf("no mode is to show %q", row)
		}
	}
	for name, v := range variants {
		t.Run(name, func(t *testing.T) {
			beside(t)
			sideBySide(t, cmp.Or(v.mode, name), v)
		})
	}
}

func sideBySide(t *testing.T, mode string, v variant) {
	source := "handler.c"
	if strings.HasSuffix(mode, "so") {
		source = "module.c"
	}
	var sides [2]*side
	for i, name := range []string{"clsync", "lockstep"} {
		s := newSide(t, name, mode, sideTree+"\n"+v.tree)
		rules := s.dir + "/rules"
		write(t, rules, sideRules)
		s.words = append([]string{"-H", "/NULL/", "-M", mode, "-w0", "-t1", "-T1", "-l", "lab", "-W", s.src(),
			"-S", s.records(source), "-R", rules}, v.options...)
		if !v.alone {
			s.words = append(s.words, "-D", s.dst())
		}
		if v.words != nil {
			s.words = append(append(s.words, "--"), v.words...)
		}
		sides[i] = s
	}
	if v.alone {
		sides[0].start(exec.Command(realClsync(t), sides[0].words...))
		sides[1].startAlone()
	} else {
		both(t, sides[0], sides[1])
	}
	for i, s := range sides {
		if v.words != nil {
			s.of.More = []string{v.more[i], "pid=" + strconv.Itoa(s.pid)}
		}
	}
	c := &comparison{t: t, mode: mode, sides: sides, rows: map[sidebyside.Row]bool{}}
	if v.more[0] != v.more[1] {
		c.rows[sidebyside.Percent] = true
	}
	c.first()
	if mode == "shell" || strings.HasPrefix(mode, "rsync") { // lists are files that others see, or not
		for i, want := range []int{1, 0} {
			if got, err := os.ReadDir(sides[i].dir + "/tmp"); err != nil || len(got) != want {
				t.Errorf("%s has %q where temporary files are: %v", sides[i].name, got, err)
			}
		}
	}
	c.step("files", sideFiles)
	c.step("directories", sideDirs)
	c.step("nothing", ":") // in which nothing of the steps before comes late
	if mode == "shell" {   // what no list can carry is told in the log
		sides[1].until("word of the newlines", func(_ []sidebyside.Call, log []string) string {
			for _, name := range []string{`n\x0al`, `nn\x0al`, `came/sub/n\x0al`} {
				if !slices.ContainsFunc(log, func(l string) bool { return strings.Contains(l, " "+name+" is not handed to the handler") }) {
					return name + " is not told of"
				}
			}
			return ""
		})
	}
	for _, row := range v.rows {
		if !c.rows[row] {
			t.Errorf("the difference %q is not met", row)
		}
		delete(c.rows, row)
	}
	for row := range c.rows {
		t.Errorf("the difference %q is met, which is not said of this mode", row)
	}
}

// comparison is one mode's.
type comparison struct {
	t     *testing.T
	mode  string
	sides [2]*side
	since [2]int // calls that have been compared
	world sidebyside.World
	rows  map[sidebyside.Row]bool
}

// first compares the pass at the start.
func (c *comparison) first() {
	c.t.Helper()
	c.world = world(c.t, c.sides[0].src())
	step := sidebyside.Step{First: true, After: c.world, Left: sideLeft, Unwalked: sideUnwalked}
	c.sides[0].until("pass at the start", func(calls []sidebyside.Call, _ []string) string {
		f, err := c.sides[0].of.Facts(calls)
		if err != nil {
			return err.Error()
		}
		_, _, err = sidebyside.Expect(c.mode, f, step)
		if err == nil {
			err = step.Whole(c.mode, f)
		}
		if err != nil {
			return err.Error()
		}
		return ""
	})
	c.compare("the pass at the start", step)
}

// step makes changes on both sides, and compares what is told of them. That clsync has
// told of all is known by the last of two directories: the calls for what came with
// the first one have all been made then.
func (c *comparison) step(name, commands string) {
	c.t.Helper()
	first, last := "done-"+name, "done-"+name+"-too"
	for _, s := range c.sides {
		s.do(commands + "\nmkdir " + first)
	}
	for i, next := range []string{last, ""} {
		c.sides[0].until("word of "+name, func(calls []sidebyside.Call, _ []string) string {
			f, err := c.sides[0].of.Facts(calls[c.since[0]:])
			if err != nil {
				return err.Error()
			}
			if done := []string{first, last}[i]; !f.Tells(done) {
				return done + " is not told"
			}
			return ""
		})
		if next != "" {
			for _, s := range c.sides {
				s.do("mkdir " + next)
			}
		}
	}
	before := c.world
	c.world = world(c.t, c.sides[0].src())
	c.compare(name, sidebyside.Step{Before: before, After: c.world, Left: sideLeft, Unwalked: sideUnwalked})
}

// compare waits until lockstep has told what clsync has, but for the differences.
func (c *comparison) compare(name string, step sidebyside.Step) {
	c.t.Helper()
	theirs, next := c.sides[0].told(c.since[0])
	want, rows, err := sidebyside.Expect(c.mode, theirs, step)
	if err != nil {
		c.t.Fatalf("%s: %v", name, err)
	}
	c.since[0] = next
	c.sides[1].until("same word of "+name, func(calls []sidebyside.Call, _ []string) string {
		f, err := c.sides[1].of.Facts(calls[c.since[1]:])
		if err != nil {
			return err.Error()
		}
		return strings.Join(sidebyside.Differ(want, f), "\n")
	})
	ours, next := c.sides[1].told(c.since[1])
	c.since[1] = next
	more, err := sidebyside.Calls(theirs, ours)
	if err != nil {
		c.t.Errorf("%s: %v", name, err)
	}
	for _, all := range []map[sidebyside.Row]bool{rows, more} {
		for row := range all {
			c.rows[row] = true
		}
	}
}

// Rules that reject the root have clsync's rsync copy everything; lockstep refuses
// them.
func TestRejectedRootSideBySide(t *testing.T) {
	s := newSide(t, "clsync", "rsyncshell", "touch f.txt other")
	rules := s.dir + "/rules"
	write(t, rules, "+f\\.txt$\n-*\n")
	words := []string{"-H", "/NULL/", "-M", "rsyncshell", "-w0", "-t1", "-l", "lab", "-W", s.src(), "-D", s.dst(), "-S", s.records("handler.c"), "-R", rules}
	s.start(exec.Command(realClsync(t), words...))
	s.until("first call", func(calls []sidebyside.Call, _ []string) string {
		if len(calls) == 0 {
			return "none"
		}
		return ""
	})
	f, _ := s.told(0)
	if !f.Include["/***"] || len(f.Exclude) != 1 || !f.Exclude[""] {
		t.Errorf("clsync's lists are %v and %v", f.Include, f.Exclude)
	}
	out, err := exec.Command(program(t, "lockstep"), append([]string{"clsync"}, words...)...).CombinedOutput()
	if exit := (&exec.ExitError{}); !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), `rules:2: "-*" rejects`) {
		t.Errorf("%v\n%s", err, out)
	}
}

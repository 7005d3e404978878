//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"lockstep/internal/testenv"
)

// typist is a person at the prompt of a lockstep watch.
type typist struct {
	*spy
	in    *os.File
	asked int
}

// promptOn watches a directory with a prompt, and waits for its first line.
func promptOn(t *testing.T, dir string, flags ...string) *typist {
	t.Helper()
	testenv.NeedRoot(t)
	in, typed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = typed.Close() }) // it has ended
	p := &typist{in: typed, spy: &spy{mirror: &mirror{t: t, src: dir, process: &process{seen: newWitness()}}, stdin: in}}
	p.start(&syscall.SysProcAttr{Setpgid: true}, program(t, "lockstep"), append(append([]string{"watch", "--interactive"}, flags...), dir))
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	p.until("the first line", func(lines []string) bool { return len(lines) > 0 && lines[0] == "ready" })
	return p
}

func (p *typist) types(lines string) {
	p.t.Helper()
	if _, err := p.in.WriteString(lines); err != nil {
		p.t.Fatal(err)
	}
}

// ask types a command, and returns what is told until it has been obeyed. What is
// no command, and so is refused, shows the end.
func (p *typist) ask(command string) []string {
	p.t.Helper()
	p.asked++
	end := fmt.Sprintf("end-%d is no command; help lists them", p.asked)
	before := len(p.until("", func([]string) bool { return true }))
	p.types(fmt.Sprintf("%s\nend-%d\n", command, p.asked))
	ends := func(line string) bool { return unprompted(line) == end }
	lines := p.until("the answer to "+command, func(lines []string) bool { return slices.ContainsFunc(lines, ends) })
	var answer []string
	for _, line := range lines[before:slices.IndexFunc(lines, ends)] {
		answer = append(answer, unprompted(line))
	}
	return answer
}

// unprompted is a line without the prompts before it.
func unprompted(line string) string {
	for {
		rest, ok := strings.CutPrefix(line, "lockstep> ")
		if !ok {
			return line
		}
		line = rest
	}
}

// tells says whether a line of text tells of a change in a root.
func tells(line, root, op, path string) bool {
	line = unprompted(line)
	return strings.HasPrefix(line, root+": ") && strings.Contains(line, " "+op+" ") && strings.HasSuffix(line, " "+path)
}

// told waits for a line of text.
func (p *typist) told(root, op, path string) {
	p.t.Helper()
	p.until(op+" "+path+" in "+root, func(lines []string) bool {
		return slices.ContainsFunc(lines, func(line string) bool { return tells(line, root, op, path) })
	})
}

// again waits until it was said of a root so often, and not more often, that it is
// watched from now on.
func (p *typist) again(root string, times int) {
	p.t.Helper()
	n := 0
	p.until(fmt.Sprintf("%d times that %s is watched from now on", times, root), func(lines []string) bool {
		n = 0
		for _, line := range lines {
			if tells(line, root, "rescan", "(it is watched from now on)") {
				n++
			}
		}
		return n >= times
	})
	if n > times {
		p.t.Errorf("%d times it was said that %s is watched from now on, want %d", n, root, times)
	}
}

// The prompt lists, verifies, adds, rebuilds, writes, traces, removes and quits.
// With fanotify the tree is walked when the first of them asks for it.
func TestWatchPrompt(t *testing.T) {
	needInstances(t, 4)
	for _, m := range watchMonitors {
		if !m.user {
			t.Run(m.name, func(t *testing.T) { watchPrompt(t, m.flags...) })
		}
	}
}

func watchPrompt(t *testing.T, flags ...string) {
	dir, other := t.TempDir(), t.TempDir()
	mkdir(t, dir+"/a", dir+"/a/b", other+"/c")
	p := promptOn(t, dir, flags...)
	p.answers("list", dir, dir+"/a", dir+"/a/b")
	if text := strings.Join(p.ask("verify"), "\n"); !strings.Contains(text, dir+": ") || !strings.Contains(text, " verified=1 stale=0 missing=0 ") {
		t.Errorf("verify: %s", text)
	}
	p.ask("add " + other)
	p.again(other, 1)
	p.again(dir, 0)
	p.rebuilds(dir, other)
	p.answers("roots", dir, other)
	p.writes(dir, other)
	p.traces(dir)
	p.removes(dir, other)

	p.seen.look(p.cmd.Process.Pid)
	p.types("quit\n")
	if code := p.wait(limit); code != 0 {
		t.Errorf("exit code %d after quit", code)
	}
	p.nothingLeft()
	for _, line := range p.lines {
		if tells(line, other, "create", "c/late") {
			t.Errorf("a change in what was removed: %s", line)
		}
	}
}

// answers wants lines in the answer to a command.
func (p *typist) answers(command string, want ...string) {
	p.t.Helper()
	got := p.ask(command)
	for _, line := range want {
		if !slices.Contains(got, line) {
			p.t.Errorf("%s: no line %s in\n%s", command, line, strings.Join(got, "\n"))
		}
	}
}

// rebuilds has both roots begun again, by other processes.
func (p *typist) rebuilds(dir, other string) {
	p.t.Helper()
	before := p.confinedProcs()
	p.ask("rebuild")
	p.again(dir, 1)
	p.again(other, 2) // once because it was added
	for id, one := range p.confinedProcs() {
		if _, was := before[id]; was {
			p.t.Errorf("rebuild has left %+v", one)
		}
	}
}

// writes has the list written to a file.
func (p *typist) writes(dir, other string) {
	p.t.Helper()
	file := filepath.Join(p.t.TempDir(), "list")
	p.ask("write " + file)
	list, err := os.ReadFile(file)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, want := range []string{dir + "/a/b\n", other + "/c\n"} {
		if !strings.Contains(string(list), want) {
			p.t.Errorf("no %q in the list\n%s", want, list)
		}
	}
}

// traces has events and walks told, and then no longer. It takes a moment until
// the worker has heard of it.
func (p *typist) traces(dir string) {
	p.t.Helper()
	n := 0
	traced := func() bool {
		n++
		name := fmt.Sprintf("t%d", n)
		mkdir(p.t, dir+"/a/"+name)
		p.told(dir, "create", "a/"+name)
		event := func(line string) bool {
			line = unprompted(line)
			return strings.HasPrefix(line, "trace: "+dir+": event ") && strings.Contains(line, "CREATE") && strings.HasSuffix(line, " dir=a name="+name)
		}
		return slices.ContainsFunc(p.until("", func([]string) bool { return true }), event)
	}
	if traced() {
		p.t.Error("events are traced, and nobody has asked for that")
	}
	p.ask("trace")
	p.eventually("a trace of an event", traced)
	walk := fmt.Sprintf("trace: %s: walk a/t%d", dir, n)
	p.until("the trace of a walk", func(lines []string) bool {
		return slices.ContainsFunc(lines, func(line string) bool { return unprompted(line) == walk })
	})
	p.ask("trace")
	p.eventually("the end of the traces", func() bool { return !traced() })
}

// removes has a directory watched no longer.
func (p *typist) removes(dir, other string) {
	p.t.Helper()
	write(p.t, other+"/c/early", "x")
	p.told(other, "create", "c/early")
	p.ask("remove " + other)
	p.eventually("its end", func() bool { return !slices.Contains(p.ask("roots"), other) })
	p.answers("roots", dir)
	write(p.t, other+"/c/late", "x")
	write(p.t, dir+"/after", "x")
	p.told(dir, "create", "after")
}

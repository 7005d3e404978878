//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"syscall"
	"testing"

	"lockstep/test/subtree"
)

// toAndFro has p come in, leave and come in again, and r go to s, back and to s again,
// while nobody reads what the kernel tells; other renames come between.
func toAndFro(t *testing.T, m *mirror, outside string) {
	t.Helper()
	resolver := m.the("lockstep-resolver").pid
	signal := func(sig syscall.Signal) {
		t.Helper()
		if err := syscall.Kill(resolver, sig); err != nil {
			t.Fatal(err)
		}
	}
	if signal(syscall.SIGSTOP); !stopped(resolver) {
		t.Fatal("the resolver has ended")
	}
	defer signal(syscall.SIGCONT)
	in := func(name string) { rename(t, outside+"/"+name, m.src+"/"+name) }
	out := func(name string) { rename(t, m.src+"/"+name, outside+"/"+name) }
	in("p")
	in("q")
	out("p")
	out("q")
	in("p")
	rename(t, m.src+"/r", m.src+"/s")
	rename(t, m.src+"/u", m.src+"/v")
	rename(t, m.src+"/s", m.src+"/r")
	rename(t, m.src+"/r", m.src+"/s")
}

// Fanotify's queue has equal renames once, at the place of the first: of in, out and in
// again it tells in and out. A mirror looks at what is there; a watch says that it is to
// be looked at.
func TestRenamesThatAreMerged(t *testing.T) {
	beside(t)
	made := func(m *mirror) (outside string) {
		outside = t.TempDir()
		for _, dir := range []string{outside + "/p", outside + "/q", m.src + "/r", m.src + "/u"} {
			mkdir(t, dir+"/d")
			write(t, dir+"/d/f", dir)
		}
		return outside
	}
	t.Run("mirror", func(t *testing.T) {
		m := newFanotify(t)
		outside := made(m)
		m.start().ready()
		toAndFro(t, m, outside)
		m.equal()
		m.stop()
	})
	t.Run("watch", func(t *testing.T) {
		dir := t.TempDir()
		outside := made(&mirror{src: dir})
		n := namesOf(t, dir)
		s := spyOn(t, dir, "--format", "json", "--monitor", "fanotify")
		toAndFro(t, s.mirror, outside)
		rescan := func(lines []string, path string) bool {
			return slices.ContainsFunc(lines, func(line string) bool {
				return strings.Contains(line, `"op":"rescan"`) && strings.Contains(line, `"path":"`+path+`"`)
			})
		}
		for _, line := range s.until("what is to be looked at", func(lines []string) bool { return rescan(lines, "p") && rescan(lines, "s") })[1:] {
			n.line(t, line)
		}
		n.compare(t, dir)
		if subtree.Any(n.doubts, "v") {
			t.Error("what was renamed once is to be looked at")
		}
		s.stop()
	})
}

//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"lockstep/test/churn"
)

// rule is a line of a rule file, and what its expression finds.
type rule struct {
	permit bool
	letter byte
	finds  func(path string) bool
}

// permits says what the first rule that decides says. The actions of a letter and
// what it fits are those of lockstep.toml(5).
func permits(rules []rule, path string, dir bool, action string) bool {
	for _, r := range rules {
		fits := r.letter == '*' || (r.letter == 'f') != dir
		decides := map[byte]string{'f': "walk sync", 'd': "walk sync", '*': "walk sync", 'w': "walk", 'W': "walk", 's': "sync"}[r.letter]
		if fits && strings.Contains(decides, action) && r.finds(path) {
			return r.permit
		}
	}
	return true
}

// leftOut is what rules leave out of a mirror: what is not synced, what is in a
// directory that is not walked, and all that is below either.
func leftOut(rules []rule, path string, dir bool) bool {
	for i := range path {
		if path[i] == '/' && !(permits(rules, path[:i], true, "sync") && permits(rules, path[:i], true, "walk")) {
			return true
		}
	}
	return !permits(rules, path, dir, "sync")
}

// literally is an expression for a name.
func literally(name string) string {
	var b strings.Builder
	for i := range len(name) {
		if strings.IndexByte(`\.[]()*+?{}|^$`, name[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(name[i])
	}
	return b.String()
}

// randomRules decide about names of a tree, in no sensible way.
func randomRules(r *rand.Rand, paths []string) (rules []rule, text string) {
	add := func(permit bool, letter byte, expression string, finds func(string) bool) {
		// A line cannot hold a newline, nor end with what is another system's.
		if !strings.ContainsRune(expression, '\n') && !strings.HasSuffix(expression, "\r") {
			text += fmt.Sprintf("%c%c%s\n", map[bool]rune{true: '+', false: '-'}[permit], letter, expression)
			rules = append(rules, rule{permit, letter, finds})
		}
	}
	for range 8 + r.IntN(24) {
		path, permit, letter := paths[r.IntN(len(paths))], r.IntN(2) == 0, "fd*wWs"[r.IntN(6)]
		if dir := filepath.Dir(path); dir != "." && r.IntN(2) == 0 {
			path = dir
		}
		base, part := filepath.Base(path), path[:1+r.IntN(len(path))]
		switch r.IntN(4) {
		case 0:
			add(permit, letter, "^"+literally(path)+"$", func(p string) bool { return p == path })
		case 1:
			add(permit, letter, "^"+literally(path)+"/", func(p string) bool { return strings.HasPrefix(p, path+"/") })
		case 2:
			add(permit, letter, "(^|/)"+literally(base)+"$", func(p string) bool { return p == base || strings.HasSuffix(p, "/"+base) })
		default:
			add(permit, letter, literally(part), func(p string) bool { return strings.Contains(p, part) })
		}
	}
	return rules, text
}

// noneOf wants nothing on a target that was empty that the rules leave out.
func noneOf(t *testing.T, dst string, rules []rule) {
	t.Helper()
	err := filepath.WalkDir(dst, func(path string, d fs.DirEntry, err error) error {
		rel := strings.TrimPrefix(strings.TrimPrefix(path, dst), "/")
		if err == nil && rel != "" && leftOut(rules, rel, d.IsDir()) {
			t.Errorf("%q was copied", rel)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// What rules permit is on the target, and nothing else, whatever the names are, at
// the start and while things change.
func TestRules(t *testing.T) {
	beside(t)
	seeded(t, 3*scaled().churnSeeds, func(t *testing.T, seed uint64) {
		beside(t)
		r := churn.Rand(seed, 500)
		m := newMirror(t)
		paths, err := churn.Hostile(m.src, seed, 150)
		if err != nil {
			t.Fatal(err)
		}
		rules, text := randomRules(r, paths)
		file := filepath.Dir(m.src) + "/rules"
		write(t, file, text)
		m.flags = append(m.flags, "--rules-file", file)
		m.opts.Skip = func(rel string, kind uint32) bool {
			return unmirrored(rel, kind) || leftOut(rules, rel, kind == syscall.S_IFDIR)
		}
		m.start().ready()
		m.equal()
		noneOf(t, m.dst, rules)
		for i := range 40 {
			from, to := m.src+"/"+paths[r.IntN(len(paths))], m.src+"/"+paths[r.IntN(len(paths))]
			switch i % 4 {
			case 0:
				err = os.Rename(from, to)
			case 1:
				// Perhaps there is a FIFO, which nobody reads.
				var f *os.File
				if f, err = os.OpenFile(from, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NONBLOCK, 0o644); err == nil {
					_, err = fmt.Fprint(f, i)
					err = errors.Join(err, f.Close())
				}
			case 2:
				err = os.MkdirAll(from, 0o755)
			case 3:
				err = os.RemoveAll(from)
			}
			var errno syscall.Errno
			if err != nil && !errors.As(err, &errno) {
				t.Fatal(err)
			}
		}
		m.signal(syscall.SIGUSR2) // for what is in directories that are not to be monitored
		m.equal()
		noneOf(t, m.dst, rules)
		m.stop()
		out := 0
		for _, path := range paths {
			if leftOut(rules, path, false) {
				out++
			}
		}
		t.Logf("%d rules leave out %d of %d names", len(rules), out, len(paths))
		if t.Failed() {
			t.Logf("the rules:\n%s", text)
		}
	})
}

// Changes in a directory that is not to be monitored come with the next whole pass.
func TestUnmonitored(t *testing.T) {
	beside(t)
	m := newMirror(t, "--rules", "-m^still$")
	put(t, m.src+"/still/file", "1")
	m.start().ready()
	m.equal()
	write(t, m.src+"/still/file", "22")
	write(t, m.src+"/other", "1")
	m.eventually("a change elsewhere", func() bool {
		_, err := os.Lstat(m.dst + "/other")
		return err == nil
	})
	if got, err := os.ReadFile(m.dst + "/still/file"); err != nil || string(got) != "1" {
		t.Errorf("%q, %v: it is not to be monitored", got, err)
	}
	m.signal(syscall.SIGUSR2)
	m.equal()
	m.stop()
}

// Rules that cannot be are refused, all at once, before anything starts.
func TestRulesRefused(t *testing.T) {
	for rules, want := range map[string]string{
		"-f(\n+q^x$\n": "is unknown; there are f",
		"-*\n":         "write the line +d^$ above it",
	} {
		m := newMirror(t)
		file := filepath.Dir(m.src) + "/rules"
		write(t, file, rules)
		m.flags = append(m.flags, "--rules-file", file)
		if code := m.once(); code != 2 || !strings.Contains(m.output(), want) || !strings.Contains(m.output(), file+":1") {
			t.Errorf("%q: code %d: %s", rules, code, m.output())
		}
	}
}

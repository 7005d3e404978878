//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"lockstep/test/churn"
	"lockstep/test/compare"
)

// Names that shells, rsync, terminals and decoders could take for something
// else: all arrive, each deletion deletes one, and the log stays printable.
func TestHostileNames(t *testing.T) {
	beside(t)
	s := scaled()
	seeded(t, s.hostileSeeds, func(t *testing.T, seed uint64) {
		beside(t)
		m := newMirror(t)
		before, err := churn.Hostile(m.src, seed, s.hostileNames/2)
		if err != nil {
			t.Fatal(err)
		}
		m.start().ready() // one half by the initial pass, one by events
		after, err := churn.Hostile(m.src, seed+1, s.hostileNames/2)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d names: equal %v after the last", s.hostileNames, m.equal())
		deleteOneByOne(t, m, seed, slices.Concat(before, after), s.hostileDeletes)
		m.stop()
		printable(t, m)
	})
}

// deleteOneByOne deletes some names, and wants each time that exactly one name
// goes on the target.
func deleteOneByOne(t *testing.T, m *mirror, seed uint64, names []string, n int) {
	r := churn.Rand(seed, 400)
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, rel := range names[:n] {
		was, err := compare.Read(m.dst, m.opts)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(m.src, rel)); err != nil {
			t.Fatal(err)
		}
		m.equal()
		is, err := compare.Read(m.dst, m.opts)
		if err != nil {
			t.Fatal(err)
		}
		if len(is) != len(was)-1 {
			t.Errorf("deletion of %+q: %d entries on the target were %d", rel, len(is), len(was))
		}
	}
}

// printable wants nothing in the log that a terminal would act upon.
func printable(t *testing.T, m *mirror) {
	t.Helper()
	for _, r := range m.since(0) {
		for key, v := range r {
			text := key + " " + fmt.Sprint(v)
			bad := func(c rune) bool { return c == utf8.RuneError || !unicode.IsPrint(c) }
			if strings.ContainsFunc(text, bad) {
				t.Errorf("the log has %+q", text)
			}
		}
	}
}

// Renames from one hostile name to another, and directories of such names.
func TestHostileRenames(t *testing.T) {
	beside(t)
	seeded(t, 1, func(t *testing.T, seed uint64) {
		m := newMirror(t)
		names, err := churn.Hostile(m.src, seed, 60)
		if err != nil {
			t.Fatal(err)
		}
		m.start().ready()
		r := churn.Rand(seed, 401)
		for _, rel := range names[:30] {
			to := filepath.Join(m.src, filepath.Dir(rel), churn.HostileName(r))
			if err := os.Rename(filepath.Join(m.src, rel), to); err != nil && !os.IsExist(err) && !strings.Contains(err.Error(), "is a directory") {
				t.Fatal(err)
			}
		}
		m.equal()
		m.stop()
	})
}

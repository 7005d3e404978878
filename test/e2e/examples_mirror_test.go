//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"lockstep/internal/testenv"
)

// The examples with lockstep's own rsync on this host do what they say: each brings the
// tree over as its rules have it, leaves what it says that it leaves, and ends with 0.
func TestExamplesOfMirrors(t *testing.T) {
	testenv.NeedRoot(t)
	for _, c := range []struct {
		name    string
		paths   []string // in place of SRC and DST
		rules   string
		ends    bool     // by itself
		there   []string // on the target at last
		gone    []string // not there
		deleted []string // which was there before
	}{
		{name: "mirror.sh", paths: []string{"/srv/www", "SRC", "/backup/www", "DST"}, there: []string{"alice/.ssh/authorized_keys", "dontSync/f"}, deleted: []string{"old"}},
		{name: "mirror-faster.sh", paths: []string{"/srv/www", "SRC", "/backup/www", "DST"}, there: []string{"alice/.ssh/authorized_keys"}, deleted: []string{"old"}},
		{name: "mirror-at-once.sh", paths: []string{"/srv/www", "SRC", "/backup/www", "DST"}, there: []string{"alice/.ssh/authorized_keys"}, deleted: []string{"old"}},
		{name: "sample.sh", paths: []string{"mkdir -p testdir/from testdir/to", ":", "testdir/from", "SRC", "testdir/to", "DST", "rules/sample", "RULES"}, rules: "sample",
			there: []string{"alice/.ssh/authorized_keys"}, deleted: []string{"old"}, gone: []string{"dontSync"}},
		{name: "authorized_keys.sh", paths: []string{"/mnt/master/home", "SRC", "/etc/clsync/rules/authorized_keys", "RULES", "/home", "DST"}, rules: "authorized_keys",
			there: []string{"alice/.ssh/authorized_keys", "old"}, gone: []string{"alice/.bashrc", "dontSync/f"}},
		{name: "atomic.sh", paths: []string{"/var/www_new", "SRC", "/var/www", "DST"}, ends: true, there: []string{"alice/.ssh/authorized_keys", "alice/.bashrc"}, deleted: []string{"old"}},
		{name: "show.sh", paths: []string{"/srv/www", "SRC", "/backup/www", "DST"}, ends: true, there: []string{"old"}, gone: []string{"alice"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMirror(t)
			mkdir(t, m.src+"/alice", m.src+"/alice/.ssh", m.src+"/dontSync")
			for _, path := range []string{m.src + "/alice/.ssh/authorized_keys", m.src + "/alice/.bashrc", m.src + "/dontSync/f", m.dst + "/old"} {
				write(t, path, "x")
			}
			own := map[string]string{"SRC": m.src, "DST": m.dst, "RULES": filepath.Join(t.TempDir(), "rules")}
			if c.rules != "" {
				write(t, own["RULES"], example(t, "clsync/rules/"+c.rules))
			}
			var paths []string
			for _, p := range c.paths {
				if there, ok := own[p]; ok {
					p = there
				}
				paths = append(paths, p)
			}
			run := clsync(t, words(t, c.name, paths...)...)
			if c.ends {
				if out, err := run().CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			} else {
				until(t, run(), m, "the first pass", func() bool {
					for _, path := range c.there {
						if _, err := os.Lstat(m.dst + "/" + path); err != nil {
							return false
						}
					}
					for _, path := range c.deleted {
						if _, err := os.Lstat(m.dst + "/" + path); err == nil {
							return false
						}
					}
					return true
				})
			}
			for _, path := range c.there {
				if _, err := os.Lstat(m.dst + "/" + path); err != nil {
					t.Error(err)
				}
			}
			for _, path := range slices.Concat(c.gone, c.deleted) {
				if _, err := os.Lstat(m.dst + "/" + path); err == nil {
					t.Errorf("%s is there", path)
				}
			}
		})
	}
}

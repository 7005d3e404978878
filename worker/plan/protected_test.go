package plan

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockstep/ipc"
	"lockstep/worker/links"
	"lockstep/worker/queue"

	"golang.org/x/sys/unix"
)

// TestProtected: what the patterns match on the target alone survives whatever
// happens around it, and nothing else does.
func TestProtected(t *testing.T) {
	w := newWorld(t, 1, []string{"*.keep", "vault/"})
	put := func(path string) {
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(path), 0o644))
	}
	for _, rel := range []string{"gone/sub/f", "replaced/f", "plain/sub/f", "socket/f", "vault", "stays/f"} {
		put(w.src + "/" + rel)
	}
	w.q.AddWhole(w.now)
	w.settle()
	w.compare()
	for _, rel := range []string{"gone/sub/x.keep", "replaced/x.keep", "replaced/vault/deep", "stays/x.keep", "replaced/stale"} {
		put(w.dst + "/" + rel)
	}
	for _, rel := range []string{"gone", "replaced", "plain", "socket", "vault"} {
		must(t, os.RemoveAll(w.src+"/"+rel))
		w.mark(rel, queue.Name|queue.Replaced)
	}
	must(t, os.Mkdir(w.src+"/replaced", 0o755))
	put(w.src + "/replaced/new")
	w.mark("replaced/new", queue.Name)
	put(w.src + "/vault/excluded") // a directory where a file was copied
	must(t, unix.Mknod(w.src+"/socket", unix.S_IFSOCK|0o600, 0))
	w.mark("", queue.Attr)
	w.q.Retry(w.now)
	for range 3 { // rsync warns of the directory that it has to keep
		next, ok := w.q.Next(w.now)
		if !ok {
			break
		}
		w.now = next
		if b := w.q.Take(w.now, 0); b != nil {
			w.do(b, w.opt)
		}
	}
	var got []string
	must(t, filepath.WalkDir(w.dst, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			got = append(got, path[len(w.dst)+1:])
		}
		return err
	}))
	want := "gone/sub/x.keep replaced/new replaced/vault/deep replaced/x.keep stays/f stays/x.keep"
	if strings.Join(got, " ") != want {
		w.fail("left %q, want %s", got, want)
	}
}

// A directory went before a whole pass, which keeps what the patterns match in
// it; what is done for it afterwards keeps that too.
func TestProtectedAfterPass(t *testing.T) {
	w := newWorld(t, 1, []string{"*.keep"})
	put := func(path string) {
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(path), 0o644))
	}
	put(w.src + "/gone/f")
	put(w.src + "/other/f")
	w.q.AddWhole(w.now)
	w.settle()
	put(w.dst + "/gone/x.keep")
	must(t, os.RemoveAll(w.src+"/gone"))
	w.mark("gone/f", queue.Name)
	w.mark("gone", queue.Name|queue.Attr|queue.Replaced)
	w.q.AddWhole(w.now)
	if !w.q.BeginWhole(w.now) {
		t.Fatal("no pass begins")
	}
	w.run(ipc.JobInitial, nil)
	w.q.EndWhole(true, w.now, w.r.Float64)
	if _, err := os.Stat(w.dst + "/gone/x.keep"); err != nil {
		t.Fatal("the pass deleted it", err)
	}
	w.q.Retry(w.now)
	for range 4 {
		if b := w.q.Take(w.now.Add(1e12), 0); b != nil {
			w.do(b, w.opt)
		}
	}
	if _, err := os.Stat(w.dst + "/gone/x.keep"); err != nil {
		w.fail("what is excluded was deleted on the target: %v", err)
	}
}

// TestPruneBelowNew: what is pruned below a directory that took the place of
// something else on the target leaves no trace on that, or on what it is a name of
// or leads to, though the directory itself is in a later batch: rsync gives a name
// on the way the times of a directory, and follows one that is a link.
func TestPruneBelowNew(t *testing.T) {
	before := map[string]func(w *world){
		"hard link": func(w *world) { must(t, os.Link(w.src+"/keep", w.src+"/d")) },
		"link":      func(w *world) { must(t, os.Symlink("other", w.src+"/d")) },
	}
	after := map[string]func(w *world){
		"split link": func(w *world) {
			must(t, os.Symlink("x", w.src+"/d/e/x"))
			w.idx.Share("d/e/x", w.stat("d/e/x").Ino) // as of a name that was split
		},
		"socket": func(w *world) { must(t, unix.Mknod(w.src+"/d/e/x", unix.S_IFSOCK|0o600, 0)) },
		"gone":   func(w *world) {},
	}
	for was, make := range before {
		for is, add := range after {
			t.Run(was+", "+is, func(t *testing.T) {
				w := newWorld(t, 1, []string{"*.none"})
				for _, rel := range []string{"other/e/sub/f", "other/e/x/f", "keep"} {
					must(t, os.MkdirAll(filepath.Dir(w.src+"/"+rel), 0o751))
					must(t, os.WriteFile(w.src+"/"+rel, []byte(rel), 0o640))
				}
				make(w)
				old := time.Unix(1e9, 7)
				for _, rel := range []string{"other/e/x", "other/e", "other", "keep"} {
					must(t, os.Chtimes(w.src+"/"+rel, old, old))
				}
				w.q.AddWhole(w.now)
				w.settle()
				w.compare()
				must(t, os.Remove(w.src+"/d"))
				must(t, os.MkdirAll(w.src+"/d/e", 0o700))
				add(w)
				w.mark("d/e/x", queue.Name|queue.Replaced)
				w.settle()
				w.mark("d", queue.Name|queue.Replaced)
				w.mark("d/e", queue.Name)
				w.mark("", queue.Attr)
				w.settle()
				w.compare()
				if w.jobs[ipc.JobPrune] == 0 {
					t.Error("nothing was pruned")
				}
			})
		}
	}
}

// What lies below more directories than rsync takes in a list needs a whole pass; a
// handler is told of it.
func TestBelowManyDirectories(t *testing.T) {
	for _, c := range []struct {
		dirs int
		tell Telling
		want bool
	}{{60, TellNothing, false}, {61, TellNothing, true}, {200, TellNothing, true}, {200, TellPaths, false}} {
		rel := strings.Repeat("n/", c.dirs) + "f"
		p := New([]queue.Entry{{Rel: rel, Change: queue.Content}}, Options{Tell: c.tell}, links.New())
		for need := p.Need(); len(need) > 0; need = p.Need() {
			for _, r := range need {
				p.Feed(r, ipc.PathStat{Kind: ipc.KindFile, Nlink: 1, Ino: 7})
			}
		}
		if p.Whole() != c.want {
			t.Errorf("below %d directories: %v", c.dirs, p.Whole())
		}
	}
}

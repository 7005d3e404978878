//go:build e2e

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/test/churn"
	"lockstep/test/subtree"
)

// names is a copy of the names below a root, kept by the lines about it alone.
type names struct {
	types   map[string]string
	doubts  map[string]bool   // a line has said: look there; the copy has not
	strange map[string]string // lines that none can be about, by the path that they were about: a rescan of it is to follow
	odd     int
}

func newNames() *names {
	return &names{types: map[string]string{}, doubts: map[string]bool{}, strange: map[string]string{}}
}

func (n *names) cut(path string) {
	subtree.Cut(n.types, path)
	subtree.Cut(n.doubts, path)
	subtree.Cut(n.strange, path)
}

func (n *names) move(from, to string) {
	n.cut(to)
	subtree.Move(n.types, from, to)
	subtree.Move(n.doubts, from, to)
	subtree.Move(n.strange, from, to)
}

// holds says whether the copy has anything below a path.
func (n *names) holds(dir string) bool {
	for at := range n.types {
		if strings.HasPrefix(at, dir+"/") {
			return true
		}
	}
	return false
}

// line applies one line.
func (n *names) line(t *testing.T, text string) {
	t.Helper()
	var e struct {
		Op, Type, Path, From string
		Path64               string `json:"path_b64"`
		From64               string `json:"from_b64"`
	}
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for b64, to := range map[string]*string{e.Path64: &e.Path, e.From64: &e.From} {
		if b64 != "" {
			b, err := base64.StdEncoding.DecodeString(b64)
			if err != nil {
				t.Fatal(err)
			}
			*to = string(b)
		}
	}
	kind, there := n.types[e.Path]
	odd := false
	switch e.Op {
	case "create":
		// What comes from outside may replace what was there: a file, or an empty
		// directory. The kernel tells of that as of any other that comes.
		odd = there && (kind != "" && e.Type != "" && (kind == "dir") != (e.Type == "dir") || n.holds(e.Path))
		n.types[e.Path] = e.Type
	case "delete": // it may be of a name that came and went before it was told
		n.cut(e.Path)
	case "move":
		_, from := n.types[e.From]
		odd = !from
		n.move(e.From, e.Path)
	case "modify", "attrib":
		odd = !there && e.Path != "" || there && e.Type != "" && kind != "" && e.Type != kind
	case "rescan":
		n.cut(e.Path)
		n.doubts[e.Path] = true
	case "overflow":
		t.Fatalf("events were lost: %s", text)
	}
	if odd && !subtree.Any(n.doubts, e.Path) && !subtree.Any(n.doubts, e.From) {
		n.strange[e.Path] = text
		n.odd++
	}
}

// watchable makes one change of the kinds that lines can tell.
func watchable(root, outside string, r *rand.Rand) error {
	pick := func(most int) string {
		parts := make([]string, 1+r.IntN(most))
		for i := range parts {
			parts[i] = string(rune('a' + r.IntN(4)))
		}
		return strings.Join(parts, "/")
	}
	path, other := filepath.Join(root, pick(4)), filepath.Join(root, pick(4))
	out := filepath.Join(outside, string(rune('A'+r.IntN(4))))
	switch p := r.IntN(100); {
	case p < 30:
		return os.MkdirAll(path, 0o755)
	case p < 55:
		// Perhaps there is a FIFO, which nobody reads.
		f, err := os.OpenFile(filepath.Join(path, fmt.Sprintf("f%d", r.IntN(6))), os.O_WRONLY|os.O_CREATE|syscall.O_NONBLOCK, 0o644)
		if err != nil {
			return err
		}
		_, err = f.Write(churn.Text(r, r.IntN(50)))
		return errors.Join(err, f.Close())
	case p < 70:
		return os.Rename(path, other)
	case p < 77:
		return os.Rename(path, out)
	case p < 84:
		return os.Rename(out, other)
	case p < 90:
		return os.RemoveAll(path)
	case p < 94:
		return syscall.Mkfifo(filepath.Join(path, fmt.Sprintf("f%d", r.IntN(6))), 0o644)
	default:
		return os.Symlink("x", filepath.Join(path, fmt.Sprintf("f%d", r.IntN(6))))
	}
}

// Who applies the lines to a copy of the names has the names, whatever happens
// at a time, but for what a line says is to be looked at.
func TestWatchChurn(t *testing.T) {
	for _, monitor := range []string{"inotify", "fanotify"} {
		t.Run(monitor, func(t *testing.T) {
			watchChurn(t, monitor, func() *spy { return newSpy(t, "--monitor", monitor) })
		})
	}
}

func watchChurn(t *testing.T, monitor string, start func() *spy) {
	for seed := range uint64(scaled().churnSeeds) {
		s, outside := start(), t.TempDir()
		const workers = 4
		ops := min(scaled().churnOps, 4000) / workers
		err := churn.Parallel(workers, func(w int) error {
			r := churn.Rand(seed, 300+uint64(w))
			for range ops {
				err := watchable(s.src, outside, r)
				var errno syscall.Errno
				if err != nil && !errors.As(err, &errno) {
					return err
				}
				if r.IntN(50) == 0 {
					time.Sleep(time.Duration(r.IntN(5)) * time.Millisecond)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		s.still(limit) // second halves that never come, and what is in doubt
		lines := s.sync(1)
		n := newNames()
		for _, line := range lines {
			n.line(t, line)
		}
		compared := n.compare(t, s.src)
		t.Logf("seed %d: %d lines, %d names compared, %d subtrees to be looked at, %d lines that none can be about", seed, len(lines), compared, len(n.doubts), n.odd)
		for _, line := range n.strange {
			// By fanotify a line may have a path that a rename gives which is told
			// later; then what came there is to be looked at.
			if monitor != "fanotify" {
				t.Errorf("nothing like that was there, and no later line says that it is to be looked at, or has gone: %s", line)
			}
		}
		s.stop()
	}
}

// compare wants the copy to be what is there.
func (n *names) compare(t *testing.T, root string) (compared int) {
	t.Helper()
	seen := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		rel := strings.TrimPrefix(strings.TrimPrefix(path, root), "/")
		if err != nil || rel == "" || strings.HasPrefix(rel, ".sync-") {
			return err
		}
		seen[rel] = true
		if subtree.Any(n.doubts, rel) {
			return nil
		}
		compared++
		kind := map[fs.FileMode]string{0: "file", fs.ModeDir: "dir", fs.ModeSymlink: "symlink"}[d.Type()]
		if kind == "" {
			kind = "other"
		}
		switch told, there := n.types[rel]; {
		case !there:
			t.Errorf("%s is there, and no line says so", rel)
		case told != "" && told != kind:
			t.Errorf("%s is a %s, and the lines say %s", rel, kind, told)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for rel := range n.types {
		if !seen[rel] && !subtree.Any(n.doubts, rel) {
			t.Errorf("%s is not there, and the lines say that it is", rel)
		}
	}
	return compared
}

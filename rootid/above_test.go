package rootid

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// told waits for the watcher's word.
func told(t *testing.T, w *Watcher, what string) {
	t.Helper()
	select {
	case <-w.Changed:
	case <-time.After(time.Minute):
		t.Fatalf("%s: not told", what)
	}
}

// A root that another one takes the place of is told, again and again, also when
// the directory above is another one by then; what is in the root is not.
func TestWatcherSeesExchange(t *testing.T) {
	w, err := Watch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	top := t.TempDir()
	root := filepath.Join(top, "above", "root")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(root, 0o755))
	w.above.gap = 100 * time.Millisecond
	w.Above(func(err error) { t.Log(err) }, root) // while it is made again
	held, err := os.Open(root) // so that the kernel tells nobody of its end
	must(err)
	defer held.Close()
	told(t, w, "that it is watched")

	must(os.WriteFile(root+"/f", nil, 0o600))
	select {
	case <-w.Changed:
		t.Error("what is in the root is told")
	case <-time.After(100 * time.Millisecond):
	}
	must(os.RemoveAll(root))
	told(t, w, "deleted")
	must(os.Mkdir(root, 0o755))
	told(t, w, "made again")
	must(os.Rename(filepath.Dir(root), top+"/aside"))
	must(os.MkdirAll(root, 0o755))
	told(t, w, "the one above was moved aside")
	must(os.Rename(root, root+"2"))
	told(t, w, "in the new one above")
}

// What cannot be watched is told once, and tried again once it may be there.
func TestAboveIsNotThere(t *testing.T) {
	var tells []string
	a := newAbove(func() {})
	a.failed = func(err error) { tells = append(tells, err.Error()) }
	root := filepath.Join(t.TempDir(), "none", "root")
	a.roots = []string{root}
	for range 2 {
		file, whole := a.open()
		if file == nil || whole {
			t.Errorf("%v %v", file, whole)
		}
	}
	if len(tells) != 1 {
		t.Errorf("%q", tells)
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if file, whole := a.open(); file == nil || !whole {
		t.Errorf("%v %v", file, whole)
	}
	a.close()
	a.close()
	if file, _ := a.open(); file != nil {
		if _, err := file.Stat(); err == nil {
			t.Error("an instance is left after the end")
		}
	}
}

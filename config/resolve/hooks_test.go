package resolve_test

import (
	"os"
	"strings"
	"testing"

	"lockstep/config/keys"
	"lockstep/config/resolve"
	"lockstep/internal/testenv"
)

// A hook is root's alone to write and apart from the trees, and no tree has to do with
// what its jail shows.
func TestResolveHooks(t *testing.T) {
	testenv.NeedRoot(t)
	dir := resolve.Place(t)
	for name, mode := range map[string]os.FileMode{"good": 0o755, "open": 0o777, "text": 0o644, "src/own": 0o755, "dst/own": 0o755} {
		if err := os.WriteFile(dir+"/"+name, []byte("#!/bin/sh\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir+"/"+name, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("good", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"hooks.exit", "hooks.pre_exit"} {
		flag := "--" + strings.NewReplacer(".", "-", "_", "-").Replace(key)
		for _, c := range []struct{ hook, src, want string }{
			{"good", "src", ""},
			{"link", "src", ""},
			{"nowhere", "src", flag + " D/nowhere: is missing"},
			{"text", "src", flag + " D/text: is not an executable program"},
			{"open", "src", flag + " D/open: is not safe to run as root"},
			{"src/own", "src", flag + " D/src/own: is inside the source"},
			{"dst/own", "src", flag + " D/dst/own: is inside the target"},
			{"good", "/usr/share", "source /usr/share: has to do with /usr"},
		} {
			b := keys.NewBuilder()
			src := c.src
			if src[0] != '/' {
				src = dir + "/" + src
			}
			b.Set("source", src)
			b.Set("targets", dir+"/dst")
			b.Set(key, dir+"/"+c.hook)
			set, err := b.Build()
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if set, err = resolve.Set(set); err != nil {
				got = strings.ReplaceAll(err.Error(), dir, "D")
			}
			if (c.want == "") != (err == nil) || !strings.Contains(got, c.want) {
				t.Errorf("%s %+v: %s", key, c, got)
			}
			if path := *set.Syncs[0].Hooks()[key]; err == nil && path != dir+"/good" {
				t.Errorf("%s: %s", key, path)
			}
		}
	}
}

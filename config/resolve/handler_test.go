package resolve_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"lockstep/config"
	"lockstep/config/keys"
	"lockstep/config/resolve"
	"lockstep/internal/testenv"
)

// A handler is root's alone to write, is apart from the trees, and its words make
// sense; no tree has to do with what its jail shows.
func TestResolveHandler(t *testing.T) {
	testenv.NeedRoot(t)
	dir := resolve.Place(t)
	for name, mode := range map[string]os.FileMode{"good": 0o755, "open": 0o777, "text": 0o644, "x.so": 0o644, "group.so": 0o664, "src/own.so": 0o644, "set": 0o755 | os.ModeSetgid, "src/own": 0o755} {
		if err := os.WriteFile(dir+"/"+name, []byte("#!/bin/sh\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir+"/"+name, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(dir+"/all", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"his.so", "all/x.so"} {
		if err := os.WriteFile(dir+"/"+name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chown(dir+"/his.so", 12345, 0), os.Chmod(dir+"/all", 0o777), os.Symlink("x.so", dir+"/tox.so")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ handler, src, mode, args, want string }{
		{"good", "src", "shell", "", ""},
		{"good", "src", "rsyncshell", "", ""},
		{"/bin/true", "src", "direct", "%INCLUDE-LIST%", ""},
		{"nowhere", "src", "shell", "", "--handler D/nowhere: is missing"},
		{"text", "src", "shell", "", "is not an executable program"},
		{"open", "src", "shell", "", "is not safe to run as root"},
		{"set", "src", "shell", "", "is a set-id program"},
		{"src/own", "src", "shell", "", "is inside the source"},
		{"good", "/usr/share", "shell", "", "source /usr/share: has to do with /usr"},
		{"good", "src", "rsyncshell", "%INCLUDE-LIST-PATH%%EXCLUDE-LIST-PATH% %INCLUDE-LIST%", ""},
		{"good", "src", "rsyncshell", "%INCLUDE-LIST%|%INCLUDE-LIST-PATH%", "beside rsync's lists"},
		{"good", "src", "rsyncshell", "%INCLUDE-LIST-PATH%", "without %EXCLUDE-LIST-PATH%"},
		{"good", "src", "rsyncshell", "%INCLUDE-LIST%", "without %EXCLUDE-LIST-PATH%"},
		{"good", "src", "rsyncshell", "text", "without %EXCLUDE-LIST-PATH%"},
		{"good", "src", "shell", "%INCLUDE-LIST-PATH%", ""},
		{"x.so", "src", "so", "", ""}, // what is in it the host sees
		{"x.so", "src", "rsyncso", "", ""},
		{"tox.so", "src", "so", "", ""},
		{"nowhere", "src", "so", "", "--handler D/nowhere: is missing; name a shared object"},
		{"group.so", "src", "so", "", "--handler D/group.so: others can write to it (mode 0664)"},
		{"open", "src", "so", "", "others can write to it (mode 0777)"},
		{"set", "src", "rsyncso", "", "setgid"},
		{"his.so", "src", "so", "", "belongs to uid 12345"},
		{"all/x.so", "src", "so", "", "can be written by others (mode 0777)"},
		{"dst", "src", "rsyncso", "", "--handler D/dst: it is no regular file"},
		{"src/own.so", "src", "so", "", "is inside the source"},
	} {
		at := func(p string) string {
			if strings.HasPrefix(p, "/") {
				return p
			}
			return dir + "/" + p
		}
		b := keys.NewBuilder()
		b.Set("source", at(c.src))
		b.Set("targets", dir+"/dst")
		b.Set("mode", c.mode)
		b.Set("handler", at(c.handler))
		if c.args != "" {
			for word := range strings.SplitSeq(c.args, "|") {
				b.Set("handler_args", word)
			}
		}
		set, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if set, err = resolve.Set(set); err != nil {
			got = strings.ReplaceAll(err.Error(), dir, "D")
		}
		if (c.want == "") != (err == nil) || !strings.Contains(got, c.want) {
			t.Errorf("%+v: %s", c, got)
		}
		if err == nil && (set.Syncs[0].Handler == "" || set.Syncs[0].RsyncPath != "") {
			t.Errorf("%+v", set.Syncs[0])
		}
		set.Run = config.Run{DryRun: true}
		if _, err := resolve.Set(set); err == nil || !strings.Contains(err.Error(), "it alone knows") {
			t.Errorf("a dry run: %v", err)
		}
	}
}

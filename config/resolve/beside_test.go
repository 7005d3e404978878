package resolve_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/config/keys"
	"lockstep/config/resolve"
	"lockstep/internal/testenv"
)

// What a handler is shown beside is apart from its trees, from lockstep's own
// directories, and from what its jail has in any case; it cannot write to its own
// program.
func TestResolveBeside(t *testing.T) {
	testenv.NeedRoot(t)
	dir := resolve.Place(t)
	for _, d := range []string{"bin", "status", "status/deep", "state", "run", "all"} {
		if err := os.Mkdir(dir+"/"+d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.WriteFile(dir+"/bin/h", []byte("#!/bin/sh\n"), 0o755), os.Symlink("status", dir+"/tostatus"), unix.Mkfifo(dir+"/fifo", 0o600)); err != nil {
		t.Fatal(err)
	}
	const apart = "has to do with"
	for _, c := range []struct{ reads, writes, want string }{
		{"D/file D/status", "", ""},
		{"D/bin /etc/ssl", "D/status", ""},
		{"", "D/file", ""},
		{"D/tostatus", "", ""},
		{"D/none", "", "--handler-reads D/none: is missing"},
		{"D/fifo", "", "neither a directory nor a regular file"},
		{"/", "", "cannot be shown in a jail"},
		{"/proc/1", "", "cannot be shown in a jail"},
		{"", "/dev/shm", "cannot be shown in a jail"},
		{"D", "", apart},
		{"D/src", "", apart + " the source"},
		{"D/src/inner", "", apart + " the source"},
		{"", "D/src/inner", apart + " the source"},
		{"", "D/dst", apart + " the target"},
		{"/usr/share", "", apart + " /usr"},
		{"/etc", "", apart + " /etc"},
		{"", "/etc/ssl", apart + " /etc"},
		{"", "D/bin", "holds the handler"},
		{"", "D/bin/h", "holds the handler"},
		{"D/state", "", apart + " D/state, where lockstep"},
		{"", "D/run", "D/run is inside the place that the handler writes to"},
		{"D/status", "D/status/deep", apart + " D/status, which is named as well"},
		{"D/tostatus", "D/status", apart + " D/status, which is named as well"},
	} {
		b := keys.NewBuilder()
		at := func(p string) string { return strings.ReplaceAll(p, "D", dir) }
		for _, kv := range [][2]string{{"source", "D/src"}, {"targets", "D/dst"}, {"mode", "shell"}, {"handler", "D/bin/h"}, {"state_dir", "D/state"}, {"runtime_dir", "D/run"}} {
			b.Set(kv[0], at(kv[1]))
		}
		for _, p := range strings.Fields(c.reads) {
			b.Set("handler_reads", at(p))
		}
		for _, p := range strings.Fields(c.writes) {
			b.Set("handler_writes", at(p))
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
		if err == nil && c.reads == "D/tostatus" && set.Syncs[0].Reads[0] != dir+"/status" {
			t.Errorf("a link is left: %q", set.Syncs[0].Reads)
		}
	}
}

// A handler without a target is resolved as one with.
func TestResolveUntargeted(t *testing.T) {
	testenv.NeedRoot(t)
	dir := resolve.Place(t)
	runtimes := map[string]bool{}
	for _, handler := range []string{"/bin/true", "/bin/false"} {
		b := keys.NewBuilder()
		b.Set("source", dir+"/tosrc")
		b.Set("mode", "simple")
		b.Set("handler", handler)
		set, err := b.Build()
		if err == nil {
			set, err = resolve.Set(set)
		}
		if err != nil {
			t.Fatal(err)
		}
		runtimes[set.RuntimeDir] = true
		if s := set.Syncs[0]; s.Source != dir+"/src" || !s.Untargeted() || s.Targets[0].Path != "" || s.Targets[0].Missing {
			t.Errorf("%+v", s)
		}
	}
	if len(runtimes) != 2 {
		t.Errorf("two handlers of one source are in each other's way: %v", runtimes)
	}
}

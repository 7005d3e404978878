//go:build e2e

package unit

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/test/compare"
)

// taken is a unit from which one thing was taken that it grants.
type taken struct {
	what     string
	settings []Setting
}

// eachTaken are the unit's settings, each time with one right less.
func eachTaken(t *testing.T, all []Setting) []taken {
	t.Helper()
	set := func(key string, values ...string) []Setting {
		out := append(slices.Clone(all), Setting{"Service", key, ""})
		for _, v := range values {
			out = append(out, Setting{"Service", key, v})
		}
		return out
	}
	var each []taken
	for _, key := range []string{"CapabilityBoundingSet", "RestrictNamespaces"} {
		words := strings.Fields(strings.Join(Values(all, key), " "))
		for i, word := range words {
			if word == "CAP_KILL" {
				continue // a kernel that has cgroup.kill (Linux 5.14) needs it when a kill meets a process that ends, by chance
			}
			each = append(each, taken{key + " without " + word, set(key, strings.Join(slices.Delete(slices.Clone(words), i, i+1), " "))})
		}
	}
	filter := Values(all, "SystemCallFilter")
	for _, group := range []string{"@mount", "@chown", "bpf", "seccomp", "landlock_restrict_self"} {
		each = append(each, taken{"SystemCallFilter=~" + group, set("SystemCallFilter", append(slices.Clone(filter), "~"+group)...)})
	}
	for i, path := range Values(all, "ReadWritePaths") {
		paths := slices.Delete(Values(all, "ReadWritePaths"), i, i+1)
		each = append(each, taken{"ReadWritePaths without " + path, set("ReadWritePaths", paths...)})
	}
	return append(each, taken{"RestrictSUIDSGID=yes", set("RestrictSUIDSGID", "yes")})
}

// Nothing is granted that is not needed: with any one right less it does not do
// its work.
func TestEachRightIsNeeded(t *testing.T) {
	whole := install(t, own, mayWrite)
	if !works(t, whole.settings) {
		t.Fatal("with all of them it does not either")
	}
	for _, c := range eachTaken(t, whole.settings) {
		t.Run(c.what, func(t *testing.T) {
			if works(t, c.settings) {
				t.Error("it works without")
			}
		})
	}
}

// works reports whether lockstep, once, does its work and ends well.
func works(t *testing.T, settings []Setting) bool {
	t.Helper()
	s := install(t, own, mayWrite)
	s.settings = settings
	s.prepare()
	s.configure(oneSync + "xattrs = \"all\"\n")
	s.fill()
	capability := append([]byte{1, 0, 0, 2, 1}, make([]byte, 15)...) // CAP_CHOWN; capabilities(7), "File capability extended attribute versioning"
	if err := unix.Setxattr(filepath.Join(s.source(), "odd1.0"), "security.capability", capability, 0); err != nil {
		t.Fatal(err)
	}
	s.start("--once")
	code := -1
	select {
	case <-s.done:
		code = s.cmd.ProcessState.ExitCode()
	case <-time.After(patience / 2): // it waits for what will never be
	}
	diff, err := compare.Equal(s.source(), s.target(), compare.Options{})
	t.Logf("exit code %d, %d differences: %s", code, len(diff), s.said())
	return code == 0 && err == nil && len(diff) == 0
}

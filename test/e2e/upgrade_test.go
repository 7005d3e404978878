//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"lockstep/internal/testenv"
)

// replace puts a new file in the place of another, as a package's upgrade does.
func replace(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", data, 0o755); err != nil {
		t.Fatal(err)
	}
	rename(t, path+".new", path)
}

func contents(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// An upgrade of lockstep's programs while it runs mixes no versions: what dies is
// started again from the images of the start. An upgrade of rsync is taken by the
// next runner, and said.
func TestUpgradeWhileRunning(t *testing.T) {
	bin := t.TempDir()
	for _, name := range []string{"lockstep", "lockstep-helper", "lockstep-worker", "lockstep-runner", "lockstep-resolver"} {
		replace(t, filepath.Join(bin, name), contents(t, program(t, name)))
	}
	rsync := filepath.Join(bin, "rsync")
	real := contents(t, testenv.NeedTool(t, "rsync"))
	replace(t, rsync, real)
	t.Setenv("LOCKSTEP_BIN", bin)
	m := newMirror(t, "--rsync-path", rsync)
	write(t, m.src+"/before", "x")
	m.start().ready()
	m.equal()

	for _, name := range []string{"lockstep", "lockstep-helper", "lockstep-worker", "lockstep-runner", "lockstep-resolver"} {
		replace(t, filepath.Join(bin, name), []byte("#!/bin/sh\nexit 99\n"))
	}
	replace(t, rsync, real)
	write(t, m.src+"/with-the-old-runner", "x")
	m.equal()
	for _, name := range []string{"lockstep-runner", "lockstep-worker"} {
		at := m.mark()
		victim := m.the(name)
		if err := syscall.Kill(victim.pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		m.other(name, victim)
		if name == "lockstep-runner" {
			m.await(at, "word of the new rsync", limit, says("rsync has been exchanged"))
		}
		write(t, m.src+"/after-the-"+name, "x")
		m.equal()
	}
	m.stop()
}

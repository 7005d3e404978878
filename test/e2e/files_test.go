//go:build e2e

package e2e

import (
	"os"
	"strconv"
	"testing"
)

// Other programs know by files which process it is and where it stands, and hold it
// back with one.
func TestFilesForOtherPrograms(t *testing.T) {
	dir := t.TempDir()
	pid, state, standby := dir+"/pid", dir+"/state", dir+"/standby"
	says := func(path, want string) func() bool {
		return func() bool {
			got, err := os.ReadFile(path)
			return err == nil && string(got) == want
		}
	}
	release := func() {
		t.Helper()
		if err := os.Remove(standby); err != nil {
			t.Fatal(err)
		}
	}
	m := newMirror(t, "--pid-file", pid, "--status-file", state, "--standby-file", standby)
	write(t, m.src+"/f", "1")
	write(t, standby, "")
	m.start()
	m.eventually("the first pass is held back", says(state, "hold on"))
	absent(t, m.dst+"/f")
	release()
	m.ready()
	m.eventually("it runs", says(state, "running"))
	if want := strconv.Itoa(m.cmd.Process.Pid); !says(pid, want)() {
		t.Errorf("%s does not say %s", pid, want)
	}

	write(t, standby, "")
	write(t, m.src+"/g", "2")
	m.eventually("a command is held back", says(state, "hold on"))
	absent(t, m.dst+"/g")
	release()
	m.equal()
	m.eventually("it runs again", says(state, "running"))

	// What waits for it keeps no end from being made.
	write(t, standby, "")
	write(t, m.src+"/h", "3")
	m.eventually("another command is held back", says(state, "hold on"))
	m.stop()
	absent(t, pid)
	absent(t, state)
	absent(t, m.dst+"/h")
}

// A directory that others can write to, or one in a tree, is no place for them.
func TestFilesForOtherProgramsAreRefused(t *testing.T) {
	m := newMirror(t)
	open := t.TempDir()
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, flags := range [][]string{
		{"--pid-file", open + "/pid"}, {"--status-file", m.src + "/state"}, {"--standby-file", m.dst + "/standby"},
		{"--status-file", "/run"}, {"--standby-file", "/tmp/x.lockstep"}, {"--status-file", "/nosuch/state"}, {"--pid-file", "/run/x.lockstep", "--status-file", "/run/x.lockstep"},
	} {
		m.flags = flags
		if code := m.once(); code != 2 {
			t.Errorf("%q: exit code %d", flags, code)
		}
	}
}

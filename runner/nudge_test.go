package runner

import (
	"os"
	"testing"
	"time"

	"lockstep/ipc"
	"lockstep/runner/procs"
)

// TestNudge: a command that missed the signal that was to wake it gets others.
func TestNudge(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cfg := program(t, self)
	cfg.Env = []string{nudgeVar + "=2"}
	cfg.Argv[ipc.JobList] = []string{"deaf"}
	cfg.Timeout = time.Minute
	b := serve(t, cfg)
	if got := b.run(ipc.JobList, ""); got.End != ipc.EndExited || got.Code != 0 || string(got.Tail) != "nudged\n" {
		t.Errorf("%+v", got)
	}
}

// TestNudgeOfAPass: so does a pass that does nothing, as an rsync that waits for the
// other end of a FIFO that has taken the place of a file; one that works does not.
func TestNudgeOfAPass(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cfg := program(t, self)
	cfg.Env = []string{nudgeVar + "=1"}
	cfg.Argv[ipc.JobContent] = []string{"deaf"}
	cfg.Timeout = time.Minute
	b := serve(t, cfg)
	if got := b.run(ipc.JobContent, ""); got.End != ipc.EndExited || got.Code != 0 || string(got.Tail) != "nudged\n" {
		t.Errorf("%+v", got)
	}
	if used := procs.Used(os.Getpid()); used <= 0 || used > time.Hour {
		t.Errorf("this process has taken %v", used)
	}
}

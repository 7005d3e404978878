//go:build escape

package escape

import (
	"flag"
	"os"
	"runtime"
	"strings"
	"testing"

	libseccomp "github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/internal/testenv/record"
	"lockstep/sandbox"
	"lockstep/seccomp"
	"lockstep/supervise/jail"
	"lockstep/supervise/proc"
	"lockstep/test/escape/redteam"
)

const arch = runtime.GOARCH

// free is a uid and gid that nothing of this machine's has.
const free = 64871

// TestWorkerEscapes: the attacker in the worker.
func TestWorkerEscapes(t *testing.T) { attack(t, Worker(), worker(t)) }

// worker is the worker as the product starts it.
func worker(t *testing.T) *jailed {
	t.Helper()
	testenv.NeedRoot(t)
	j := &jailed{spec: jail.Worker(jail.Machine{}, free, free), world: newWorld(t)}
	j.world.Peer = 3
	j.donate = func(t *testing.T) []sandbox.Donation {
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
		must(t, err)
		return []sandbox.Donation{{Name: "helper", File: pair(t)}, {Name: "status", File: pair(t)}, {Name: "inotify", File: os.NewFile(uintptr(fd), "inotify")}}
	}
	return j.ready(t, "lockstep/cmd/lockstep-worker", seccomp.Worker)
}

// pair is a socket for the program, whose other end the test keeps.
func pair(t *testing.T) *os.File {
	t.Helper()
	ours, theirs, err := proc.Pair("test")
	must(t, err)
	t.Cleanup(func() { ours.Close() })
	return theirs
}

// attack makes all acts of a role: each has to succeed unconfined, and to end as its
// row says in the jail, with the filter and without.
func attack(t *testing.T, role Role, j *jailed) {
	acts := map[string]redteam.Act{}
	for _, a := range redteam.Acts() {
		acts[a.Name] = a
	}
	log := record.Open(t)
	if o := j.confined(t, "none", j.filter); o.result() != "ok" {
		t.Fatalf("who attacks nothing does not live: %v", o)
	}
	seen := 0
	for _, row := range role.Rows {
		act, there := acts[row.Act]
		if !there {
			t.Errorf("there is no act %q", row.Act)
		}
		t.Run(row.Act, func(t *testing.T) {
			o := twin(t, j.world, act)
			succeeds := o.result() == act.Unconfined()
			if !succeeds && !act.Optional {
				t.Errorf("unconfined, it ends by %s, want %s: %v", o.result(), act.Unconfined(), o)
			}
			j.refused(t, log, act, row)
			if !succeeds {
				t.Logf("not on this machine, so it does not count: unconfined, it ends by %s", o.result())
				return
			}
			seen++
			if o := j.confined(t, act.Name, j.open); o.result() != row.Off {
				t.Errorf("without the filter it ends by %s, want %s: %v", o.result(), row.Off, o)
			}
		})
	}
	t.Logf("%s: %d acts succeeded unconfined, and were stopped", role.Name, seen)
	if some := strings.Contains(flag.Lookup("test.run").Value.String(), "/"); seen < role.Least && !some {
		t.Errorf("%s: fewer than %d", role.Name, role.Least)
	}
}

// refused makes an act as the product confines.
func (j *jailed) refused(t *testing.T, log *record.Log, act redteam.Act, row Row) {
	t.Helper()
	o := j.confined(t, act.Name, j.filter)
	if o.result() != row.want() {
		t.Errorf("confined, it ends by %s, want %s: %v", o.result(), row.want(), o)
	}
	if o.result() == Killed {
		nr, err := libseccomp.GetSyscallFromName(act.Call)
		must(t, err)
		if err := log.Expect(o.pid, native(), int32(nr)); err != nil {
			t.Error(err)
		}
	}
	if row.Shown == "" {
		return
	}
	if o := j.showing(t).confined(t, act.Name, j.filter); o.result() != row.Shown {
		t.Errorf("with the host's files shown it ends by %s, want %s: %v", o.result(), row.Shown, o)
	}
}

// native is the kernel's number of this architecture.
func native() uint32 {
	if arch == seccomp.ARM64 {
		return unix.AUDIT_ARCH_AARCH64
	}
	return unix.AUDIT_ARCH_X86_64
}

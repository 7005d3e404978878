//go:build escape

package escape

import (
	"flag"
	"os"
	"runtime"
	"slices"
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

// TestWorkerEscapes, and so on: the attacker in each program.
func TestWorkerEscapes(t *testing.T)   { attack(t, "worker", worker) }
func TestHelperEscapes(t *testing.T)   { attack(t, "helper", helper) }
func TestRunnerEscapes(t *testing.T)   { attack(t, "runner", runner) }
func TestRemoteEscapes(t *testing.T)   { attack(t, "remote", remote) }
func TestHandlerEscapes(t *testing.T)  { attack(t, "command", command) }
func TestNetworkEscapes(t *testing.T)  { attack(t, "networked", networked) }
func TestModuleEscapes(t *testing.T)   { attack(t, "module", module) }
func TestResolverEscapes(t *testing.T) { attack(t, "resolver", resolver) }
func TestDnotifyEscapes(t *testing.T)  { attack(t, "dnotify", dnotify) }
func TestGateEscapes(t *testing.T)     { attack(t, "gate", gate) }

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

// full says that everything is tried.
func full() bool { return os.Getenv("LOCKSTEP_SCALE") == "full" }

// whole says that a role's whole table is tried: in the small share the worker's, and of
// the others a part, as of all when nothing is said.
func whole(name string) bool {
	return full() || name == "worker" && os.Getenv("LOCKSTEP_SCALE") == "small"
}

// attack makes all acts of a role: each has to succeed unconfined, and to end as its
// row says in the jail, with the filter and without.
func attack(t *testing.T, name string, start func(*testing.T) *jailed) {
	testenv.NeedRoot(t)
	roles := read(t)
	role := roles[slices.IndexFunc(roles, func(r Role) bool { return r.Name == name })]
	j := start(t)
	log := record.Open(t)
	if o := j.confined(t, "none", j.filter); o.result() != "ok" {
		t.Fatalf("who attacks nothing does not live: %v", o)
	}
	all := redteam.All()
	seen, some := 0, !whole(name)
	for i, row := range role.Rows {
		act := all[slices.IndexFunc(all, func(a redteam.Act) bool { return a.Name == row.Act })]
		if some && i%5 != 0 && act.Check != 9 { // memory: what only this suite sees
			continue
		}
		t.Run(act.Name, func(t *testing.T) {
			if j.tried(t, log, act, row) {
				seen++
			}
		})
	}
	t.Logf("%s: %d acts succeeded unconfined, and were stopped", name, seen)
	if some = some || strings.Contains(flag.Lookup("test.run").Value.String(), "/"); seen < role.Least && !some {
		t.Errorf("%s: fewer than %d", name, role.Least)
	}
}

// tried makes one act in all ways, and says whether it counts.
func (j *jailed) tried(t *testing.T, log *record.Log, act redteam.Act, row Row) (counts bool) {
	t.Helper()
	o := twin(t, j.world, act)
	counts = o.result() == act.Unconfined()
	if !counts && !act.Optional {
		t.Errorf("unconfined, it ends by %s, want %s: %v", o.result(), act.Unconfined(), o)
	}
	o = j.confined(t, act.Name, j.filter)
	if o.result() != row.Confined {
		t.Errorf("confined, it ends by %s, want %s: %v", o.result(), row.Confined, o)
	}
	if o.result() == Killed {
		nr, err := libseccomp.GetSyscallFromName(act.Call)
		must(t, err)
		if err := log.Expect(o.pid, native(), int32(nr)); err != nil {
			t.Error(err)
		}
	}
	if !counts {
		t.Log("not on this machine, so it does not count")
		return false
	}
	if o := j.confined(t, act.Name, j.open); o.result() != row.Off {
		t.Errorf("without the filter it ends by %s, want %s: %v", o.result(), row.Off, o)
	}
	if row.Open != "" {
		if o := j.opened(t).confined(t, act.Name, j.filter); o.result() != row.Open {
			t.Errorf("in the open jail it ends by %s, want %s: %v", o.result(), row.Open, o)
		}
	}
	return true
}

// native is the kernel's number of this architecture.
func native() uint32 {
	if arch == seccomp.ARM64 {
		return unix.AUDIT_ARCH_AARCH64
	}
	return unix.AUDIT_ARCH_X86_64
}

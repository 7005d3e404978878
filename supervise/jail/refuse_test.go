package jail

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/ipc"
	"lockstep/rsync"
	"lockstep/seccomp"
	"lockstep/test/peer"
)

// TestConnectFailsClosed: when one of its steps is refused, connect does not
// become ssh, and says which.
func TestConnectFailsClosed(t *testing.T) {
	probe := buildProbe(t)
	f := seccomp.Table(seccomp.Remote, runtime.GOARCH)
	r := newRemote(t, rsync.SSH, rsync.Remote{User: "mirror", Host: "127.0.0.1", Port: 9}, "/x")
	r.inPlaceOfSSH(probe, nil)
	tried := 0
	for i, c := range f.Allow {
		if !slices.Contains([]string{"prctl", "capset", "capget"}, c.Name) {
			continue
		}
		tried++
		r.filter.Allow = append(append([]seccomp.Call{}, f.Allow[:i]...), f.Allow[i+1:]...)
		e := r.start(t).run(ipc.JobInitial, "")
		if e.Code == 0 || !bytes.Contains(e.Tail, []byte("lockstep-connect: ")) || bytes.Contains(e.Tail, []byte("REPORT")) {
			t.Errorf("without %s: code %d: %s", c.Who, e.Code, e.Tail)
		}
	}
	if tried != 4 {
		t.Errorf("%d calls tried", tried)
	}
	r.filter = f
	if e := r.start(t).run(ipc.JobInitial, ""); !bytes.Contains(e.Tail, []byte("REPORT")) {
		t.Errorf("with all of them: code %d: %s", e.Code, e.Tail)
	}
}

// TestSSHRefuses: whom it does not know it does not talk to, and it asks
// nobody; the job ends at once, with ssh's reason.
func TestSSHRefuses(t *testing.T) {
	s := peer.StartSSHD(t, peer.SSHOptions{})
	dst := realDir(t)
	cases := map[string]struct {
		change func(t *testing.T, r *remote)
		want   string
	}{
		"unknown host": {func(_ *testing.T, r *remote) { r.jail.KnownHosts = []byte("# nobody\n") }, "Host key verification failed"},
		"changed key": {func(t *testing.T, _ *remote) {
			restore := s.ChangeHostKey(t)
			t.Cleanup(restore)
		}, "REMOTE HOST IDENTIFICATION HAS CHANGED"},
		"refused key": {func(t *testing.T, _ *remote) { t.Cleanup(s.RefuseKey(t)) }, "Permission denied (publickey)"},
		"no key":      {func(_ *testing.T, r *remote) { r.jail.Identity = []byte("no key\n") }, "Permission denied (publickey)"},
		"closed port": {func(t *testing.T, r *remote) {
			r.jail.Port = peer.ClosedPort(t)
			r.options.Remote.Port = r.jail.Port
		}, "Connection refused"},
		"another port than the jail's": {func(_ *testing.T, r *remote) { r.jail.Port++ }, "Permission denied"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := overSSH(t, s, dst)
			c.change(t, r)
			begin := time.Now()
			// 12 when rsync sees the end of the conversation before ssh's code.
			e := r.start(t).run(ipc.JobInitial, "")
			if e.End != ipc.EndExited || !slices.Contains([]uint8{12, 255}, e.Code) || !strings.Contains(string(e.Tail), c.want) {
				t.Errorf("end %d, code %d: %s", e.End, e.Code, e.Tail)
			}
			if took := time.Since(begin); took > 15*time.Second {
				t.Errorf("after %v", took)
			}
		})
	}
	entries, err := os.ReadDir(dst)
	if err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

// TestDaemonRefuses: the password, the module, the port.
func TestDaemonRefuses(t *testing.T) {
	d := peer.StartRsyncd(t, realDir(t), peer.RsyncdOptions{User: "mirror", Password: "open sesame"})
	for name, c := range map[string]struct {
		change func(r *remote)
		code   uint8
		want   string
	}{
		"password": {func(r *remote) { r.jail.Password = []byte("wrong\n") }, 5, "auth failed on module data"},
		"module":   {func(r *remote) { r.options.Target = "nothing/here" }, 5, "Unknown module"},
		"port":     {func(r *remote) { r.jail.Port++ }, 10, "Permission denied"},
	} {
		t.Run(name, func(t *testing.T) {
			r := ofDaemon(t, d, "mirror", "open sesame", "data")
			c.change(r)
			e := r.start(t).run(ipc.JobInitial, "")
			if e.End != ipc.EndExited || e.Code != c.code || !strings.Contains(string(e.Tail), c.want) {
				t.Errorf("end %d, code %d: %s", e.End, e.Code, e.Tail)
			}
		})
	}
}

// TestStalledPeerEnds: rsync itself ends when the other side is silent.
func TestStalledPeerEnds(t *testing.T) {
	s := peer.StartSSHD(t, peer.SSHOptions{Command: "exec sleep 60"})
	r := overSSH(t, s, "/x")
	r.options.Remote.Stall = time.Second
	begin := time.Now()
	e := r.start(t).run(ipc.JobInitial, "")
	if took := time.Since(begin); e.End != ipc.EndExited || e.Code != 30 || took > 20*time.Second {
		t.Errorf("after %v: end %d, code %d: %s", took, e.End, e.Code, e.Tail)
	}
}

// TestGuardRemote: what a whole pass would delete is counted by the other side,
// and held as on a local target.
func TestGuardRemote(t *testing.T) {
	eachRemote(t, func(t *testing.T, r *remote, dst string) {
		shell(t, r.src, "mkdir keep; for i in $(seq 30); do echo > keep/$i; done")
		r.cfg.MaxDeleteEntries, r.cfg.Entries = 10, 0
		r.options.Xattrs, r.options.ACLs = rsync.XattrsNone, false
		r.start(t).ok(ipc.JobInitial, "")
		count := func(want int) {
			t.Helper()
			names, err := os.ReadDir(dst + "/keep")
			if err != nil || len(names) != want {
				t.Fatalf("%d entries, %v, want %d", len(names), err, want)
			}
		}
		held := func(run *running, end ipc.End, deletes, entries uint64) {
			t.Helper()
			if e := run.run(ipc.JobInitial, ""); e.End != end || e.Deletes != deletes || e.Entries != entries {
				t.Errorf("%+v %s, want end %d with %d of %d", e, e.Tail, end, deletes, entries)
			}
			count(30)
		}
		// Unknown: the number alone.
		shell(t, r.src, "rm keep/1*")
		held(r.start(t), ipc.EndHeldMany, 11, 0)
		// 11 of 31 are less than half.
		r.cfg.Entries = 31
		r.start(t).ok(ipc.JobInitial, "")
		count(19)
		shell(t, r.src, "for i in $(seq 30); do echo > keep/$i; done")
		r.start(t).ok(ipc.JobInitial, "")
		// The source is empty: nothing at all.
		shell(t, r.src, "rm -r keep")
		held(r.start(t), ipc.EndHeldEmpty, 30, 31) // the directory itself is not counted
		// Consent is for one pass.
		r.cfg.Accept = true
		run := r.start(t)
		run.ok(ipc.JobInitial, "")
		if _, err := os.Stat(dst + "/keep"); !os.IsNotExist(err) {
			t.Errorf("%v", err)
		}
		run.ok(ipc.JobInitial, "") // both are empty
	})
}

// TestDeleteModes: which kinds of jobs delete over there.
func TestDeleteModes(t *testing.T) {
	list := strings.Join([]string{"./gone", "./new", ""}, "\x00")
	for mode, want := range map[rsync.Delete][2]bool{ // kept after a list, after a whole pass
		rsync.DeleteAlways: {false, false}, rsync.DeleteWhole: {true, false}, rsync.DeleteNever: {true, true},
	} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			eachRemote(t, func(t *testing.T, r *remote, dst string) {
				r.options.Delete = mode
				shell(t, r.src, "mkdir gone; echo > gone/x")
				run := r.start(t)
				run.ok(ipc.JobInitial, "")
				shell(t, r.src, "rm -r gone; echo > new")
				for i, job := range []func(){func() { run.ok(ipc.JobList, list) }, func() { run.ok(ipc.JobInitial, "") }} {
					job()
					_, err := os.Stat(dst + "/gone/x")
					_, errNew := os.Stat(dst + "/new")
					if kept := err == nil; kept != want[i] || errNew != nil {
						t.Errorf("job %d: kept %v, want %v; new: %v", i, kept, want[i], errNew)
					}
				}
			})
		})
	}
}

//go:build faults

package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"lockstep/internal/testenv"
	"lockstep/test/peer"
)

// far is the other side of a remote target.
type far struct {
	sshd  *peer.SSHD
	relay *peer.Relay
}

// overSSH has the target on another host, behind a relay.
func overSSH(s *scene) {
	s.t.Helper()
	testenv.NeedTool(s.t, "ssh")
	f := &far{sshd: peer.StartSSHD(s.t, peer.SSHOptions{})}
	f.relay = peer.StartRelay(s.t, "", f.sshd.Addr())
	s.state = f
	s.words = append(s.words, "--timeout", "10s", "--ssh-identity", f.sshd.Identity, "--ssh-port", fmt.Sprint(f.relay.Port()),
		"--ssh-known-hosts", f.sshd.KnownHosts(s.t, s.t.TempDir(), f.relay.Addr()), s.src, f.sshd.Target(s.dst))
}

func (s *scene) far() *far { return s.state.(*far) }

// remote: a connection, and another side, that fail.
func remote() []fault {
	restore := func(s *scene) { s.far().relay.Restore(s.t) }
	return []fault{
		{name: "ssh refused: the port is closed", long: true, prepare: overSSH, mend: restore,
			happen: func(s *scene) string { s.far().relay.Cut(); return s.changed("meanwhile", "unreachable") }},
		{name: "ssh cut in the middle of a file", long: true, prepare: overSSH, mend: restore, flags: []string{"--bwlimit", "1MiB"},
			happen: func(s *scene) string {
				at := s.Mark()
				s.put("large", strings.Repeat("0123456789abcdef", 4<<20/16))
				s.until("a part of the file", func() bool {
					parts, err := filepath.Glob(s.dst + "/.large.*")
					return err == nil && len(parts) > 0
				})
				s.far().relay.Reset()
				return s.warned(at)
			}},
		{name: "ssh swallowed: nobody answers any more", prepare: overSSH, mend: restore, long: true,
			happen: func(s *scene) string { s.far().relay.Hold(); return s.changed("meanwhile", "timeout") }},
		{name: "rsync of the other side ends with an error, six codes", prepare: overSSH, long: true,
			happen: func(s *scene) string {
				var all []string
				for _, code := range []int{1, 11, 12, 23, 127, 255} {
					mend := s.far().sshd.Force(s.t, fmt.Sprintf("exit %d", code))
					at := s.Mark()
					s.put(fmt.Sprint("meanwhile-", code), "x")
					s.warned(at)
					mend()
					s.arrives(fmt.Sprint("meanwhile-", code), "x")
					all = append(all, fmt.Sprint(code))
				}
				return "a warning at each of " + strings.Join(all, " ")
			}},
	}
}

// clocks: time that is not what it was.
func clocks() []fault {
	const years = 10 * 365 * 24 * time.Hour
	return []fault{
		{name: "a monotonic clock ten years on",
			prepare: func(s *scene) {
				seconds := fmt.Sprint(int(years.Seconds()))
				s.prior = []string{testenv.NeedTool(s.t, "unshare"), "-T", "--monotonic", seconds, "--boottime", seconds}
				if out, err := exec.Command(s.prior[0], append(s.prior[1:], "true")...).CombinedOutput(); err != nil {
					testenv.Lacks(s.t, "no time namespace: "+string(out))
				}
			},
			happen: func(s *scene) string {
				theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/time", s.cmd.Process.Pid))
				must(s.t, err)
				ours, err := os.Readlink("/proc/self/ns/time")
				must(s.t, err)
				if theirs == ours {
					s.t.Error("it runs in the usual time")
				}
				s.put("meanwhile", "x")
				s.arrives("meanwhile", "x")
				return "it runs in " + theirs
			}},
		{name: "file times ten years off, both ways",
			happen: func(s *scene) string {
				for i, at := range []time.Time{time.Now().Add(years), time.Now().Add(-years), time.Unix(1, 0), time.Now()} {
					name := fmt.Sprintf("d00/time%d", i%2)
					s.put(name, fmt.Sprint("version ", i))
					must(s.t, os.Chtimes(s.src+"/"+name, at, at))
					s.arrives(name, fmt.Sprint("version ", i))
				}
				return "four versions arrived, with times of 2 files ahead and back"
			}},
	}
}

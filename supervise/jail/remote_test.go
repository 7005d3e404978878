package jail

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"

	"lockstep/internal/testenv"
	"lockstep/ipc"
	"lockstep/rsync"
	"lockstep/seccomp"
	"lockstep/supervise/resolve"
	"lockstep/test/compare"
	"lockstep/test/peer"
)

// overSSH is a target behind an sshd of the test's own.
func overSSH(t *testing.T, s *peer.SSHD, path string) *remote {
	t.Helper()
	r := newRemote(t, rsync.SSH, rsync.Remote{User: "root", Host: s.Host(), Port: s.Port()}, path)
	for file, to := range map[string]*[]byte{s.Identity: &r.jail.Identity, s.KnownHosts(t, t.TempDir()): &r.jail.KnownHosts} {
		data, err := os.ReadFile(file)
		must(t, err)
		*to = data
	}
	return r
}

// ofDaemon is a directory of a module of an rsync daemon of the test's own.
func ofDaemon(t *testing.T, d *peer.Rsyncd, user, password, path string) *remote {
	t.Helper()
	r := newRemote(t, rsync.Daemon, rsync.Remote{User: user, Host: d.Host(), Port: d.Port()}, path)
	if user != "" {
		r.jail.Password = []byte(password + "\n")
	}
	return r
}

// eachRemote runs a test for both kinds; dst is the target on this machine.
func eachRemote(t *testing.T, test func(t *testing.T, r *remote, dst string)) {
	t.Run("ssh", func(t *testing.T) {
		dst := realDir(t)
		test(t, overSSH(t, peer.StartSSHD(t, peer.SSHOptions{}), dst+"/a b$(x)"), dst+"/a b$(x)")
	})
	t.Run("daemon", func(t *testing.T) {
		dst := realDir(t)
		d := peer.StartRsyncd(t, dst, peer.RsyncdOptions{User: "mirror", Password: "open sesame"})
		test(t, ofDaemon(t, d, "mirror", "open sesame", "data/a b$(x)"), dst+"/a b$(x)")
	})
}

const sampleTree = `mkdir -p a/b/c x; for i in 1 2 3; do head -c 5000 /dev/urandom > a/f$i; echo $i > a/b/g$i; done
head -c 3000000 /dev/urandom > big; ln a/f1 x/hl; ln -s ../a/f1 x/sl; ln -s nowhere dangling; mkfifo fifo
truncate -s 10M sparse; echo z >> sparse
mkdir many; for i in $(seq 500); do echo > many/file-with-a-rather-long-name-$i; done
echo name > $'many/a "b" $(c) *\n~'
chown 1234:2345 a/f2 x; chown -h 99:99 x/sl; chmod 4755 a/f3; chmod 1777 a/b; chmod 0 a/f1; touch -d 2001-01-01 a big`

const sampleChange = `echo 1 >> a/f1; echo more >> big; rm -rf a/b fifo; mkdir fifo; echo > fifo/x; ln -snf other dangling
rm x/hl; chmod 600 a/f2; rm sparse; mkfifo sparse; rm many/*1; mv many/file-with-a-rather-long-name-2 many/moved`

var sampleList = strings.Join([]string{"./a/f1", "./big", "./a/b", "./fifo", "./fifo/x", "./dangling", "./x/hl", "./sparse", "./many/moved", ""}, "\x00")

// TestRemoteJobs: the real runner in its jail has all kinds of jobs done by an
// sshd and by an rsync daemon; the source is root's and closed to all others.
func TestRemoteJobs(t *testing.T) {
	eachRemote(t, func(t *testing.T, r *remote, dst string) {
		shell(t, r.src, sampleTree)
		run := r.start(t)
		run.ok(ipc.JobInitial, "- /a/nothing\x00")
		same(t, r.src, dst)
		shell(t, r.src, sampleChange)
		run.ok(ipc.JobList, sampleList)
		run.ok(ipc.JobAttr, "./a/f2\x00./x\x00")
		run.ok(ipc.JobPrune, "- /nothing\x00")
		same(t, r.src, dst)
		shell(t, r.src, "rm -r many")
		run.ok(ipc.JobInitial, "")
		same(t, r.src, dst)
		if got := run.stderr.String(); got != "" {
			t.Errorf("the runner says %q", got)
		}
	})
}

func same(t *testing.T, src, dst string) {
	t.Helper()
	diff, err := compare.Equal(src, dst, compare.Options{})
	must(t, err)
	for _, d := range diff {
		t.Errorf("differs: %v", d)
	}
	if t.Failed() {
		t.FailNow()
	}
}

// byIPv6 is an sshd behind a port of ::1.
func byIPv6(t *testing.T, s *peer.SSHD, dst string) *remote {
	t.Helper()
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		testenv.Lacks(t, "this machine has no IPv6: "+err.Error())
	}
	t.Cleanup(func() { l.Close() })
	go forward(l, s.Addr())
	r := overSSH(t, s, dst)
	known, err := os.ReadFile(s.KnownHosts(t, t.TempDir(), l.Addr().String()))
	must(t, err)
	port := l.Addr().(*net.TCPAddr).AddrPort().Port()
	r.jail.KnownHosts, r.jail.Port = known, port
	r.options.Remote.Host, r.options.Remote.Port = "::1", port
	return r
}

// forward leads what comes to an address, until the listener is closed.
func forward(l net.Listener, to string) {
	for {
		here, err := l.Accept()
		if err != nil {
			return
		}
		there, err := net.Dial("tcp", to)
		if err != nil {
			here.Close()
			continue
		}
		pass := func(to, from net.Conn) {
			_, _ = io.Copy(to, from)
			_ = to.(*net.TCPConn).CloseWrite()
		}
		go pass(here, there)
		go pass(there, here)
	}
}

// TestRemoteByIPv6: addresses with colons reach ssh.
func TestRemoteByIPv6(t *testing.T) {
	dst := realDir(t)
	r := byIPv6(t, peer.StartSSHD(t, peer.SSHOptions{}), dst)
	shell(t, r.src, "echo x > file")
	r.start(t).ok(ipc.JobInitial, "")
	same(t, r.src, dst)
}

// TestRemoteByName: a name that only the supervisor can resolve, and whose first
// address is dead.
func TestRemoteByName(t *testing.T) {
	eachRemote(t, func(t *testing.T, r *remote, dst string) {
		dead := netip.AddrFrom4([4]byte{127, 0, 0, 99})
		r.jail.Hosts = resolve.Hosts{Name: "nas.example", Addrs: append([]netip.Addr{dead}, r.jail.Hosts.Addrs...)}
		r.jail.KnownHosts = bytes.ReplaceAll(r.jail.KnownHosts, []byte(r.options.Remote.Host), []byte("nas.example"))
		r.options.Remote.Host = "nas.example"
		shell(t, r.src, "echo x > file")
		r.start(t).ok(ipc.JobInitial, "")
		same(t, r.src, dst)
	})
}

// TestEachNetworkRuleIsNeeded: with any rule that only a remote target has
// taken away, a job fails or complains.
func TestEachNetworkRuleIsNeeded(t *testing.T) {
	if testing.Short() {
		testenv.Lacks(t, "-short leaves no time for it")
	}
	sshd, dst := peer.StartSSHD(t, peer.SSHOptions{}), realDir(t)
	daemon := peer.StartRsyncd(t, dst, peer.RsyncdOptions{})
	ways := []*remote{overSSH(t, sshd, dst), byIPv6(t, sshd, dst), ofDaemon(t, daemon, "", "", "data")}
	f := seccomp.Table(seccomp.Remote, runtime.GOARCH)
	tried := 0
	for i, c := range f.Allow {
		if c.Fallback || !strings.Contains(c.Who, "network: ") {
			continue
		}
		tried++
		less := f
		less.Allow = append(append([]seccomp.Call{}, f.Allow[:i]...), f.Allow[i+1:]...)
		t.Run(fmt.Sprintf("%d-%s", i, c.Name), func(t *testing.T) {
			for _, r := range ways {
				r.filter = less
				if e := r.start(t).run(ipc.JobInitial, ""); e.End != ipc.EndExited || e.Code != 0 || len(e.Tail) != 0 {
					return
				}
			}
			t.Errorf("all is well without %+v", c)
		})
	}
	if tried < 10 {
		t.Errorf("only %d rules are the network's", tried)
	}
}

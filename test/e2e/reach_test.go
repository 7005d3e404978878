//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/internal/testenv"
	"lockstep/test/peer"
)

// A handler with a network copies to another host itself, by the ssh of its own rsync,
// with a key that it is shown; what it failed at is told again.
func TestHandlerOverSSH(t *testing.T) {
	beside(t)
	testenv.NeedTool(t, "ssh")
	s := peer.StartSSHD(t, peer.SSHOptions{})
	m := untargeted(t, "rsyncshell", "")
	key, known := filepath.Join(t.TempDir(), "key"), s.KnownHosts(t, t.TempDir())
	secret, err := os.ReadFile(s.Identity)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, secret, 0o600); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`#!/bin/sh
[ $((CLSYNC_ITERATION %% 5)) != 3 ] || exit 77
exec rsync -aH --delete --modify-window=-1 --exclude-from="$4" --include-from="$3" --exclude='*' \
	-e 'ssh -F none -i %s -p %d -o UserKnownHostsFile=%s -o BatchMode=yes' ./ root@%s:%s/
`, key, s.Port(), known, s.Host(), m.dst)
	if err := os.WriteFile(m.flags[3], []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	m.flags = append(m.flags, "--network", "--handler-reads", key, "--handler-reads", known)
	m.tells()
	m.stop()
}

// Without a network the same fails, and says that it does.
func TestHandlerWithoutNetwork(t *testing.T) {
	beside(t)
	m := untargeted(t, "simple", "")
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	_, port, _ := strings.Cut(l.Addr().String(), ":")
	text := "#!/bin/bash\nexec 3<>/dev/tcp/127.0.0.1/" + port + " && echo reached\n"
	if err := os.WriteFile(m.flags[3], []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	if code := m.once("--once"); code != 1 || strings.Contains(m.output(), "reached") {
		t.Errorf("exit code %d\n%s", code, m.output())
	}
	if code := m.once("--once", "--network"); code != 0 || !strings.Contains(m.output(), "reached") || !strings.Contains(m.output(), "the handler has this host's network") {
		t.Errorf("with a network: exit code %d\n%s", code, m.output())
	}
}

// What a person names is shown as it was named, and a network is all that there is
// beside.
func TestHandlerBesideIsConfined(t *testing.T) {
	base := t.TempDir()
	for _, d := range []string{"read", "status", "twin"} {
		mkdir(t, base+"/"+d)
	}
	write(t, base+"/read/f", "x")
	write(t, base+"/secret", "x")
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	_, port, _ := strings.Cut(l.Addr().String(), ":")
	const attempts = `#!/bin/bash
can() { if "${@:2}" >/dev/null 2>&1; then echo "can $1"; else echo "cannot $1"; fi; }
can read cat BASE/read/f
can write touch STATUS/x
can tcp bash -c 'exec 3<>/dev/tcp/127.0.0.1/PORT'
can udp bash -c 'echo >/dev/udp/127.0.0.1/PORT'
can names cat /etc/hosts
can write-read touch BASE/read/new
can beside touch BASE/new
can secret cat BASE/secret
can shadow cat /etc/shadow
can execute bash -c 'cp /bin/true STATUS/true && chmod 755 STATUS/true && STATUS/true'
can write-source touch SRC/new
can write-names bash -c '>>/etc/hosts'
can proc ls /proc/1
echo done
`
	m := untargeted(t, "simple", "")
	text := strings.NewReplacer("BASE", base, "STATUS", base+"/status", "PORT", port, "SRC", m.src).Replace(attempts)
	if err := os.WriteFile(m.flags[3], []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	m.start("--network", "--handler-reads", base+"/read", "--handler-writes", base+"/status")
	m.await(0, "the handler's end", limit, says("done"))
	for _, what := range []string{"read", "write", "tcp", "udp", "names"} {
		m.await(0, what, limit, says("can "+what))
	}
	for _, what := range []string{"write-read", "beside", "secret", "shadow", "execute", "write-source", "write-names", "proc"} {
		m.await(0, what, limit, says("cannot "+what))
	}
	m.stop()
	twin := strings.NewReplacer("can write-names", ": can", base+"/status", base+"/twin").Replace(text)
	out, err := exec.CommandContext(t.Context(), "/bin/bash", "-c", twin).Output()
	if err != nil || strings.Contains(string(out), "cannot") || strings.Count(string(out), "can ") != 12 {
		t.Errorf("outside: %v\n%s", err, out)
	}
}

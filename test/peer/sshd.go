package peer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

// SSHOptions say how an sshd differs from the usual one.
type SSHOptions struct {
	Host    string   // the address it listens on; 127.0.0.1 if empty
	Command string   // shell text that runs in place of what a client asks for
	Config  []string // more lines of sshd_config; of a key said twice the first counts
}

// SSHD is an sshd that lets root in with one key.
type SSHD struct {
	daemon
	Identity string // the client's private key, a file of mode 0600

	dir      string
	commands int // files made by Force
}

// StartSSHD starts one.
func StartSSHD(t testing.TB, o SSHOptions) *SSHD {
	t.Helper()
	testenv.NeedRoot(t)
	testenv.NeedTool(t, "ssh-keygen")
	program := sshdProgram(t)
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	// sshd shuts its unprivileged part in there.
	if err := os.Mkdir("/run/sshd", 0o755); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := &SSHD{Identity: dir + "/identity", dir: dir}
	s.daemon = daemon{argv: []string{program, "-D", "-e", "-f", dir + "/sshd_config"}, host: o.Host, log: dir + "/log"}
	keygen(t, s.Identity)
	keygen(t, s.hostKey())
	if o.Command == "" {
		s.allow(t, "")
	} else {
		s.Force(t, o.Command)
	}
	s.launch(t, func(port uint16) error {
		text := strings.Join(append(o.Config, s.config(port)...), "\n") + "\n"
		if err := writeFile(dir+"/sshd_config", text, 0o600); err != nil {
			return err
		}
		// Since 9.8 sshd shuts out an address that failed too often; a test
		// that fails on purpose does.
		const penalties = "PerSourcePenalties no"
		if exec.Command(program, "-t", "-f", dir+"/sshd_config", "-o", penalties).Run() != nil {
			return nil
		}
		return writeFile(dir+"/sshd_config", penalties+"\n"+text, 0o600)
	})
	return s
}

func (s *SSHD) config(port uint16) []string {
	// Without PAM, sshd lets nobody in whose password is locked by "!", as
	// root's is on some systems.
	pam := "no"
	if shadow, err := os.ReadFile("/etc/shadow"); err == nil && strings.HasPrefix(string(shadow), "root:!") {
		pam = "yes"
	}
	return []string{
		"ListenAddress " + s.host,
		fmt.Sprintf("Port %d", port),
		"HostKey " + s.hostKey(),
		"AuthorizedKeysFile " + s.authorized(),
		"PidFile none",
		"StrictModes no", // /tmp is anybody's
		"UsePAM " + pam,
		"PermitRootLogin yes",
		"PasswordAuthentication no",
		"KbdInteractiveAuthentication no",
		"MaxStartups 1000",
		"PermitUserRC no",
		"PrintMotd no",
		"UseDNS no",
		"SetEnv HOME=" + s.dir, // a shell's start-up files may say something
		"LogLevel VERBOSE",
	}
}

func (s *SSHD) hostKey() string    { return s.dir + "/host" }
func (s *SSHD) authorized() string { return s.dir + "/authorized_keys" }

// Target is how a configuration names a directory there; the port is apart.
func (s *SSHD) Target(path string) string { return "root@" + s.host + ":" + path }

// KnownHosts makes a file in dir that holds the present host key under this
// sshd's address and under others ("host:port"), behind which a relay leads to
// it.
func (s *SSHD) KnownHosts(t testing.TB, dir string, others ...string) string {
	t.Helper()
	key, err := os.ReadFile(s.hostKey() + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(string(key))
	var text strings.Builder
	for _, addr := range append([]string{s.Addr()}, others...) {
		at := strings.LastIndexByte(addr, ':')
		if at < 0 {
			t.Fatalf("%q is not host:port", addr)
		}
		fmt.Fprintf(&text, "[%s]:%s %s %s\n", strings.Trim(addr[:at], "[]"), addr[at+1:], words[0], words[1])
	}
	path := filepath.Join(dir, "known_hosts")
	if err := writeFile(path, text.String(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// ChangeHostKey starts it anew with another host key, as after a host was
// exchanged. The function that it returns brings the old key back.
func (s *SSHD) ChangeHostKey(t testing.TB) (restore func()) {
	t.Helper()
	s.Stop()
	names := []string{s.hostKey(), s.hostKey() + ".pub"}
	for _, name := range names {
		if err := os.Rename(name, name+".old"); err != nil {
			t.Fatal(err)
		}
	}
	keygen(t, s.hostKey())
	s.Start(t)
	return func() {
		t.Helper()
		s.Stop()
		for _, name := range names {
			if err := os.Rename(name+".old", name); err != nil {
				t.Fatal(err)
			}
		}
		s.Start(t)
	}
}

// RefuseKey lets the client's key in no more, until restore is called.
// Connections that are open stay.
func (s *SSHD) RefuseKey(t testing.TB) (restore func()) {
	t.Helper()
	return s.authorize(t, "")
}

// Force runs shell text in place of what clients ask for (it finds that in
// SSH_ORIGINAL_COMMAND), until restore is called.
func (s *SSHD) Force(t testing.TB, script string) (restore func()) {
	t.Helper()
	s.commands++
	path := fmt.Sprintf("%s/command%d", s.dir, s.commands)
	if err := writeFile(path, script+"\n", 0o600); err != nil {
		t.Fatal(err)
	}
	return s.authorize(t, fmt.Sprintf(`command="/bin/sh %s" `, path)+s.publicKey(t))
}

// allow lets the client's key in, with options before it.
func (s *SSHD) allow(t testing.TB, options string) {
	t.Helper()
	s.authorize(t, options+s.publicKey(t))
}

// authorize exchanges the file that sshd reads at each login.
func (s *SSHD) authorize(t testing.TB, text string) (restore func()) {
	t.Helper()
	before, err := os.ReadFile(s.authorized())
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	set := func(text string) {
		t.Helper()
		next := s.authorized() + ".next"
		if err := writeFile(next, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, s.authorized()); err != nil {
			t.Fatal(err)
		}
	}
	set(text)
	return func() { t.Helper(); set(string(before)) }
}

func (s *SSHD) publicKey(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(s.Identity + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func sshdProgram(t testing.TB) string {
	t.Helper()
	for _, path := range []string{"/usr/sbin/sshd", "/usr/local/sbin/sshd"} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return testenv.NeedTool(t, "sshd")
}

func keygen(t testing.TB, path string) {
	t.Helper()
	out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", path).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
}

// NoiseSize is how much a noisy peer says.
const NoiseSize = 100 << 20

// NoiseMark is in every line of it.
const NoiseMark = "owned-by-noise"

// NoiseScript says NoiseSize bytes of terminal escape sequences on standard
// error, and fails.
func NoiseScript() string {
	return fmt.Sprintf(`yes "$(printf '\033]0;%s\007\033[2J\033[31m\302\233\r\b')" | head -c %d >&2; exit 3`, NoiseMark, NoiseSize)
}

// Noise starts an sshd that runs NoiseScript, whatever it is asked for.
func Noise(t testing.TB) *SSHD {
	t.Helper()
	return StartSSHD(t, SSHOptions{Command: NoiseScript()})
}

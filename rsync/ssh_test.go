package rsync

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

// hostileConfig is what a user, or who can write a user's home, would have ssh do.
const hostileConfig = `
ProxyCommand touch %[1]s/proxy
ProxyJump evil
LocalCommand touch %[1]s/local
PermitLocalCommand yes
RemoteCommand evil
KnownHostsCommand /bin/touch %[1]s/known
StrictHostKeyChecking no
UserKnownHostsFile /dev/null
GlobalKnownHostsFile /dev/null
IdentityFile %[1]s/other
IdentityAgent %[1]s/agent
CertificateFile %[1]s/cert
AddKeysToAgent yes
ForwardAgent yes
ForwardX11 yes
ForwardX11Trusted yes
LocalForward 9999 evil:1
RemoteForward 9998 evil:1
DynamicForward 9997
ControlMaster auto
ControlPath %[1]s/control
ControlPersist yes
PKCS11Provider %[1]s/evil.so
SendEnv *
SetEnv EVIL=1
Tunnel yes
PasswordAuthentication yes
PreferredAuthentications password,keyboard-interactive
UpdateHostKeys yes
VerifyHostKeyDNS yes
CanonicalizeHostname always
Hostname evil
Port 1
User evil
LogLevel QUIET
ServerAliveInterval 0
RequestTTY force
`

// TestSSHOptions asks the installed ssh what it would do, with a hostile
// configuration in the home that it looks for one in.
func TestSSHOptions(t *testing.T) {
	testenv.NeedTool(t, "ssh")
	home := t.TempDir()
	config := filepath.Join(home, "config")
	if err := os.WriteFile(config, fmt.Appendf(nil, hostileConfig, home), 0o600); err != nil {
		t.Fatal(err)
	}
	ask := func(argv ...string) map[string][]string {
		t.Helper()
		out, err := exec.Command("ssh", argv...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		got := map[string][]string{}
		for line := range strings.Lines(string(out)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			got[key] = append(got[key], value)
		}
		return got
	}
	// The control: ssh understands the hostile file, and would do it.
	if got := ask("-G", "-F", config, "web2"); got["hostname"][0] != "evil" || got["forwardagent"][0] != "yes" {
		t.Fatalf("the hostile configuration is without effect: %q", got)
	}
	words := SSHWords("mirror", 2222)
	at := slices.Index(words, "--")
	// As it is, with the file where -F would not keep ssh from finding it: the
	// last -F counts, the first value of an option does.
	for name, argv := range map[string][]string{
		"plain":   slices.Concat([]string{"-G"}, words[1:], []string{"web2"}),
		"options": slices.Concat([]string{"-G"}, words[1:at], []string{"-F", config, "--", "web2"}),
	} {
		got := ask(argv...)
		want := map[string]string{"stricthostkeychecking": "true", "userknownhostsfile": KnownHostsPath, "globalknownhostsfile": "none",
			"identityfile": IdentityPath, "identitiesonly": "yes", "identityagent": "none", "batchmode": "yes",
			"port": "2222", "user": "mirror", "proxycommand": "none", "controlpath": "none",
			"addkeystoagent": "false", "forwardagent": "no", "forwardx11": "no", "forwardx11trusted": "no", "clearallforwardings": "yes",
			"controlmaster": "false", "controlpersist": "no", "permitlocalcommand": "no", "tunnel": "false", "requesttty": "false",
			"updatehostkeys": "false", "verifyhostkeydns": "false", "canonicalizehostname": "false", "gatewayports": "no",
			"passwordauthentication": "no", "kbdinteractiveauthentication": "no", "hostbasedauthentication": "no", "gssapiauthentication": "no",
			"pubkeyauthentication": "true", "preferredauthentications": "publickey", "numberofpasswordprompts": "0",
			"connecttimeout": fmt.Sprint(connectTime), "serveraliveinterval": fmt.Sprint(aliveTime), "serveralivecountmax": fmt.Sprint(aliveMost),
			"connectionattempts": "1", "tcpkeepalive": "yes", "loglevel": "ERROR", "escapechar": "none", "checkhostip": "no"}
		for key, value := range want {
			if key == "proxycommand" || key == "controlpath" || key == "identityagent" {
				// "none" may be shown or left out.
				if g := got[key]; len(g) > 0 && !slices.Equal(g, []string{"none"}) {
					t.Errorf("%s: %s is %q", name, key, g)
				}
				continue
			}
			if key == "identityfile" && name == "options" {
				continue // several are added up; IdentitiesOnly and the jail leave one
			}
			if !slices.Equal(got[key], []string{value}) {
				t.Errorf("%s: %s is %q, want %q", name, key, got[key], value)
			}
		}
		for _, key := range []string{"proxyjump", "localcommand", "remotecommand", "localforward", "remoteforward", "dynamicforward", "pkcs11provider"} {
			if g := got[key]; len(g) > 0 && g[0] != "none" {
				t.Errorf("%s: %s is %q", name, key, g)
			}
		}
		if name == "plain" && (got["hostname"][0] != "web2" || len(got["sendenv"])+len(got["setenv"])+len(got["knownhostscommand"]) > 0) {
			t.Errorf("something of a configuration is in %q", got)
		}
	}
}

func TestParseConnect(t *testing.T) {
	// What rsync 3.5.0 and 3.1.3 say with -s.
	for words, want := range map[string]string{
		"-p 22 -l mirror web2 rsync --server -slHogDtpRe.LsfxCIvu": "-p 22 -l mirror -- web2 rsync --server -slHogDtpRe.LsfxCIvu",
		"-p 2222 ::1 rsync --server -se.LsfxC":                     "-p 2222 -- ::1 rsync --server -se.LsfxC",
		"-p 2222 192.0.2.1 rsync --server -s --timeout=20 . ":      "",
		"-l mirror web2 rsync --server":                            "",
		"-p 0 web2 rsync --server":                                 "",
		"-p 022 web2 rsync --server":                               "",
		"-p 65536 web2 rsync --server":                             "",
		"-p 22 -oProxyCommand=x web2 rsync --server":               "",
		"-p 22 -l -oProxyCommand=x web2 rsync --server":            "",
		"-p 22 -F x web2 rsync --server":                           "",
		"-p 22 web2":                                               "",
		"-p 22 web2 sh --server":                                   "",
		"-p 22 web2 rsync --daemon":                                "",
		"-p 22 web2 rsync --server -s ;id":                         "",
		"-p 22 web2 rsync --server $(id)":                          "",
		"-p 22 web2 rsync --server ~/x":                            "",
		"-p 22 -l mirror web2;id rsync --server":                   "",
		"-p 22 -l mirror -w rsync --server":                        "",
		"":                                                         "",
		"build-id":                                                 "",
	} {
		got, err := ParseConnect(strings.Split(words, " "))
		switch {
		case want == "" && err == nil:
			t.Errorf("%q became %q", words, got)
		case want != "" && (err != nil || !strings.HasSuffix(strings.Join(got, " "), " "+want)):
			t.Errorf("%q became %q, %v", words, got, err)
		}
	}
	if _, err := ParseConnect(nil); err == nil {
		t.Error("no words are accepted")
	}
}

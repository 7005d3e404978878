package rsync

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// sshOptions are ssh's, each with its reason in ssh_config(5)'s words; what is
// here is what happens, whatever a host or a user has configured (-F none).
// No option is newer than OpenSSH 7.6: an older ssh refuses what it does not
// know.
func sshOptions() []string {
	return []string{
		// Nobody is there to be asked.
		"BatchMode=yes", "NumberOfPasswordPrompts=0", "RequestTTY=no", "EscapeChar=none",
		// The peer is who the given file says, and nobody is believed at first sight.
		"StrictHostKeyChecking=yes", "UserKnownHostsFile=" + KnownHostsPath, "GlobalKnownHostsFile=none",
		"VerifyHostKeyDNS=no", "UpdateHostKeys=no", "CheckHostIP=no", "CanonicalizeHostname=no",
		// The given key, and no other way in.
		"IdentityFile=" + IdentityPath, "IdentitiesOnly=yes", "IdentityAgent=none", "AddKeysToAgent=no",
		"PKCS11Provider=none", "PreferredAuthentications=publickey", "PubkeyAuthentication=yes",
		"PasswordAuthentication=no", "KbdInteractiveAuthentication=no", "HostbasedAuthentication=no",
		"GSSAPIAuthentication=no",
		// One connection, straight, with nothing in it but rsync.
		"ProxyCommand=none", "ProxyJump=none", "ControlMaster=no", "ControlPath=none", "ControlPersist=no",
		"ForwardAgent=no", "ForwardX11=no", "ForwardX11Trusted=no", "ClearAllForwardings=yes", "Tunnel=no",
		"GatewayPorts=no", "PermitLocalCommand=no", "LocalCommand=none", "RemoteCommand=none",
		// A peer that is gone is noticed.
		fmt.Sprintf("ConnectTimeout=%d", connectTime), "ConnectionAttempts=1", "TCPKeepAlive=yes",
		fmt.Sprintf("ServerAliveInterval=%d", aliveTime), fmt.Sprintf("ServerAliveCountMax=%d", aliveMost),
		// Why it failed, and no banner.
		"LogLevel=ERROR",
	}
}

// SSHWords is the whole command line of ssh up to the host's name: argv[0]
// first. The host and rsync's own words for the other side follow.
func SSHWords(user string, port uint16) []string {
	argv := []string{"ssh", "-F", "none", "-T", "-a", "-x"}
	for _, o := range sshOptions() {
		argv = append(argv, "-o"+o)
	}
	argv = append(argv, "-p", strconv.Itoa(int(port)))
	if user != "" {
		argv = append(argv, "-l", user)
	}
	return append(argv, "--")
}

// ParseConnect turns the words with which rsync starts its remote shell,
// "-p PORT [-l USER] HOST rsync --server …", into ssh's command line. Nothing
// else is taken: no option of ssh's can be given to it.
func ParseConnect(words []string) ([]string, error) {
	rest, port, err := option(words, "-p", true)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 || strconv.FormatUint(number, 10) != port {
		return nil, fmt.Errorf("%q is no port", port)
	}
	rest, user, err := option(rest, "-l", false)
	if err != nil {
		return nil, err
	}
	if len(rest) < 3 || rest[1] != "rsync" || rest[2] != "--server" {
		return nil, errors.New("want -p PORT [-l USER] HOST rsync --server …: this program is started by rsync only")
	}
	if host := rest[0]; host == "" || host[0] == '-' || strings.ContainsFunc(host, notInHost) {
		return nil, fmt.Errorf("%q is no host", host)
	}
	for _, word := range rest[1:] {
		// A shell there puts the words together. With -s rsync has no others.
		if word == "" || strings.ContainsFunc(word, notInServer) {
			return nil, fmt.Errorf("rsync's word %q is not a plain one", word)
		}
	}
	return slices.Concat(SSHWords(user, uint16(number)), rest), nil
}

// option takes a name and its value from the front.
func option(words []string, name string, must bool) (rest []string, value string, err error) {
	if len(words) < 2 || words[0] != name {
		if must {
			return nil, "", fmt.Errorf("%s is missing", name)
		}
		return words, "", nil
	}
	if value = words[1]; value == "" || value[0] == '-' || strings.ContainsFunc(value, isControl) {
		return nil, "", fmt.Errorf("%s has no value but %q", name, value)
	}
	return words[2:], value, nil
}

func letter(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

func notInHost(r rune) bool { return !letter(r) && !strings.ContainsRune(".-_:", r) }

func notInServer(r rune) bool { return !letter(r) && !strings.ContainsRune(".-_,=", r) }

// SSHEnv is ssh's whole environment.
func SSHEnv() []string { return []string{"PATH=/usr/bin", "LANG=C"} }

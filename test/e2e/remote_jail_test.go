//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"lockstep/test/peer"
)

// documented reads what SECURITY.md says about the jail of a remote target: what
// rsync and ssh hold, by row, and what stands in the tables of files and of the
// environment.
func documented(t *testing.T) map[string][2][]string {
	t.Helper()
	rows := map[string][2][]string{}
	for _, cells := range table(t, "What rsync and ssh hold") {
		rows[cells[0]] = [2][]string{quoted(cells[1]), quoted(cells[2])}
	}
	var files, env [2][]string
	for _, cells := range table(t, "Files in it") {
		names := quoted(cells[0])
		if len(names) == 0 {
			names = quoted(cells[1]) // the programs
		}
		for i := range files {
			if !strings.HasPrefix(cells[1], "daemon: ") {
				files[i] = append(files[i], names...)
			}
		}
	}
	for _, cells := range table(t, "Environment in it") {
		for i, name := range []string{"rsync", "ssh"} {
			if slices.Contains(strings.Split(cells[1], ", "), name) {
				env[i] = append(env[i], quoted(cells[0])...)
			}
		}
	}
	rows["files"], rows["environment"] = files, env
	return rows
}

// table returns the cells of the rows below a heading of SECURITY.md.
func table(t *testing.T, heading string) [][]string {
	t.Helper()
	text, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n### "+heading+"\n")
	if !ok {
		t.Fatalf("SECURITY.md has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n#")
	var rows [][]string
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) < 4 {
			continue
		}
		cells = cells[1 : len(cells)-1]
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	return rows
}

// quoted is what stands in backquotes.
func quoted(cell string) []string {
	var words []string
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cell, -1) {
		words = append(words, m[1])
	}
	return words
}

// row wants a documented row.
func row(t *testing.T, rows map[string][2][]string, name string) [2][]string {
	t.Helper()
	r, ok := rows[name]
	if !ok {
		t.Errorf("the table in SECURITY.md has no row %q", name)
	}
	return r
}

// underWay starts a mirror to an sshd with a slow copy under way, and returns
// its rsync and its ssh.
func underWay(t *testing.T) (m *mirror, s *peer.SSHD, commands [2]proc) {
	t.Helper()
	s = peer.StartSSHD(t, peer.SSHOptions{})
	m = overSSH(t, s, "--bwlimit", "300KiB")
	write(t, m.src+"/f", "x")
	m.start().ready()
	write(t, m.src+"/big", string(make([]byte, 6<<20)))
	commands = [2]proc{m.any("rsync"), m.any("ssh")}
	m.seen.look(m.cmd.Process.Pid)
	return m, s, commands
}

// The command of an ssh target, while it works: each kind of right is what
// SECURITY.md says, for rsync and for ssh.
func TestRemoteCommandIsConfined(t *testing.T) {
	beside(t)
	doc := documented(t)
	m, s, commands := underWay(t)
	worker := ids(t, m.the("lockstep-worker").pid)
	for i, p := range commands {
		name := []string{"rsync", "ssh"}[i]
		own := ids(t, p.pid)
		if own == worker || own == "0 0" || strings.Contains(own, "65534") {
			t.Errorf("%s runs as %s, and the worker as %s", name, own, worker)
		}
		capabilities(t, name, p.pid, row(t, doc, "capabilities")[i])
		environment(t, name, p.pid, row(t, doc, "environment")[i])
		for kind := range descriptors(t, p.pid) {
			if !slices.Contains(row(t, doc, "descriptors")[i], kind) {
				t.Errorf("%s holds %s, which SECURITY.md does not list", name, kind)
			}
		}
		readOnly(t, name, p.pid)
		files(t, name, p.pid, row(t, doc, "files")[i])
		network(t, name, p.pid, s.Port(), row(t, doc, "network")[i])
	}
	fixedWords(t, commands[1].pid)
	m.stop()
}

// ids are uid and gid of every thread, all the same, without groups.
func ids(t *testing.T, pid int) string {
	t.Helper()
	var out string
	for _, path := range tasks(t, pid) {
		var both []string
		for _, name := range []string{"Uid", "Gid"} {
			all := strings.Fields(field(t, path, name))
			if len(all) != 4 || slices.ContainsFunc(all, func(id string) bool { return id != all[0] }) {
				t.Errorf("%s: %s %v", path, name, all)
				return ""
			}
			both = append(both, all[0])
		}
		if groups := field(t, path, "Groups"); groups != "" && groups != both[1] {
			t.Errorf("%s: groups %s", path, groups)
		}
		out = strings.Join(both, " ")
	}
	return out
}

// capabilities wants no set but the bounding one to hold more than what is
// documented, and that no more than rsync's.
func capabilities(t *testing.T, name string, pid int, documented []string) {
	t.Helper()
	numbers := map[string]uint64{"CAP_DAC_READ_SEARCH": capDACReadSearch}
	var want uint64
	for _, c := range documented {
		if numbers[c] == 0 {
			t.Errorf("SECURITY.md grants %s the capability %s", name, c)
		}
		want |= numbers[c]
	}
	for _, path := range tasks(t, pid) {
		for set, most := range map[string]uint64{"CapInh": want, "CapPrm": want, "CapEff": want, "CapAmb": want, "CapBnd": capDACReadSearch} {
			got, err := strconv.ParseUint(field(t, path, set), 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			if got&^most != 0 {
				t.Errorf("%s: %s is %#x, at most %#x", name, set, got, most)
			}
		}
		for key, value := range map[string]string{"NoNewPrivs": "1", "Seccomp": "2"} {
			if got := field(t, path, key); got != value {
				t.Errorf("%s: %s %s, want %s", name, key, got, value)
			}
		}
	}
}

func environment(t *testing.T, name string, pid int, documented []string) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for word := range bytes.SplitSeq(bytes.TrimRight(text, "\x00"), []byte{0}) {
		got = append(got, string(word))
	}
	want := slices.Clone(documented)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s has the environment %q, SECURITY.md says %q", name, got, want)
	}
}

// readOnly wants nothing to be writable, and the source to be no more than
// data.
func readOnly(t *testing.T, name string, pid int) {
	t.Helper()
	seen := mountsOf(t, pid)
	for at, options := range seen {
		if !hasOption(options, "ro") || !hasOption(options, "nosuid") {
			t.Errorf("%s: %s is mounted %s", name, at, options)
		}
	}
	if data := seen["/source"]; !hasOption(data, "noexec") || !hasOption(data, "nodev") {
		t.Errorf("%s: the source is mounted %q", name, data)
	}
}

// files compares what is in the jail with the documented list, in which "…"
// at an end stands for anything.
func files(t *testing.T, name string, pid int, documented []string) {
	t.Helper()
	root := fmt.Sprintf("/proc/%d/root", pid)
	own := ids(t, pid)
	matched := map[string]bool{}
	walk := func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside := "/" + strings.TrimPrefix(strings.TrimPrefix(path, root), "/")
		if inside == "/source" {
			matched[inside] = true
			return filepath.SkipDir
		}
		if d.IsDir() {
			return nil
		}
		known := false
		for _, w := range documented {
			prefix, any := strings.CutSuffix(w, "…")
			if inside == w || any && strings.HasPrefix(inside, prefix) {
				matched[w], known = true, true
			}
		}
		if !known {
			t.Errorf("%s can see %s, which SECURITY.md does not list", name, inside)
		}
		if inside == "/lockstep/identity" {
			secret(t, path, own)
		}
		return nil
	}
	// With the slash: else it is a link, which is not followed.
	if err := filepath.WalkDir(root+"/", walk); err != nil {
		t.Fatal(err)
	}
	for _, w := range documented {
		if !matched[w] && !strings.HasSuffix(w, "…") {
			t.Errorf("SECURITY.md lists %s, which %s cannot see", w, name)
		}
	}
}

// secret wants a file to be readable by one uid alone.
func secret(t *testing.T, path, own string) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	if got := fmt.Sprintf("%d %d", st.Uid, st.Gid); info.Mode().Perm() != 0o400 || got != own {
		t.Errorf("%s has mode %v and belongs to %s, want 0400 and %s", path, info.Mode(), got, own)
	}
}

// network wants the host's network namespace, if that is documented, and every
// connection to lead to one port.
func network(t *testing.T, name string, pid int, port uint16, documented []string) {
	t.Helper()
	theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		t.Fatal(err)
	}
	ours, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if shared := slices.Contains(documented, "host"); shared != (ours == theirs) {
		t.Errorf("%s shares the host's network: %v; SECURITY.md: %v", name, ours == theirs, shared)
	}
	remote := map[string]string{} // far end by inode
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 9 {
				remote["socket:["+f[9]+"]"] = f[2]
			}
		}
	}
	connected := false
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		to, err := os.Readlink(link)
		if err != nil {
			continue
		}
		if far, ok := remote[to]; ok {
			connected = true
			if !strings.HasSuffix(far, fmt.Sprintf(":%04X", port)) {
				t.Errorf("%s is connected to %s", name, far)
			}
		}
	}
	if connected != (name == "ssh") {
		t.Errorf("%s has a TCP connection: %v", name, connected)
	}
}

// fixedWords wants ssh's command line to hold what makes it trust and offer
// nothing but what was configured.
func fixedWords(t *testing.T, pid int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		t.Fatal(err)
	}
	line := " " + strings.ToLower(strings.ReplaceAll(strings.ReplaceAll(string(text), "\x00", " "), " -o", " -o ")) + " "
	for _, want := range []string{"-F none", "-T", "-a", "-x", "BatchMode=yes", "StrictHostKeyChecking=yes", "GlobalKnownHostsFile=none",
		"IdentitiesOnly=yes", "IdentityAgent=none", "ForwardAgent=no", "ForwardX11=no", "ClearAllForwardings=yes",
		"PermitLocalCommand=no", "ProxyCommand=none", "ControlPath=none", "UpdateHostKeys=no"} {
		if !strings.Contains(line, " "+strings.ToLower(want)+" ") {
			t.Errorf("ssh's command line lacks %q: %s", want, line)
		}
	}
	if strings.Contains(line, "/etc/ssh") || strings.Contains(line, "/root/") {
		t.Errorf("ssh's command line names files of the host: %s", line)
	}
}

// A hostile configuration of root's own and of the host's changes nothing:
// neither is in the jail. The key of the agent that runs here is not offered.
func TestRemoteIgnoresUsersConfig(t *testing.T) {
	s := peer.StartSSHD(t, peer.SSHOptions{})
	home := t.TempDir()
	if err := os.Mkdir(home+"/.ssh", 0o700); err != nil {
		t.Fatal(err)
	}
	mark := home + "/was-run"
	write(t, home+"/.ssh/config", "Host *\nProxyCommand touch "+mark+"\nPermitLocalCommand yes\nLocalCommand touch "+mark+"\nStrictHostKeyChecking no\n")
	t.Setenv("HOME", home)
	t.Setenv("RSYNC_RSH", "touch "+mark)
	t.Setenv("SSH_AUTH_SOCK", home+"/agent")
	m := overSSH(t, s)
	write(t, m.src+"/f", "x")
	m.start().ready()
	m.stop()
	if _, err := os.Stat(mark); err == nil {
		t.Error("a command of the user's configuration was run")
	}
}

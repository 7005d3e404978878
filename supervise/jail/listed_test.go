package jail

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/ipc"
	"lockstep/rsync"
	"lockstep/sandbox"
	"lockstep/supervise/host"
	"lockstep/test/peer"
)

// report is the probe's.
type report struct {
	Args, Env []string
	FDs       []int
	UID       int
	Caps      [2]unix.CapUserData
	Acts      map[string]string
}

// buildProbe makes testdata/probe, a static program.
func buildProbe(t *testing.T) string {
	t.Helper()
	out := filepath.Join(realDir(t), "probe")
	cmd := exec.Command("go", "build", "-trimpath", "-o", out, "./testdata/probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return out
}

// inPlaceOfSSH puts a program where the jail has ssh.
func (r *remote) inPlaceOfSSH(program string, acts []string) {
	const place = "/usr/bin/ssh"
	r.jail.Command.SSH = host.Command{Program: place, Files: []string{place}}
	r.jail.Identity = []byte(strings.Join(acts, "\n") + "\n")
	r.spec = func(s *sandbox.Spec) {
		for i := range s.Binds {
			if s.Binds[i].Target == place {
				s.Binds[i].Source = program
			}
		}
	}
}

// parse finds the report in a job's output.
func parse(t *testing.T, text []byte) report {
	t.Helper()
	for line := range strings.Lines(string(text)) {
		if data, ok := strings.CutPrefix(line, "REPORT "); ok {
			var r report
			must(t, json.Unmarshal([]byte(data), &r))
			return r
		}
	}
	t.Fatalf("no report in %q", text)
	return report{}
}

// document is SECURITY.md.
func document(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../../SECURITY.md")
	must(t, err)
	return string(data)
}

// TestSSHJailIsDocumented lists files, environment and network of an ssh
// command from inside, and compares them with SECURITY.md's tables.
func TestSSHJailIsDocumented(t *testing.T) {
	text := document(t)
	var ports [2]string
	var target *net.TCPListener
	for i := range ports {
		l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		must(t, err)
		defer l.Close()
		if ports[i] = l.Addr().String(); i == 0 {
			target = l
		}
	}
	datagrams, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: fmt.Sprintf("@lockstep-test-%d", os.Getpid())})
	must(t, err)
	defer datagrams.Close()
	objects := map[string]string{"target": ports[0], "other": ports[1], "pair": datagrams.LocalAddr().String()}
	named := map[string]string{} // the document's words for acts
	for _, row := range rows(t, text, "### Network from it") {
		act, where, _ := strings.Cut(row, " ")
		if where != "" {
			act += ":" + objects[where]
		}
		named[row] = act
	}
	acts := slices.Collect(maps.Values(named))
	files := map[string]string{"read:/source/open": "EACCES", "list:/source": "EACCES", "exec:/source/open": "EACCES",
		"list:/": "EACCES", "write:/lockstep/run/connect": "EACCES", "read:" + rsync.KnownHostsPath: "ok", "write:/dev/null": "ok",
		"read:/dev/zero": "ENOENT", "read:/etc/shadow": "ENOENT", "read:/etc/ssh/ssh_config": "ENOENT", "exec:/bin/sh": "ENOENT", "list:/proc": "ENOENT"}
	acts = append(acts, slices.Collect(maps.Keys(files))...)
	acts = append(acts, "ready:"+ports[0])
	probe := buildProbe(t)

	to := rsync.Remote{User: "mirror", Host: "127.0.0.1", Port: port(t, ports[0])}
	r := newRemote(t, rsync.SSH, to, "/srv/backup")
	r.inPlaceOfSSH(probe, acts)
	shell(t, r.src, "echo x > open; chmod 755 open")
	run := r.start(t)
	run.begin(ipc.JobInitial, "")
	pid := awaitSSH(t)
	wantFiles(t, text, pid, r.jail)
	must(t, target.SetDeadline(time.Now().Add(20*time.Second)))
	for range 2 { // the act, and the word that the report is out
		c, err := target.AcceptTCP()
		must(t, err)
		defer c.Close()
	}
	must(t, unix.Kill(pid, unix.SIGKILL))
	got := parse(t, run.end().Tail)

	for row, act := range named {
		if want := documented(t, text, row); got.Acts[act] != want {
			t.Errorf("%s: %s, documented as %s", row, got.Acts[act], want)
		}
	}
	for act, want := range files {
		if got.Acts[act] != want {
			t.Errorf("%s: %s, want %s", act, got.Acts[act], want)
		}
	}
	wantEnv(t, text, got.Env)
	if got.Caps != [2]unix.CapUserData{} || got.UID != testUID || !slices.Equal(got.FDs, []int{0, 1, 2}) {
		t.Errorf("capabilities %v, uid %v, descriptors %v", got.Caps, got.UID, got.FDs)
	}
	want := append(rsync.SSHWords("mirror", to.Port), "127.0.0.1", "rsync", "--server")
	if len(got.Args) < len(want) || !slices.Equal(got.Args[:len(want)], want) {
		t.Errorf("ssh's command line is %q, want %q …", got.Args, want)
	}
	unconfinedTwin(t, probe, named, r.src)
}

// unconfinedTwin: outside, what is refused in the jail is done.
func unconfinedTwin(t *testing.T, probe string, named map[string]string, src string) {
	t.Helper()
	acts := append(slices.Collect(maps.Values(named)), "read:"+src+"/open", "list:/", "list:/proc")
	file := filepath.Join(t.TempDir(), "acts")
	must(t, os.WriteFile(file, []byte(strings.Join(acts, "\n")), 0o600))
	cmd := exec.Command(probe)
	cmd.Env = []string{"PROBE_ACTS=" + file}
	text, err := cmd.CombinedOutput()
	must(t, err)
	for act, result := range parse(t, text).Acts {
		if result != "ok" && !(act == "mptcp" && result == "EPROTONOSUPPORT") {
			t.Errorf("the twin: %s: %s", act, result)
		}
	}
}

// documented is the second column of a row.
func documented(t *testing.T, text, row string) string {
	t.Helper()
	found := regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(row) + "` \\| ([a-zA-Z]+) \\|").FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no row %q with an answer", row)
	}
	return found[1]
}

// wantEnv compares the environments of rsync and ssh with the table.
func wantEnv(t *testing.T, text string, ssh []string) {
	t.Helper()
	var forSSH []string
	all := rows(t, text, "### Environment in it")
	for _, row := range all {
		if strings.Contains(text, "| `"+row+"` | rsync, connect, ssh |") {
			forSSH = append(forSSH, row)
		}
	}
	for who, pair := range map[string][2][]string{"ssh": {ssh, forSSH}, "rsync": {RemoteEnv(), all}} {
		if !slices.Equal(slices.Sorted(slices.Values(pair[0])), slices.Sorted(slices.Values(pair[1]))) {
			t.Errorf("%s: environment %q, documented as %q", who, pair[0], pair[1])
		}
	}
}

// wantFiles compares all that is in a process's root with the table.
func wantFiles(t *testing.T, text string, pid int, r Remote) {
	t.Helper()
	root := fmt.Sprintf("/proc/%d/root", pid)
	var found []string
	must(t, filepath.WalkDir(root+"/", func(path string, d fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, root)
		switch {
		case err != nil:
			return err
		case name == Source:
			found = append(found, name)
			return fs.SkipDir
		case !d.IsDir():
			found = append(found, name)
		}
		return nil
	}))
	want := slices.Concat(r.Command.Rsync.Files, r.Command.SSH.Files,
		slices.Collect(maps.Keys(r.Command.Rsync.Links)), slices.Collect(maps.Keys(r.Command.SSH.Links)))
	for _, row := range rows(t, text, "### Files in it") {
		if strings.HasPrefix(row, "/") && row != rsync.PasswordPath {
			want = append(want, row)
		}
	}
	slices.Sort(found)
	slices.Sort(want)
	if want = slices.Compact(want); !slices.Equal(found, want) {
		t.Errorf("the jail holds\n%q\ndocumented are\n%q", found, want)
	}
	for _, secret := range []string{rsync.IdentityPath, rsync.KnownHostsPath} {
		var st unix.Stat_t
		must(t, unix.Lstat(root+secret, &st))
		if st.Mode != unix.S_IFREG|0o400 || st.Uid != testUID || st.Gid != testGID {
			t.Errorf("%s: mode %o, %d:%d", secret, st.Mode, st.Uid, st.Gid)
		}
	}
}

func port(t *testing.T, addr string) uint16 {
	t.Helper()
	_, text, err := net.SplitHostPort(addr)
	must(t, err)
	n, err := strconv.ParseUint(text, 10, 16)
	must(t, err)
	return uint16(n)
}

// awaitSSH waits for the process that connect has become.
func awaitSSH(t *testing.T) int {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		dirs, err := filepath.Glob("/proc/[0-9]*")
		must(t, err)
		for _, dir := range dirs {
			var st unix.Stat_t
			if unix.Stat(dir, &st) != nil {
				continue
			}
			line, err := os.ReadFile(dir + "/cmdline")
			if err != nil || !strings.HasPrefix(string(line), "ssh\x00-F\x00none\x00") {
				continue
			}
			if status := fields(t, dir); status["Uid"] == fmt.Sprintf("%[1]d\t%[1]d\t%[1]d\t%[1]d", testUID) {
				pid, err := strconv.Atoi(filepath.Base(dir))
				must(t, err)
				return pid
			}
		}
	}
	t.Fatal("no ssh")
	return 0
}

// fields are those of a process's status; none when it has gone.
func fields(t *testing.T, dir string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(dir + "/status")
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ESRCH) {
		t.Fatal(err)
	}
	found := map[string]string{}
	for line := range strings.Lines(string(data)) {
		k, v, _ := strings.Cut(line, ":")
		found[k] = strings.TrimSpace(v)
	}
	return found
}

// TestSSHHoldsNothing looks at the real ssh while its peer keeps it waiting.
func TestSSHHoldsNothing(t *testing.T) {
	stalled := peer.Stall(t, "SSH-2.0-Stalled\r\n")
	r := newRemote(t, rsync.SSH, rsync.Remote{User: "root", Host: "127.0.0.1", Port: stalled.Port()}, "/x")
	r.cfg.Timeout = 5 * time.Second // it is looked at before
	run := r.start(t)
	run.begin(ipc.JobInitial, "")
	stalled.AwaitAccepted(t, 1)
	pid := awaitSSH(t)
	dir := fmt.Sprintf("/proc/%d", pid)
	got := fields(t, dir)
	for field, want := range map[string]string{
		"CapInh": "0000000000000000", "CapPrm": "0000000000000000", "CapEff": "0000000000000000", "CapAmb": "0000000000000000",
		"CapBnd": fmt.Sprintf("%016x", 1<<unix.CAP_DAC_READ_SEARCH), "NoNewPrivs": "1", "Seccomp": "2", "Groups": "",
		"Gid": fmt.Sprintf("%[1]d\t%[1]d\t%[1]d\t%[1]d", testGID),
	} {
		if got[field] != want {
			t.Errorf("%s is %q, want %q", field, got[field], want)
		}
	}
	if e := run.end(); e.End != ipc.EndTimeout {
		t.Errorf("a peer that stalls: %+v %s", e, e.Tail)
	}
}

//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

// refused runs lockstep with words until it ends and wants an exit code and
// all of the texts in what it says.
func refused(t *testing.T, code int, words []string, want ...string) {
	t.Helper()
	out, got := runs(t, nil, words...)
	if got != code {
		t.Errorf("%q: exit code %d, want %d", words, got, code)
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			t.Errorf("%q does not say %q:\n%s", words, w, out)
		}
	}
	if n := strings.Count(strings.TrimSpace(out), "\n") + 1; n > 8 {
		t.Errorf("%q: %d lines are no clear message:\n%s", words, n, out)
	}
	for _, no := range []string{"panic", "goroutine ", "\x1b"} {
		if strings.Contains(out, no) {
			t.Errorf("%q says %q:\n%s", words, no, out)
		}
	}
}

// runs starts lockstep and returns what it says and its exit code.
func runs(t *testing.T, attr *syscall.SysProcAttr, words ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(program(t, "lockstep"), words...)
	cmd.SysProcAttr = attr
	timer := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// Each bad input is refused before anything starts: the thing, the reason,
// what to do.
func TestBadInput(t *testing.T) {
	testenv.NeedRoot(t)
	base := t.TempDir()
	dirs := []string{"src", "src/below", "dst", "dst/below", "ro"}
	for _, d := range dirs {
		if err := os.Mkdir(filepath.Join(base, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, base+"/file", "x")
	write(t, base+"/script", "#!/bin/sh\n")
	write(t, base+"/not-executable", "x")
	if err := os.Chmod(base+"/script", 0o755); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"to-src": "src", "nowhere": "nothing", "loop": "loop"} {
		if err := os.Symlink(to, filepath.Join(base, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mount("none", base+"/ro", "tmpfs", syscall.MS_RDONLY, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(base+"/ro", syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	mirror := func(words ...string) []string {
		return append([]string{"mirror", "--runtime-dir", base + "/run", "--state-dir", base + "/state"}, words...)
	}
	s, d := base+"/src", base+"/dst"
	cases := map[string]struct {
		words []string
		want  []string
	}{
		"no words":            {mirror(), []string{"SRC"}},
		"one word":            {mirror(s), []string{"DST"}},
		"target in a target":  {mirror(s, d, d+"/below"), []string{"target", "below"}},
		"a target twice":      {mirror(s, d, d), []string{"twice"}},
		"ssh without a key":   {mirror(s, "root@localhost:/x"), []string{"--ssh-identity"}},
		"key that is missing": {mirror("--ssh-identity", base+"/none", "--ssh-known-hosts", base+"/file", s, "root@localhost:/x"), []string{base + "/none"}},
		"a home to expand":    {mirror(s, "root@localhost:~/x"), []string{"~"}},
		"no module":           {mirror(s, "rsync://localhost"), []string{"module"}},
		"an odd scheme":       {mirror(s, "ftp://localhost/x"), []string{"ftp"}},
		"an option as host":   {mirror(s, "-oProxyCommand=x:/x"), []string{"ProxyCommand"}},
		"a bad word of rsync": {mirror("--rsync-args", "--rsh=sh", s, d), []string{"--rsh"}},
		"unknown flag":        {mirror("--frobnicate", s, d), []string{"frobnicate", "--help"}},
		"bad duration":        {mirror("--delay", "soon", s, d), []string{"--delay", "soon", "200ms"}},
		"bad size":            {mirror("--bwlimit", "much", s, d), []string{"--bwlimit", "much"}},
		"bad percent":         {mirror("--max-delete-percent", "101", s, d), []string{"--max-delete-percent"}},
		"unknown command":     {[]string{"mirorr", s, d}, []string{"mirorr", "help"}},
		"missing source":      {mirror(base+"/none", d), []string{"source", "none", "missing"}},
		"file as source":      {mirror(base+"/file", d), []string{"source", "directory"}},
		"file as target":      {mirror(s, base+"/file"), []string{"target", "directory"}},
		"file in the way":     {mirror(s, base+"/file/dst"), []string{"target"}},
		"dangling target":     {mirror(s, base+"/nowhere"), []string{"link to nothing"}},
		"looping source":      {mirror(base+"/loop", d), []string{"symbolic links"}},
		"no parent":           {mirror(s, base+"/no/where"), []string{"parent"}},
		"the same":            {mirror(s, s), []string{"source itself"}},
		"the same by a link":  {mirror(s, base+"/to-src"), []string{"source itself"}},
		"target inside":       {mirror(s, s+"/below"), []string{"inside the source"}},
		"target to be inside": {mirror(s, s+"/new"), []string{"inside the source"}},
		"source inside":       {mirror(d+"/below", d), []string{"inside the target"}},
		"inside by a link":    {mirror(s, base+"/to-src/below"), []string{"inside the source"}},
		"/ as source":         {mirror("/", d), []string{"root directory"}},
		"/ as target":         {mirror(s, "/"), []string{"root directory"}},
		"/proc":               {mirror("/proc", d), []string{"/proc"}},
		"/sys below":          {mirror("/sys/kernel", d), []string{"/sys"}},
		"/dev":                {mirror(s, "/dev/shm/x"), []string{"/dev"}},
		"read-only target":    {mirror(s, base+"/ro"), []string{"target", "written", "read-write"}},
		"target to be in ro":  {mirror(s, base+"/ro/new"), []string{"target"}},
		"no rsync":            {mirror("--rsync-path", "/usr/bin/no-rsync", s, d), []string{"rsync", "install"}},
		"not executable":      {mirror("--rsync-path", base+"/not-executable", s, d), []string{"rsync", "executable"}},
		"a script":            {mirror("--rsync-path", base+"/script", s, d), []string{"script", "program"}},
		"not rsync":           {mirror("--rsync-path", "/usr/bin/id", s, d), []string{"rsync"}},
		"relative rsync":      {mirror("--rsync-path", "rsync", s, d), []string{"--rsync-path", "absolute"}},
		"other monitor":       {mirror("--monitor", "fsevents", s, d), []string{"--monitor", "inotify"}},
		"bad feature":         {mirror("--allow-missing", "seccomp", s, d), []string{"--allow-missing"}},
		"given twice":         {mirror("--state-dir", base+"/two", s, d), []string{"state", "twice"}},
		"state in the target": {[]string{"mirror", "--state-dir", d + "/state", s, d}, []string{"--state-dir", "inside the target"}},
		"odd name":            {mirror(base+"/bad\x1b[31m\nname", d), []string{`\x1b`, "missing"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { refused(t, 2, c.words, c.want...) })
	}
	for _, left := range []string{"/run", "/src/new", "/ro/new"} {
		if _, err := os.Stat(base + left); err == nil {
			t.Errorf("a refused start left %s", left)
		}
	}
}

func TestNotRoot(t *testing.T) {
	testenv.NeedRoot(t)
	// The checkout may be in a directory that nobody else can enter.
	dir, err := os.MkdirTemp("", "lockstep-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	command(t, "cp", program(t, "lockstep"), program(t, "lockstep-helper"), program(t, "lockstep-worker"), program(t, "lockstep-runner"), program(t, "lockstep-resolver"), dir)
	command(t, "chmod", "755", dir)
	t.Setenv("LOCKSTEP_BIN", dir)
	out, code := runs(t, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}, "mirror", "/usr/share/doc", "/tmp/never-made")
	if code != 2 || !strings.Contains(out, "root") || !strings.Contains(out, "sudo") {
		t.Errorf("exit code %d, want 2 and the command to use:\n%s", code, out)
	}
}

func TestHelpAndVersion(t *testing.T) {
	for _, words := range [][]string{{"help"}, {"--help"}, {"mirror", "--help"}, {"help", "mirror"}, {"version"}, {"build-id"}} {
		if out, code := runs(t, nil, words...); code != 0 || len(out) < 8 {
			t.Errorf("%q: exit code %d:\n%s", words, code, out)
		}
	}
	if out, code := runs(t, nil); code != 2 || !strings.Contains(out, "mirror") {
		t.Errorf("no words: exit code %d:\n%s", code, out)
	}
}

// A second instance on one runtime directory is refused, and the first one
// does not notice.
func TestTwoInstances(t *testing.T) {
	m := newMirror(t).start().ready()
	out, code := runs(t, nil, m.args()...)
	if code != 2 || !strings.Contains(out, "in use by another") {
		t.Errorf("the second instance: exit code %d:\n%s", code, out)
	}
	write(t, m.src+"/f", "x")
	m.equal()
	m.stop()
}

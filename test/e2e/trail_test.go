//go:build e2e

package e2e

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/internal/testenv/observe"
)

// entry is a record of the audit trail, as far as tests ask.
type entry struct {
	Seq     uint64
	Type    string
	Outcome string
	Run     string
	Cfg     string
	Sum     string
	Actor   struct {
		Role string
		PID  int
		UID  *int
	}
	Object struct{ Sync, Target, Name string }
	Why    struct{ Rule, Reason string }
	Facts  struct {
		Unclean bool
		PID     int
		Job     uint64
		Kind    string
		Argv    string
		End     string
		Code    *int
		Signal  int
		Lost    uint64
		Files   []struct{ Path, SHA256 string }
		List    *struct {
			SHA256         string
			Entries, Bytes uint64
		}
	}
}

// entries are the records of all files of a trail, in order.
func entries(t *testing.T, dir string) (all []entry) {
	t.Helper()
	for _, path := range trailFiles(t, dir) {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		s := bufio.NewScanner(f)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			var e entry
			if err := json.Unmarshal(s.Bytes(), &e); err != nil {
				continue // torn, or being written
			}
			all = append(all, e)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func trailFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(dir + "/audit-*.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	return files
}

// has says that there is a record that fits, and returns the first.
func has(all []entry, fits func(entry) bool) (entry, bool) {
	i := slices.IndexFunc(all, fits)
	if i < 0 {
		return entry{}, false
	}
	return all[i], true
}

func count(all []entry, fits func(entry) bool) (n int) {
	for _, e := range all {
		if fits(e) {
			n++
		}
	}
	return n
}

func typed(kind, outcome string) func(entry) bool {
	return func(e entry) bool { return e.Type == kind && e.Outcome == outcome }
}

// keys are what lockstep audit init tells.
type keys struct{ public, seed string }

// verified has both verifiers look at a trail: with all that is known, and without.
func verified(t *testing.T, file, dir string, k keys) {
	t.Helper()
	python := testenv.NeedTool(t, "python3")
	files := trailFiles(t, dir)
	if k.seed != "" {
		seed := filepath.Join(t.TempDir(), "seed")
		write(t, seed, "seed "+k.seed+"\n")
		if out, code := runs(t, nil, "audit", "verify", "-c", file, "--seed", seed, "--public", k.public); code != 0 || !strings.Contains(out, "are what was written") {
			t.Errorf("with all keys: exit code %d: %s", code, out)
		}
		out, err := exec.Command(python, append([]string{"../../examples/audit/verify.py", "--seed", k.seed, "--public", k.public}, files...)...).CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "ok ") {
			t.Errorf("the second verifier: %v: %s", err, out)
		}
	}
	if out, code := runs(t, nil, append([]string{"audit", "verify"}, files...)...); code != 0 {
		t.Errorf("the files alone: exit code %d: %s", code, out)
	}
	if out, code := runs(t, nil, append([]string{"audit", "report"}, files...)...); code != 0 || !strings.Contains(out, "command-end") {
		t.Errorf("report: exit code %d: %s", code, out)
	}
}

// withTrail is a fleet with a trail, begun by audit init.
func withTrail(t *testing.T, mode string, names ...string) (*fleet, string, keys) {
	t.Helper()
	f := newFleet(t, names...)
	dir := filepath.Join(filepath.Dir(f.file), "trail")
	f.service = []string{fmt.Sprintf("audit = %q", mode), fmt.Sprintf("audit_dir = %q", dir)}
	write(t, f.file, f.toml())
	out, code := runs(t, nil, "audit", "init", "-c", f.file)
	parts := regexp.MustCompile(`(?s)public  ([0-9a-f]{64})\nseed    ([0-9a-f]{64})\n`).FindStringSubmatch(out)
	if code != 0 || parts == nil {
		t.Fatalf("audit init: exit code %d: %s", code, out)
	}
	if out, code := runs(t, nil, "audit", "init", "-c", f.file); code != 1 || !strings.Contains(out, "there is a trail") {
		t.Errorf("audit init once more: exit code %d: %s", code, out)
	}
	return f, dir, keys{parts[1], parts[2]}
}

// In one run all that is privileged, decided, refused or asked for is recorded, once;
// both verifiers take the trail, and find what is changed in it.
func TestTrail(t *testing.T) {
	f, dir, k := withTrail(t, "strict", "www", "mail")
	f.start().ready()
	www := f.part("www")
	name := "a\nb\x1b[31m\",\"mac\":\"x res=success"
	write(t, www.src+"/"+name, "x")
	f.equal()
	at := f.mark()
	worker, ok := has(entries(t, dir), func(e entry) bool {
		return e.Type == "process-start" && e.Object.Name == "worker" && e.Object.Sync == "www"
	})
	if !ok {
		t.Fatal("the worker of www is not in the trail")
	}
	pid := worker.Facts.PID
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	f.await(at, "readiness after a kill", limit, www.isReady)
	f.ctl(0, "pause", "mail")
	f.ctl(0, "status")
	f.ctl(0, "resume", "mail")
	before := sumOf(t, f.file)
	www.flags = []string{`delay = "150ms"`}
	write(t, f.file, f.toml())
	after := sumOf(t, f.file)
	at = f.mark()
	f.ctl(0, "reload")
	f.await(at, "the new configuration", limit, inForce)
	f.await(at, "readiness after the reload", limit, www.isReady)
	write(t, f.file, f.toml()+"nonsense = 1\n")
	at = f.mark()
	f.signal(syscall.SIGHUP)
	f.await(at, "a refusal", limit, says("refused as a whole"))
	write(t, f.file, f.toml())
	f.equal()
	f.stop()
	all := entries(t, dir)
	for what, fits := range map[string]func(entry) bool{
		"start":         func(e entry) bool { return e.Type == "start" && len(e.Facts.Files) == 6 && e.Cfg == before },
		"configuration": func(e entry) bool { return e.Type == "config-load" && e.Outcome == "success" && e.Cfg == before },
		"reload": func(e entry) bool {
			return e.Type == "config-load" && e.Outcome == "success" && e.Facts.Files[0].SHA256 == after && e.Cfg == after
		},
		"refused reload": func(e entry) bool {
			return e.Type == "config-load" && e.Outcome == "denied" && strings.Contains(e.Why.Reason, "nonsense")
		},
		"worker of www": func(e entry) bool {
			return e.Type == "process-start" && e.Facts.PID == pid && e.Object.Sync == "www" && e.Object.Name == "worker"
		},
		"its end": func(e entry) bool { return e.Type == "process-exit" && e.Facts.PID == pid && e.Facts.Signal == 9 },
		"and the restart": func(e entry) bool {
			return e.Type == "restart" && e.Actor.PID == pid && strings.Contains(e.Why.Reason, "was killed")
		},
		"pause": func(e entry) bool {
			return e.Type == "control" && e.Object.Name == "pause" && e.Object.Sync == "mail" && e.Actor.UID != nil && *e.Actor.UID == 0
		},
		"the signal": func(e entry) bool {
			return e.Type == "control" && e.Why.Rule == "signal" && e.Object.Name == "terminated"
		},
		"numbers": typed("counts", "success"),
		"stop":    func(e entry) bool { return e.Type == "stop" && e.Facts.Code != nil && *e.Facts.Code == 0 },
		"the list": func(e entry) bool {
			return e.Type == "command-start" && e.Facts.Kind == "list" && e.Facts.List.SHA256 == hash("./"+name+"\x00") && e.Facts.List.Entries == 1 && e.Object.Target == www.dst
		},
	} {
		often := what == "numbers" || what == "the list" // of each generation; what a death left in doubt is copied again
		if n := count(all, fits); n < 1 || n > 1 && !often {
			t.Errorf("%s: %d records", what, n)
		}
	}
	if _, ok := has(all, func(e entry) bool { return e.Type == "control" && e.Object.Name == "status" }); ok {
		t.Error("what only reads is recorded")
	}
	f.everyCommandEnds(all)
	verified(t, f.file, dir, k)
	f.found(dir, k)
}

// everyCommandEnds: each command that began has one end, and both fit what the log says.
func (f *fleet) everyCommandEnds(all []entry) {
	f.t.Helper()
	type command struct {
		pid int
		job uint64
	}
	open := map[command]int{}
	begun := 0
	for _, e := range all {
		c := command{e.Actor.PID, e.Facts.Job}
		switch e.Type {
		case "command-start":
			begun++
			if open[c]++; open[c] != 1 || len(e.Facts.Argv) != 64 || len(e.Facts.Files) != 1 || e.Facts.Files[0].SHA256 == "" {
				f.t.Errorf("%+v", e)
			}
		case "command-end":
			if open[c]--; e.Actor.Role == "runner" && open[c] != 0 {
				f.t.Errorf("an end without a beginning: %+v", e)
			}
		}
	}
	if begun < 4 {
		f.t.Errorf("only %d commands were recorded", begun)
	}
}

// found: each way of changing the files on the disk is found.
func (f *fleet) found(dir string, k keys) {
	f.t.Helper()
	path := trailFiles(f.t, dir)[0]
	good, err := os.ReadFile(path)
	if err != nil {
		f.t.Fatal(err)
	}
	lines := strings.SplitAfter(string(good), "\n")
	for what, text := range map[string]string{
		"a letter":  strings.Replace(string(good), `"type":"restart"`, `"type":"restert"`, 1),
		"a line":    strings.Join(slices.Delete(slices.Clone(lines), 7, 8), ""),
		"the end":   strings.Join(lines[:len(lines)-4], ""),
		"an order":  strings.Join(append(append(slices.Clone(lines[:5]), lines[6], lines[5]), lines[7:]...), ""),
		"a tear":    string(good[:len(good)-30]),
		"no change": string(good),
	} {
		write(f.t, path, text)
		out, code := runs(f.t, nil, "audit", "verify", "-c", f.file)
		if (code == 0) != (what == "no change") {
			f.t.Errorf("%s was changed: exit code %d: %s", what, code, out)
		}
	}
}

func hash(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:])
}

func sumOf(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return hash(string(data))
}

// A lock-out is recorded with the violations that led to it, and the exit code; the file
// of the trail is root's alone.
func TestTrailLockOut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "trail")
	m := newMirror(t, "--audit", "best-effort", "--audit-dir", dir).start().ready()
	for i := range 5 {
		m.awaitReady()
		at := m.mark()
		forbiddenCall(t, m.the("lockstep-worker").pid)
		if i < 4 {
			m.await(at, fmt.Sprintf("readiness after death %d", i+1), limit, isReady)
		}
	}
	if code := m.wait(limit); code != 78 {
		t.Errorf("exit code %d, want 78", code)
	}
	all := entries(t, dir)
	if n := count(all, func(e entry) bool { return e.Type == "violation" && e.Why.Rule == "seccomp" && e.Outcome == "denied" }); n != 5 {
		t.Errorf("%d violations are recorded, want 5", n)
	}
	if n := count(all, func(e entry) bool { return e.Type == "lock-out" && e.Object.Name == "worker" }); n != 1 {
		t.Errorf("%d lock-outs are recorded", n)
	}
	if _, ok := has(all, func(e entry) bool { return e.Type == "stop" && *e.Facts.Code == 78 && e.Outcome == "failure" }); !ok {
		t.Error("the stop is not recorded")
	}
	verified(t, "", dir, keys{})
	for path, mode := range map[string]os.FileMode{dir: 0o700, trailFiles(t, dir)[0]: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v %v", path, info.Mode(), err)
		}
	}
	m.nothingLeft()
}

// With audit_to each record is a message of the log daemon as well, with its number and
// its hash: an anchor that cannot be taken back there.
func TestTrailSyslog(t *testing.T) {
	unshare := testenv.NeedTool(t, "unshare")
	trail, base := filepath.Join(t.TempDir(), "trail"), t.TempDir()
	m := newMirror(t, "--audit", "best-effort", "--audit-dir", trail, "--audit-to", "syslog")
	mkdir(t, base+"/dev")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: base + "/socket", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	write(t, m.src+"/a\nb \"sum=0\"", "x")
	heard, done := map[string]string{}, make(chan struct{})
	go func() {
		defer close(done)
		form := regexp.MustCompile(`^<30>\w{3} [ \d]\d [\d:]{8} lockstep\[\d+\]: audit seq=(\d+) type=\S+ .*sum=([0-9a-f]{64})$`)
		buf := make([]byte, 64<<10)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			parts := form.FindSubmatch(buf[:n])
			if parts == nil || observe.Controls(string(buf[:n])) > 0 {
				t.Errorf("no record: %q", buf[:n])
				continue
			}
			heard[string(parts[1])] = string(parts[2])
		}
	}()
	words := append([]string{"-m", "/bin/sh", "-ec", withDaemon, "sh", base + "/dev", base + "/socket", program(t, "lockstep")}, m.args("--once")...)
	out, err := exec.Command(unshare, words...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil { // what was sent waits in the socket
		t.Fatal(err)
	}
	<-done
	for _, e := range entries(t, trail) {
		if got := heard[fmt.Sprint(e.Seq)]; got != e.Sum {
			t.Errorf("record %d, %s: the daemon heard of %q, the file has %q", e.Seq, e.Type, got, e.Sum)
		}
	}
	if len(heard) < 10 {
		t.Errorf("only %d records were heard of", len(heard))
	}
}

// What is in the way of a trail is refused, and is not touched.
func TestTrailRefused(t *testing.T) {
	for name, make := range map[string]func(dir string) error{
		"a link":           func(dir string) error { return os.Symlink(t.TempDir(), dir) },
		"a file":           func(dir string) error { return os.WriteFile(dir, []byte("x"), 0o600) },
		"others may write": func(dir string) error { return errorsOf(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777)) },
		"files, no keys": func(dir string) error {
			return errorsOf(os.Mkdir(dir, 0o700), os.WriteFile(dir+"/audit-00000001.jsonl", []byte("x"), 0o600))
		},
		"inside the source": nil,
	} {
		m := newMirror(t)
		dir := filepath.Join(filepath.Dir(m.src), "trail")
		if make == nil {
			dir = m.src + "/trail"
		} else if err := make(dir); err != nil {
			t.Fatal(err)
		}
		if code := m.once("--audit", "best-effort", "--audit-dir", dir); code != 2 {
			t.Errorf("%s: exit code %d: %s", name, code, m.output())
		}
	}
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

//go:build e2e

package e2e

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
)

// filterRule is one rule of a filter, as the golden listing of seccomp has it.
type filterRule struct {
	role     string
	at       int // in the listing
	nr       int
	text     string // name and conditions
	who      string
	fallback bool
}

// own says that it is of the role's own set, and not of the runtime's, which makes
// calls by chance and load; tgkill and exit are, in each role's own words.
func (r filterRule) own() bool {
	return !strings.HasPrefix(r.who, "go: ") && !strings.HasPrefix(r.text, "tgkill") && r.text != "exit"
}

// filterRules reads a role's listing.
func filterRules(t *testing.T, role string) (all []filterRule) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("../../seccomp/testdata/%s.%s.golden", role, runtime.GOARCH))
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^allow +(\d+) (.*)\n\t(.*)$`)
	for i, m := range line.FindAllStringSubmatch(string(text), -1) {
		r := filterRule{role: role, at: i, who: m[3]}
		r.text, r.fallback = strings.CutSuffix(m[2], " (fallback)")
		if _, err := fmt.Sscan(m[1], &r.nr); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	if len(all) < 20 {
		t.Fatalf("only %d rules of the %s are listed", len(all), role)
	}
	return all
}

// part is one role, and what drives it.
type part struct {
	role  string
	image string // of the process, as the kernel's records show it, or of either, with a bar between
	drive func(t *testing.T, d *drive)
	// rare are rules of the role's own that this drive does not need, and why they stay.
	rare map[string]string
}

func parts() []part {
	mirrored := func(comm string, flags ...string) func(*testing.T, *drive) {
		return func(t *testing.T, d *drive) { d.mirror(newMirror(t, flags...), comm) }
	}
	return []part{
		{"helper", "lockstep-helper", mirrored("lockstep-helper"), nil},
		{"worker", "lockstep-worker", mirrored("lockstep-worker"), nil},
		{"resolver", "lockstep-resolver", mirrored("lockstep-resolver", "--monitor", "fanotify"), nil},
		{"dnotify", "lockstep-resolver", mirrored("lockstep-resolver", "--monitor", "dnotify"), nil},
		{"gate", "lockstep-gate", asked, nil},
		{"user-worker", "lockstep-worker", watchedByUser, nil},
		{"runner", "lockstep-runner|/rsync", twice, nil},
	}
}

// twice drives the runner as it is, and with all that rsync can be told to do besides;
// then it compares no trees itself.
func twice(t *testing.T, d *drive) {
	const role = "lockstep-runner"
	d.mirror(newMirror(t), role)
	if d.failed == "" && !d.log.of(d) {
		d.mirror(newMirror(t, "--rsync-args", "--fsync", "--rsync-args", "--sparse", "--bwlimit", "4MiB"), role)
	}
}

// withoutRules builds lockstep with the tag less, beside the other programs.
func withoutRules(t *testing.T) string {
	t.Helper()
	dir := openDir(t, 0)
	for _, name := range []string{"helper", "worker", "runner", "resolver", "gate", "plugin"} {
		data, err := os.ReadFile(program(t, "lockstep-"+name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "lockstep-"+name), data, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	id, err := exec.Command(program(t, "lockstep-helper"), "build-id").Output()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "lockstep")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags", "less,netgo,osusergo", "-o", out,
		"-ldflags", `-linkmode external -extldflags "-static" -X lockstep/internal/buildinfo.ID=`+strings.TrimSpace(string(id)), "lockstep/cmd/lockstep")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return out
}

// TestEachCallIsNeeded takes each rule of each filter away, one at a time, and has
// lockstep work without it: the kernel ends the process at that call, and its record
// says so. What this work does not need must be the runtime's, where a run of its own
// provokes it (TestEachRuleIsNeeded of seccomp), a fallback, or have a reason here.
func TestEachCallIsNeeded(t *testing.T) {
	testenv.NeedRoot(t)
	program, log := withoutRules(t), listen(t)
	every := 40
	if scaled().full {
		every = 1
	}
	from := int(testenv.Number(t, "LOCKSTEP_SEED", uint64(time.Now().UnixNano()))) % every
	t.Logf("every %d. rule from %d on", every, from)
	for _, p := range parts() {
		t.Run(p.role, func(t *testing.T) {
			count := map[string]int{}
			for i, r := range filterRules(t, p.role) {
				if r.fallback {
					count["fallbacks"]++
					continue
				}
				if i%every != from {
					continue
				}
				t.Run(r.text, func(t *testing.T) {
					t.Setenv("LOCKSTEP_LESS", fmt.Sprintf("%s:%d", r.role, r.at))
					var d *drive
					for range 3 { // whether some of it happens depends on how fast the machine is
						d = &drive{program: program, log: log, rule: r, image: p.image, begin: time.Now()}
						p.drive(t, d)
						d.finish()
						if d.log.of(d) || d.failed != "" || !r.own() || p.rare[r.text] != "" {
							break
						}
					}
					verdict := d.verdict(t, p.rare[r.text])
					count[verdict]++
					t.Logf("%-11s %-70s %s (%v)", p.role, r.text, verdict, time.Since(d.begin).Round(time.Millisecond))
				})
			}
			t.Logf("%s: %v", p.role, count)
		})
	}
}

// drive is one run without a rule.
type drive struct {
	program string
	log     *killed
	rule    filterRule
	image   string
	begin   time.Time
	m       *mirror
	failed  string // where the work went no further
}

func (d *drive) verdict(t *testing.T, reason string) string {
	t.Helper()
	for end := time.Now().Add(2 * time.Second); d.failed != "" && !d.log.of(d) && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond) // a record may come after the death
	}
	switch {
	case d.log.of(d):
		return "killed at it"
	case d.failed != "":
		t.Errorf("%s: it failed (%s), and the kernel's records do not say why", d.rule.text, d.failed)
		return "failed"
	case reason != "":
		return "not needed here: " + reason
	case d.rule.own():
		t.Errorf("nothing needs %s", d.rule.text)
		return "NOT NEEDED"
	}
	return "not needed here; the runtime's"
}

// until waits for a step of the work; it is false when there is to be no other one.
func (d *drive) until(what string, done func() bool) bool {
	for end := time.Now().Add(limit); d.failed == ""; time.Sleep(5 * time.Millisecond) {
		switch {
		case d.log.of(d):
			return false
		case done():
			return true
		case over(d.m.exited):
			d.failed = fmt.Sprintf("%s: lockstep ended with %d", what, d.m.code)
		case time.Now().After(end):
			d.failed = what
		}
	}
	return false
}

func over(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// hasSaid says that a record of the log is one of these.
func (m *mirror) hasSaid(want func(record) bool) bool {
	return slices.ContainsFunc(m.since(0), want)
}

// mirror starts a mirror, changes what it mirrors, and ends it.
func (d *drive) mirror(m *mirror, role string) {
	d.m, m.program = m, d.program
	grow(m.t, m.src, 20, 20)
	furnish(m.t, m.src)
	m.launch(m.args()...)
	if !d.until("readiness", func() bool { return m.hasSaid(isReady) }) || !d.until("the first pass", d.equal) || !d.pause(role) {
		return
	}
	grow(m.t, m.src+"/more", 30, 50)
	for i := range 10 {
		must(m.t, os.Rename(fmt.Sprintf("%s/d%d", m.src, i), fmt.Sprintf("%s/moved%d", m.src, i)))
	}
	alter(m.t, m.src)
	must(m.t, errors.Join(os.Rename(m.src+"/d11", filepath.Dir(m.src)+"/out"), os.RemoveAll(m.src+"/d12"), os.Chmod(m.src+"/d13", 0o700)))
	if !d.until("changes", d.equal) {
		return
	}
	m.signal(syscall.SIGUSR2) // all is compared
	grow(m.t, m.src+"/late", 3, 3)
	if !d.until("a late change", d.equal) {
		return
	}
	d.end()
}

func (d *drive) equal() bool {
	diff, err := d.m.differ()
	return err == nil && len(diff) == 0
}

// end stops lockstep.
func (d *drive) end() {
	d.m.signal(syscall.SIGTERM)
	d.until("the end", func() bool { return over(d.m.exited) })
}

// finish has lockstep end by itself, if it runs yet, and take away what it has made.
func (d *drive) finish() {
	_ = d.m.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-d.m.exited:
	case <-time.After(limit):
	}
}

// pause stops a process and lets it go on: the kernel has a sleep go on by
// restart_syscall(2).
func (d *drive) pause(role string) bool {
	for range 3 {
		for _, p := range d.m.role(role) {
			if syscall.Kill(p.pid, syscall.SIGSTOP) != nil {
				continue
			}
			stopped := d.until("a stop", func() bool {
				stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
				return err != nil || bytes.Contains(stat, []byte(") T "))
			})
			_ = syscall.Kill(p.pid, syscall.SIGCONT) // it may have died
			if !stopped {
				return false
			}
		}
	}
	return true
}

// grow makes directories of files, some of which have two names.
func grow(t *testing.T, dir string, dirs, files int) {
	t.Helper()
	for i := range dirs {
		at := fmt.Sprintf("%s/d%d", dir, i)
		must(t, os.MkdirAll(at, 0o755))
		for j := range files {
			must(t, os.WriteFile(fmt.Sprintf("%s/f%d", at, j), bytes.Repeat([]byte{byte(j)}, j*100), 0o640))
		}
		must(t, errors.Join(os.Link(at+"/f0", at+"/twice"), os.Symlink("f1", at+"/link")))
	}
}

// furnish adds what has more than content, alter changes all of that.
func furnish(t *testing.T, dir string) {
	t.Helper()
	must(t, errors.Join(syscall.Mkfifo(dir+"/fifo", 0o600), os.WriteFile(dir+"/holes", nil, 0o600), os.Truncate(dir+"/holes", 1<<20),
		os.WriteFile(dir+"/attrs", []byte("x"), 0o600), syscall.Setxattr(dir+"/attrs", "user.one", []byte("1"), 0), syscall.Setxattr(dir+"/attrs", "user.two", []byte("2"), 0),
		exec.Command("setfacl", "-m", "u:1234:r", dir+"/attrs").Run()))
}

func alter(t *testing.T, dir string) {
	t.Helper()
	must(t, errors.Join(os.Chmod(dir+"/fifo", 0o640), os.Chown(dir+"/fifo", 1234, 1234), os.Chown(dir+"/attrs", 1234, 2345), os.Lchown(dir+"/d13/link", 1, 1), os.Chown(dir+"/d14", 1, 1),
		os.Truncate(dir+"/holes", 3<<20), os.WriteFile(dir+"/d15/f1", make([]byte, 1<<20), 0o640), syscall.Removexattr(dir+"/attrs", "user.one"), syscall.Setxattr(dir+"/d14", "user.two", []byte("2"), 0),
		exec.Command("setfacl", "-b", dir+"/attrs").Run()))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// asked drives the gate: several clients ask.
func asked(t *testing.T, d *drive) {
	f := newFleet(t, "www")
	d.m, f.program = f.mirror, d.program
	const ours = 60998
	at := openDir(t, 0) + "/control"
	f.service = []string{fmt.Sprintf("control_socket = %q", at), fmt.Sprintf("control_owner = %q", fmt.Sprint(":", ours)), `control_mode = "0660"`}
	f.start()
	if !d.until("readiness", func() bool { return f.hasSaid(isReady) }) {
		return
	}
	for range 3 {
		for _, words := range [][]string{{"version"}, {"status"}, {"--json", "status"}, {"resync"}, {"nonsense"}} {
			asks := make(chan struct{})
			go func() {
				defer close(asks)
				cmd := exec.Command(d.program, append([]string{"ctl", "-s", at}, words...)...)
				cmd.SysProcAttr = asAnyone() // who may ask by one of its groups
				cmd.SysProcAttr.Credential.Groups = []uint32{ours}
				_, _ = cmd.CombinedOutput()
			}()
			if !d.until("an answer", func() bool { return over(asks) }) || !d.pause("lockstep-gate") {
				return
			}
		}
	}
	d.end()
}

// watchedByUser drives the worker of a watch of who is not root.
func watchedByUser(t *testing.T, d *drive) {
	dir := openDir(t, anyone)
	s := &spy{mirror: &mirror{t: t, src: dir, process: &process{seen: newWitness()}}}
	d.m = s.mirror
	grow(t, dir, 3, 3)
	must(t, exec.Command("chown", "-R", fmt.Sprint(anyone), dir).Run())
	s.start(asAnyone(), d.program, []string{"watch", "--format", "json", dir})
	lines := func() int {
		s.linesMu.Lock()
		defer s.linesMu.Unlock()
		return len(s.lines)
	}
	if !d.until("the first line", func() bool { return lines() > 0 }) || !d.pause("lockstep-worker") {
		return
	}
	gone := func() bool {
		s.linesMu.Lock()
		defer s.linesMu.Unlock()
		return slices.ContainsFunc(s.lines, func(line string) bool {
			return strings.Contains(line, `"op":"delete"`) && strings.Contains(line, `"d2"`)
		})
	}
	before := lines()
	grow(t, dir+"/more", 10, 50)
	must(t, errors.Join(os.Rename(dir+"/d1", dir+"/moved"), os.Rename(dir+"/d2", dir+"-out")))
	t.Cleanup(func() { _ = os.RemoveAll(dir + "-out") })
	// That d2 has gone for good is clear half a second later; its watch is given up then.
	if !d.until("lines", func() bool { return lines() > before+500 }) || !d.until("the end of d2", gone) {
		return
	}
	at := time.Now()
	if d.until("a second", func() bool { return time.Since(at) > time.Second }) && d.pause("lockstep-worker") {
		d.end()
	}
}

// killed are the kernel's records of processes that a filter has ended.
type killed struct {
	fd   int
	seen []death
}

type death struct {
	at    time.Time
	image string
	nr    int
}

// listen reads copies of the kernel's audit records (AUDIT_NLGRP_READLOG).
func listen(t *testing.T) *killed {
	t.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_AUDIT)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	must(t, unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}))
	return &killed{fd: fd}
}

// of says that a process was killed at the rule's call since the run began.
func (k *killed) of(d *drive) bool {
	k.read()
	return slices.ContainsFunc(k.seen, func(x death) bool {
		return x.at.After(d.begin) && x.nr == d.rule.nr &&
			slices.ContainsFunc(strings.Split(d.image, "|"), func(image string) bool { return strings.Contains(x.image, image) })
	})
}

func (k *killed) read() {
	const auditSeccomp = 1326
	record := regexp.MustCompile(`exe=("[^"]*"|[0-9A-F]+) sig=31 .*syscall=(\d+)`)
	buf := make([]byte, 16<<10)
	for {
		n, _, err := unix.Recvfrom(k.fd, buf, 0)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENOBUFS) {
			continue
		}
		if err != nil {
			return
		}
		m := record.FindStringSubmatch(string(buf[:n]))
		if n < unix.SizeofNlMsghdr || binary.NativeEndian.Uint16(buf[4:]) != auditSeccomp || m == nil {
			continue
		}
		x := death{at: time.Now(), image: m[1]}
		if name, err := hex.DecodeString(m[1]); err == nil { // that of a sealed image has a space in it
			x.image = string(name)
		}
		if _, err := fmt.Sscan(m[2], &x.nr); err == nil {
			k.seen = append(k.seen, x)
		}
	}
}

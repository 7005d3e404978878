//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// inForce accepts the record that says that a reload is over and good.
func inForce(r record) bool {
	return strings.HasPrefix(r.str("msg"), "the new configuration is in force")
}

func refusedAsAWhole(r record) bool {
	return strings.HasPrefix(r.str("msg"), "the new configuration is refused as a whole")
}

// reload writes the configuration of the parts that f has now, has it read, and
// returns what was said of it.
func (f *fleet) reload() record {
	f.t.Helper()
	write(f.t, f.file, f.toml())
	at := f.mark()
	f.signal(syscall.SIGHUP)
	return f.await(at, "the new configuration", limit, inForce)
}

// ofSync are the confined processes of one sync, by pid and start.
func (f *fleet) ofSync(name string) map[string]proc {
	all := map[string]proc{}
	for _, p := range family(f.cmd.Process.Pid) {
		words, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.pid))
		if err == nil && strings.HasPrefix(p.role, "lockstep-") && strings.Contains(string(words), "\x00"+name+"\x00") {
			all[fmt.Sprint(p.pid, " ", p.start)] = p
		}
	}
	return all
}

// untouched wants the processes of a sync to be what they were, and to copy on
// without having compared anything anew.
func (f *fleet) untouched(name string) (check func()) {
	f.t.Helper()
	p := f.part(name)
	old, before := f.ofSync(name), p.report()
	if len(old) < 3 {
		f.t.Fatalf("%s has %d processes", name, len(old))
	}
	return func() {
		f.t.Helper()
		if now := f.ofSync(name); !maps.Equal(old, now) {
			f.t.Errorf("the processes of %s were %v, and are %v", name, old, now)
		}
		write(f.t, fmt.Sprintf("%s/untouched%d", p.src, time.Now().UnixNano()), "x")
		p.sameWithin(limit)
		now := p.report()
		for _, number := range []string{"initials", "rescans", "ready"} {
			if before.num(number) != now.num(number) {
				f.t.Errorf("%s of %s was %d, and is %d", number, name, before.num(number), now.num(number))
			}
		}
	}
}

// fileSays wants a file to say something, soon.
func (m *mirror) fileSays(path, want string) {
	m.t.Helper()
	m.eventually(path+" says "+want, func() bool {
		got, err := os.ReadFile(path)
		return err == nil && string(got) == want
	})
}

// New rules hold for what is there already and for what comes, both for what they
// leave out now and for what they no longer do; whoever has no new rules notices
// nothing.
func TestReloadRules(t *testing.T) {
	beside(t)
	f := newFleet(t, "ruled", "steady")
	p, rules := f.part("ruled"), filepath.Dir(f.file)+"/rules"
	write(t, rules, "-f\\.old$\n-*^hidden(/|$)\n")
	p.flags = []string{fmt.Sprintf("rules_file = %q", rules)}
	left := func(suffix, dir string) func(string, uint32) bool {
		return func(rel string, kind uint32) bool {
			return unmirrored(rel, kind) || strings.HasSuffix(rel, suffix) || dir != "" && (rel == dir || strings.HasPrefix(rel, dir+"/"))
		}
	}
	p.opts.Skip = left(".old", "hidden")
	for _, name := range []string{"a.old", "b.new", "hidden/sub/file", "seen/file"} {
		put(t, p.src+"/"+name, "1")
	}
	f.start().ready()
	absent(t, p.dst+"/a.old")
	absent(t, p.dst+"/hidden")
	check := f.untouched("steady")

	write(t, rules, "-f\\.new$\n-*^seen(/|$)\n")
	at := f.mark()
	r := f.reload()
	if r.str("changed") != "ruled" || r.str("unchanged") != "steady" || r.str("begin") != "" || r.str("end") != "" {
		t.Errorf("%v", r)
	}
	f.await(at, "readiness of ruled", limit, p.isReady)
	p.opts.Skip = left(".new", "seen")
	p.sameWithin(limit) // a.old and hidden/sub/file were there before
	for _, name := range []string{"b.new", "c.new", "c.old", "hidden/sub/file", "hidden/sub/more", "seen/file"} {
		put(t, p.src+"/"+name, "22")
	}
	f.equal()
	for name, want := range map[string]string{"a.old": "1", "c.old": "22", "hidden/sub/file": "22", "hidden/sub/more": "22", "b.new": "1", "seen/file": "1"} {
		if got, err := os.ReadFile(p.dst + "/" + name); err != nil || string(got) != want {
			t.Errorf("%s on the target: %q, %v; want %q", name, got, err, want)
		}
	}
	absent(t, p.dst+"/c.new")
	check()
	f.stop()
	f.nothingLeft()
}

// A file or a rule file with faults changes nothing, and each fault is told with its
// place; so does what needs a restart, and then a good one is taken.
func TestReloadRefused(t *testing.T) {
	beside(t)
	f := newFleet(t, "one", "two")
	p, rules := f.part("one"), filepath.Dir(f.file)+"/rules"
	write(t, rules, "-f\\.tmp$\n")
	p.flags = []string{fmt.Sprintf("rules_file = %q", rules)}
	p.opts.Skip = func(rel string, kind uint32) bool { return unmirrored(rel, kind) || strings.HasSuffix(rel, ".tmp") }
	put(t, p.src+"/x.tmp", "1")
	f.start().ready()
	checkOne, checkTwo := f.untouched("one"), f.untouched("two")
	good := f.toml()
	for what, c := range map[string]struct {
		config, rules string
		want          []string
	}{
		"syntax":     {good + "\n[[sync\n", "", []string{f.file + ":"}},
		"two faults": {good + "nonsense = 1\ndelay = \"forever\"\n", "", []string{f.file + ":", "nonsense: unknown key", "delay: "}},
		"a source":   {strings.Replace(good, f.part("two").src, f.part("two").src+"-gone", 1), "", []string{f.file + ":", "-gone: is missing"}},
		"a rule":     {good, "-f(\n-q^x$\n", []string{rules + ":1: ", rules + ":2: "}},
		"no file":    {"-", "", []string{f.file + ": no such file"}},
		"a restart":  {strings.Replace(good, "[service]\n", "[service]\nmax_jobs = 3\nuser = \"nobody2\"\n", 1), "", []string{f.file + ":2:1: max_jobs: ", f.file + ":3:1: user: ", "restart lockstep"}},
	} {
		if c.rules != "" {
			write(t, rules, c.rules)
		}
		write(t, f.file, c.config)
		if c.config == "-" {
			if err := os.Remove(f.file); err != nil {
				t.Fatal(err)
			}
		}
		at := f.mark()
		f.signal(syscall.SIGHUP)
		f.await(at, "the refusal of "+what, limit, refusedAsAWhole)
		for _, want := range c.want {
			found := false
			for _, r := range f.since(at) {
				found = found || strings.EqualFold(r.str("level"), "error") && strings.Contains(r.str("msg"), want)
			}
			if !found {
				t.Errorf("%s: no error says %q", what, want)
			}
		}
		write(t, rules, "-f\\.tmp$\n")
	}
	checkOne()
	checkTwo()
	absent(t, p.dst+"/x.tmp")
	if r := f.reload(); !strings.Contains(r.str("msg"), "nothing in it has changed") || r.str("unchanged") != "one two" {
		t.Errorf("%v", r)
	}
	checkOne()
	f.stop()
}

// Syncs come and go, take over each other's sources and targets, and give back all
// that they had, while another one copies on in the same processes.
func TestReloadAddsAndRemoves(t *testing.T) {
	beside(t)
	f := newFleet(t, "steady", "ends", "moves", "begins")
	steady, ends, moves, begins := f.part("steady"), f.part("ends"), f.part("moves"), f.part("begins")
	status := filepath.Dir(f.file) + "/status"
	ends.flags = []string{fmt.Sprintf("status_file = %q", status)}
	for _, p := range f.parts {
		hundred(t, p.src, 10)
	}
	f.parts = []*mirror{steady, ends, moves}
	f.start().ready()
	f.fileSays(status, "running")
	check := f.untouched("steady")
	old := f.ofSync("ends")

	// The target of the one that ends is filled from elsewhere, with its status file;
	// and what moved changes name and target.
	begins.dst, begins.flags = ends.dst, ends.flags
	moves.name, moves.dst = "moved", moves.dst+"-new"
	f.parts = []*mirror{steady, moves, begins}
	at := f.mark()
	stop := every20ms(t, func(i int) { write(t, fmt.Sprintf("%s/meanwhile%d", steady.src, i), "x") })
	r := f.reload()
	if r.str("unchanged") != "steady" || r.str("changed") != "" || r.str("begin") != "moved begins" || r.str("end") != "ends moves" {
		t.Errorf("%v", r)
	}
	f.await(at, "readiness of moved", limit, moves.isReady)
	f.await(at, "readiness of begins", limit, begins.isReady)
	stop()
	f.equal()
	f.fileSays(status, "running")
	check()
	for _, p := range procs() {
		if was, ok := old[fmt.Sprint(p.pid, " ", p.start)]; ok {
			t.Errorf("%v of the sync that has ended is there", was)
		}
	}
	for _, r := range f.since(at) {
		if strings.EqualFold(r.str("level"), "error") {
			t.Errorf("told: %v", r)
		}
	}

	// And back: all that was taken can be taken again.
	f.parts = []*mirror{steady, ends}
	at = f.mark()
	f.reload()
	f.await(at, "readiness of ends", limit, ends.isReady)
	f.equal()
	check()
	f.stop()
	absent(t, status)
	f.nothingLeft()
}

// every20ms does something until stop.
func every20ms(t *testing.T, do func(i int)) (stop func()) {
	end := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			do(i)
			select {
			case <-tick.C:
			case <-end:
				return
			}
		}
	})
	stop = sync.OnceFunc(func() { close(end); wait.Wait() })
	t.Cleanup(stop)
	return stop
}

// The sync that alone there is can change; a target that is missing is made; another
// rsync is tried before anything is put in force, and one that is none changes nothing.
func TestReloadTheOnlySync(t *testing.T) {
	beside(t)
	f := newFleet(t, "only")
	p := f.part("only")
	hundred(t, p.src, 5)
	f.start().ready()
	p.dst += "-made"
	at := f.mark()
	f.reload()
	f.await(at, "readiness", limit, p.isReady)
	f.equal()

	none := filepath.Dir(f.file) + "/rsync"
	write(t, none, "#!/bin/sh\nexit 1\n")
	if err := os.Chmod(none, 0o755); err != nil {
		t.Fatal(err)
	}
	check := f.untouched("only")
	p.flags = []string{fmt.Sprintf("rsync_path = %q", none)}
	write(t, f.file, f.toml())
	at = f.mark()
	f.signal(syscall.SIGHUP)
	f.await(at, "the refusal", limit, refusedAsAWhole)
	check()

	p.flags = []string{`rsync_args = ["--whole-file"]`, `xattrs = "none"`} // which want another trial
	at = f.mark()
	f.reload()
	f.await(at, "readiness", limit, p.isReady)
	f.equal()
	f.stop()
	f.nothingLeft()
}

// What has no file, and what does one thing and ends, is not reloaded.
func TestReloadNothingToRead(t *testing.T) {
	beside(t)
	m := newMirror(t).start().ready()
	at := m.mark()
	m.signal(syscall.SIGHUP)
	m.await(at, "the refusal of a mirror", limit, says("lockstep mirror has its command line only"))
	m.equal()
	m.stop()

	f := newFleet(t, "once")
	p := f.part("once")
	p.flags = []string{`bwlimit = "1MiB"`}
	write(t, p.src+"/big", strings.Repeat("0123456789abcdef", 2<<20/16))
	f.start("--once")
	f.any("rsync")
	at = f.mark()
	f.signal(syscall.SIGHUP)
	f.await(at, "the refusal of --once", limit, says("--once and --dry-run do what the configuration said at their start"))
	if code := f.wait(limit); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A sync that changes lets its command finish; the end, asked for meanwhile, is a clean
// one, however far the reload has come. What comes while one is under way is one more.
func TestReloadThenTerm(t *testing.T) {
	for _, stage := range []string{"at once", "while a command ends", "of one that never answers"} {
		t.Run(stage, func(t *testing.T) {
			f := newFleet(t, "changes", "steady")
			p := f.part("changes")
			p.flags = []string{`bwlimit = "600KiB"`}
			f.service = []string{`stop_timeout = "60s"`}
			f.start().ready()
			write(t, p.src+"/big", strings.Repeat("0123456789abcdef", 2<<20/16))
			// Any rsync may be of a pass in which there is nothing to copy.
			f.eventually("the copy has begun", func() bool {
				part, err := filepath.Glob(p.dst + "/.big.*")
				return err == nil && len(part) > 0
			})
			f.seen.look(f.cmd.Process.Pid)
			p.flags = append(p.flags, `delay = "50ms"`)
			at := f.mark()
			switch stage {
			case "at once":
				write(t, f.file, f.toml())
				f.signal(syscall.SIGHUP)
				f.signal(syscall.SIGHUP)
			case "while a command ends":
				f.reload()
				f.await(at, "the stop of the changed one", limit, p.about("stopping: its configuration has changed"))
				f.signal(syscall.SIGHUP)
			case "of one that never answers":
				gone := filepath.Dir(f.file) + "/gone"
				mkdir(t, gone)
				dead(t, gone)
				f.parts = append(f.parts, &mirror{name: "gone", src: gone, dst: gone + "-dst"})
				write(t, f.file, f.toml())
				f.parts = f.parts[:2]
				f.signal(syscall.SIGHUP)
				f.await(at, "the reading", limit, says("the configuration is read anew"))
				write(t, f.part("steady").src+"/beside", "x")
				f.part("steady").sameWithin(limit)
			}
			f.signal(syscall.SIGTERM)
			if code := f.wait(limit); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if b, err := os.ReadFile(p.dst + "/big"); err != nil || len(b) != 2<<20 {
				t.Errorf("the running command was not let finish: %d bytes, %v", len(b), err)
			}
			f.nothingLeft()
		})
	}
}

// The service manager hears when a reload begins and when it is over, and is told all
// the while that lockstep lives.
func TestReloadNotify(t *testing.T) {
	conn := serviceManager(t)
	until := func(words ...string) {
		t.Helper()
		var all []string
		for buf := make([]byte, 4096); ; {
			n, err := conn.Read(buf)
			if err != nil {
				t.Fatalf("no %q: %v; so far: %q", words[0], err, all)
			}
			if all = append(all, string(buf[:n])); strings.HasPrefix(string(buf[:n]), words[0]) {
				if words = words[1:]; len(words) == 0 {
					return
				}
			}
		}
	}
	f := newFleet(t, "a", "b")
	f.start()
	until("READY=1")
	f.part("a").flags = []string{`delay = "50ms"`}
	f.reload()
	until("RELOADING=1\nMONOTONIC_USEC=", "READY=1", "WATCHDOG=1")
	write(t, f.file, "nonsense")
	f.signal(syscall.SIGHUP)
	until("RELOADING=1\nMONOTONIC_USEC=", "READY=1", "WATCHDOG=1")
	f.stop()
}

//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

// Signals load blocks of clsync's files, and SIGHUP reads them anew with what is
// loaded; a block with a fault is told at the start.
func TestReloadClsyncBlocks(t *testing.T) {
	beside(t)
	m := newMirror(t)
	dir := filepath.Dir(m.src)
	conf, less, more := dir+"/clsync.conf", dir+"/less", dir+"/more"
	write(t, less, "-f\\.big$\n+*.*\n")
	write(t, more, "+*.*\n")
	text := "[default]\nmode = rsyncdirect\nwatch-dir = " + m.src + "\ndestination-dir = " + m.dst + "\ndelay-collect = 0\ndelay-sync = 1\n" +
		"custom-signals = 28:more,29:less\nrules-file = " + less + "\n[more]\nrules-file = " + more + "\n[less]\nrules-file = " + less + "\n"
	write(t, conf, text)
	run := clsync(t, "-H", conf)
	write(t, m.src+"/a.big", "1")
	write(t, m.src+"/b", "1")
	live := run()
	var log testenv.Buffer
	live.Stderr = &log
	if err := live.Start(); err != nil {
		t.Fatal(err)
	}
	defer live.Process.Kill() // which has ended, where all went well
	tell := func(sig syscall.Signal) {
		t.Helper()
		before := strings.Count(log.String(), "the new configuration is in force")
		if err := live.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		m.eventuallyOr("the reload", log.String, func() bool {
			return strings.Count(log.String(), "the new configuration is in force") > before
		})
	}
	arrives := func(name, want string) {
		t.Helper()
		m.eventuallyOr("the copy of "+name, log.String, func() bool {
			b, err := os.ReadFile(m.dst + "/" + name)
			return err == nil && string(b) == want
		})
	}
	arrives("b", "1")
	absent(t, m.dst+"/a.big")
	tell(28)
	arrives("a.big", "1") // which was there before
	tell(29)
	write(t, m.src+"/a.big", "22")
	write(t, m.src+"/b", "22")
	arrives("b", "22")
	arrives("a.big", "1")
	tell(28)
	arrives("a.big", "22")
	write(t, more, "-f\\.tmp$\n+*.*\n")
	tell(syscall.SIGHUP) // with the block that is loaded
	write(t, m.src+"/c.tmp", "1")
	write(t, m.src+"/c.big", "1")
	arrives("c.big", "1")
	absent(t, m.dst+"/c.tmp")
	if err := live.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := live.Wait(); err != nil || strings.Contains(log.String(), "violation") {
		t.Errorf("%v\n%s", err, log.String())
	}

	for _, bad := range []string{strings.Replace(text, "28:more", "12:more", 1), strings.Replace(text, "28:more", "28:none", 1), text + "pid-file = /run/x\n"} {
		write(t, conf, bad)
		if out, err := run("--print-config").CombinedOutput(); err == nil || !strings.Contains(string(out), "signal") {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// eventuallyOr waits until ok, and tells what there is to know if that never comes.
func (m *mirror) eventuallyOr(what string, log func() string, ok func() bool) {
	m.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); !ok(); <-tick.C {
		if time.Since(start) > limit {
			m.t.Fatalf("%s did not happen within %v\n%s", what, limit, log())
		}
	}
}

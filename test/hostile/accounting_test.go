//go:build hostile

package hostile

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/internal/testenv/observe"
	"lockstep/test/churn"
	"lockstep/test/compare"
)

// mode is what brings changes over, and which names it can.
type mode struct {
	name    string
	handler string // with DST
	part    int    // one of so many names
	// cannot says that no list of the mode can carry the path: the names with it are
	// reported, and not copied.
	cannot func(rel string) bool
}

func modes() []mode {
	never := func(string) bool { return false }
	return []mode{
		{"rsync", "", 1, never},
		{"rsyncshell", "#!/bin/sh\nexec rsync -aHAX --delete --modify-window=-1 --ignore-times --exclude-from=\"$4\" --include-from=\"$3\" --exclude='*' ./ DST/\n", 5, never},
		{"shell", `#!/bin/bash
LC_ALL=C
while IFS= read -r line; do
	path=${line#sync * * }
	[ ! -S "./$path" ] || continue # it is told of as what was there having gone
	if [ -d "./$path" ] && [ ! -L "./$path" ]; then
		mkdir -p "DST/$path" || exit 1
	elif [ -e "./$path" ] || [ -L "./$path" ]; then
		cp -aT --remove-destination "./$path" "DST/$path" || exit 1
	fi
done <"$3"
`, 10, func(rel string) bool { return strings.Contains(rel, "\n") }},
		{"simple", `#!/bin/bash
LC_ALL=C
path=${4#SRC}
[ ! -S "$4" ] || exit 0
if [ -d "$4" ] && [ ! -L "$4" ]; then
	exec mkdir -p "DST/$path"
elif [ -e "$4" ] || [ -L "$4" ]; then
	exec cp -aT --remove-destination "$4" "DST/$path"
fi
`, 20, never},
	}
}

// TestAccounting: nobody makes thousands of names while lockstep runs. In the end each
// is on the target, byte for byte, or is one of those that the log and the state say
// were left out; and nothing else is there.
func TestAccounting(t *testing.T) {
	timed(t)
	if !full() {
		accounting(t, modes()[0], 1000, 0)
		return
	}
	for range 2 {
		accounting(t, modes()[0], 10_000, 0)
	}
	accounting(t, modes()[0], 1000, 200) // what is that deep whole passes copy
}

// TestAccountingOfHandlers: so it is in other modes, but that a name with a newline fits
// into no list of mode shell.
func TestAccountingOfHandlers(t *testing.T) {
	for _, m := range modes()[1:] {
		t.Run(m.name, func(t *testing.T) {
			timed(t)
			if !full() {
				accounting(t, m, 600/m.part, 0)
				return
			}
			for range 2 {
				accounting(t, m, 10_000/m.part, 0)
			}
		})
	}
}

func accounting(t *testing.T, how mode, n, narrow int) {
	seed := seeded(t)
	m := newMirror(t)
	ran := canary(t)
	deep := 0
	switch {
	case narrow > 0: // of what is too long a whole pass leaves more out
	case how.handler == "":
		deep = 2
	default:
		path := m.base + "/handler"
		must(t, os.WriteFile(path, []byte(strings.NewReplacer("DST", m.dst, "SRC", m.src).Replace(how.handler)), 0o755))
		m.flags = []string{"--mode", how.name, "--handler", path, "--delay", "50ms"}
	}
	m.start()
	m.await(0, "readiness", says("ready: "))
	before := m.inStep()
	begin := time.Now()
	all := m.created(seed, n, deep, narrow)
	took := time.Since(begin)
	m.settles(all, how)
	after := m.inStep()
	sum, err := m.account(all, how)
	if err != nil {
		t.Fatalf("when all is said to be done: %v", err)
	}
	if err := sum.reported(after); err != nil {
		t.Error(err)
	}
	if got := ran(); got != 0 {
		t.Errorf("the canary ran %d times", got)
	}
	if len(all) != n {
		t.Errorf("%d names were made, want %d", len(all), n)
	}
	passes := after.Num("initials") - before.Num("initials")
	t.Logf("%s, seed %d: %d names made in %v = %s; 0 omitted in silence; %d whole passes and %d overflows meanwhile; the canary never ran; in step after %v",
		how.name, seed, len(all), took.Round(time.Millisecond), sum, passes, after.Num("overflows"), time.Since(begin).Round(time.Millisecond))
	if passes > 0 && narrow == 0 && after.Num("overflows") == before.Num("overflows") {
		t.Errorf("a whole pass without an overflow: it would hide what no event told: %s", after)
	}
	m.stop()
	if code := m.once(); (code == 0) != (sum.sockets+sum.long+sum.cannot == 0) {
		t.Errorf("--once ends with %d though %s", code, sum)
	}
	_, control := m.log.Volume()
	if control != 0 {
		t.Errorf("%d control characters in the log", control)
	}
}

// settles waits until the account is right, as long as it changes.
func (m *mirror) settles(all []made, how mode) {
	m.t.Helper()
	const patience = 30 * time.Second
	for last, since := "", time.Now(); ; {
		at := time.Now()
		sum, err := m.account(all, how)
		if err == nil {
			return
		}
		if now := fmt.Sprint(sum.there, err); now != last {
			last, since = now, at
		}
		if time.Since(since) > patience {
			m.t.Fatalf("%d names are on the target, and nothing has changed for %v: %v", sum.there, patience, err)
		}
		select {
		case <-m.ended:
			m.t.Fatalf("lockstep ended with code %d: %v", m.code, err)
		case <-time.After(20*time.Millisecond + 2*time.Since(at)): // reading must not be the load
		}
	}
}

// account is where the names that were made have gone.
type account struct {
	there                   int // entries of the target
	synced, sockets, cannot int
	long                    int // paths that are too long, told each
	below                   int // what lies below one of those
}

func (a account) String() string {
	return fmt.Sprintf("%d on the target + %d sockets + %d that no list can carry + %d too long + %d below those", a.synced, a.sockets, a.cannot, a.long, a.below)
}

// reported wants the state to count what was left out, exactly.
func (a account) reported(state observe.Record) error {
	if got, want := state.Num("skipped"), int64(a.sockets+a.cannot); got != want {
		return fmt.Errorf("the state says %d skipped, want %d: %s", got, want, state)
	}
	if got := state.Num("too_long"); got != int64(a.long) {
		return fmt.Errorf("the state says %d too long, want %d: %s", got, a.long, state)
	}
	return nil
}

var saidTooLong = regexp.MustCompile(`path of (\d+) bytes is too long to be copied, and so is what lies below it: (.*)…; shorten it`)

// account looks for each name that was made. What is neither on the target nor left out
// for a reason that was told is an error, and so is what is there without being made.
func (m *mirror) account(all []made, how mode) (account, error) {
	dst, err := compare.Read(m.dst, compare.Options{NoRoot: true})
	if err != nil {
		return account{}, err
	}
	src, err := compare.Read(m.src, compare.Options{NoRoot: true})
	if err != nil {
		return account{}, err
	}
	told := map[string]int{} // length and beginning of what was told to be too long
	for _, r := range m.log.Since(0) {
		if f := saidTooLong.FindStringSubmatch(r.Str("msg")); f != nil {
			told[f[1]+" "+f[2]]++
		}
	}
	a, err := settle(all, src, dst, how, told)
	if err == nil && len(told) != a.long {
		err = fmt.Errorf("%d paths are told to be too long, want %d", len(told), a.long)
	}
	return a, err
}

// settle is the account itself.
func settle(all []made, src, dst compare.Tree, how mode, told map[string]int) (account, error) {
	a := account{there: len(dst)}
	if len(src) != len(all) {
		return a, fmt.Errorf("%d names are in the source, %d were made", len(src), len(all))
	}
	for _, e := range all {
		got, there := dst[e.Rel]
		want, made := src[e.Rel]
		long := len(e.Rel) > longest
		switch {
		case !made || want.Kind != e.Kind || want.Link != "" && want.Link != e.Text:
			return a, fmt.Errorf("%+q is not in the source as it was made", e.Rel)
		case there && (e.Kind == unix.S_IFSOCK || how.cannot(e.Rel) || long):
			return a, fmt.Errorf("%+q is on the target", e.Rel)
		case there && how.handler == "":
			one := compare.Diff(compare.Tree{e.Rel: want}, compare.Tree{e.Rel: got}, 1)
			if len(one) > 0 {
				return a, errors.New(one[0])
			}
			a.synced++
		case there && (got.Kind != want.Kind || got.Sum != want.Sum || got.Link != want.Link):
			return a, fmt.Errorf("%+q is another on the target", e.Rel)
		case there:
			a.synced++
		case long && len(e.Rel[:strings.LastIndexByte(e.Rel, '/')]) > longest:
			a.below++
		case long:
			if told[strconv.Itoa(len(e.Rel))+" "+e.Rel[:120]] == 0 { // such names need no escape
				return a, fmt.Errorf("nobody tells of a path of %d bytes", len(e.Rel))
			}
			a.long++
		case e.Kind == unix.S_IFSOCK:
			a.sockets++
		case how.cannot(e.Rel):
			a.cannot++
		default:
			return a, fmt.Errorf("%+q is neither on the target nor reported", e.Rel)
		}
	}
	if a.synced != len(dst) {
		return a, fmt.Errorf("%d names are on the target that nobody made", len(dst)-a.synced)
	}
	return a, nil
}

// longest is the longest path below the source that rsync and the kernel can name.
const longest = 4093

// TestAccountNotices: one name that is missing, one too many, other bytes, a kind, a
// number that is off by one: the account is none.
func TestAccountNotices(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(dir+"/a", 0o755))
	must(t, os.WriteFile(dir+"/b", []byte("x"), 0o644))
	must(t, unix.Mknod(dir+"/s", unix.S_IFSOCK|0o600, 0))
	must(t, os.Symlink("to", dir+"/l"))
	all := []made{{"a", unix.S_IFDIR, ""}, {"b", unix.S_IFREG, "x"}, {"s", unix.S_IFSOCK, ""}, {"l", unix.S_IFLNK, "to"}}
	src, err := compare.Read(dir, compare.Options{NoRoot: true})
	must(t, err)
	how := modes()[0]
	good := func() compare.Tree { return compare.Tree{"a": src["a"], "b": src["b"], "l": src["l"]} }
	a, err := settle(all, src, good(), how, nil)
	if want := (account{there: 3, synced: 3, sockets: 1}); err != nil || a != want {
		t.Fatalf("%v, %v", a, err)
	}
	for what, spoil := range map[string]func(compare.Tree){
		"missing":  func(x compare.Tree) { delete(x, "b") },
		"too many": func(x compare.Tree) { x["c"] = src["b"] },
		"bytes":    func(x compare.Tree) { e := x["b"]; e.Sum = ""; x["b"] = e },
		"kind":     func(x compare.Tree) { x["l"] = src["b"] },
		"socket":   func(x compare.Tree) { x["s"] = src["s"] },
	} {
		is := good()
		spoil(is)
		if _, err := settle(all, src, is, how, nil); err == nil {
			t.Errorf("%s is not noticed", what)
		}
	}
	for _, state := range []observe.Record{{"skipped": 0.0}, {"skipped": 2.0}, {"skipped": 1.0, "too_long": 1.0}} {
		if a.reported(state) == nil {
			t.Errorf("%v is taken", state)
		}
	}
	if _, err := settle(append(all, made{strings.Repeat("n/", 2046) + "fff", unix.S_IFREG, ""}), src, good(), how, nil); err == nil {
		t.Error("a path of which nobody tells is taken")
	}
}

// plant puts a program where shells find it, that names try to have executed, for the
// whole run; no other run of the suite has one meanwhile.
func plant() (remove func() error, err error) {
	lock, err := os.OpenFile("/run/lockstep-hostile.lock", os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err == nil {
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX)
	}
	if err == nil {
		err = os.WriteFile(canaryPath, []byte("#!/bin/sh\nexit 0\n"), 0o755)
	}
	return func() error { return errors.Join(os.Remove(canaryPath), lock.Close()) }, err
}

const canaryPath = "/usr/bin/" + churn.Canary

// canary says how often the program was executed since.
func canary(t *testing.T) (ran func() int) {
	t.Helper()
	o := newOpens(t, unix.FAN_OPEN_EXEC, canaryPath)
	return func() int { _, n := o.by(); return n }
}

// TestCanary: a shell that takes such a name for a part of its command is noticed.
func TestCanary(t *testing.T) {
	testenv.NeedRoot(t)
	ran := canary(t)
	for _, name := range []string{";" + churn.Canary, "$(" + churn.Canary + ")", "`" + churn.Canary + "`"} {
		if out, err := exec.Command("sh", "-c", "true x"+name).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if n := ran(); n < 3 {
		t.Errorf("three canaries ran, %d are noticed", n)
	}
}

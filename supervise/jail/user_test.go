package jail

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/memfd"
	"lockstep/internal/testenv"
	"lockstep/sandbox"
)

// userArg makes the test binary a supervisor that is not root.
const userArg = "supervise-as-user"

// superviseAsUser starts the probe of package sandbox in a role's jail, with acts,
// and passes on what it says.
func superviseAsUser(role, dir, probe string, acts []string) (int, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return 0, err
	}
	root := Tree{Host: dir, Dev: st.Dev, Ino: st.Ino}
	m, p := Machine{UID: os.Getuid(), GID: os.Getgid()}, AsUser(6)
	spec, ok := map[string]sandbox.Spec{
		"helper": p.Helper(m, []Tree{root}), "worker": p.Worker(m, 0, 0), "resolver": p.Dnotify(m, root),
	}[role]
	if !ok {
		return 0, fmt.Errorf("there is no role %q", role)
	}
	spec.Argv = append([]string{"probe"}, acts...)
	var images [2]*os.File
	for i, path := range []string{"/proc/self/exe", probe} {
		f, err := os.Open(path)
		if err != nil {
			return 0, err
		}
		if images[i], err = memfd.Image("image", f); err != nil {
			return 0, err
		}
	}
	l, err := sandbox.NewLauncher(images[0])
	if err != nil {
		return 0, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	proc, err := l.Start(spec, images[1], nil, w, nil)
	if err = errors.Join(err, w.Close()); err != nil {
		return 0, err
	}
	_, err = io.Copy(os.Stdout, r)
	code, _, werr := proc.Wait()
	return code, errors.Join(err, werr, l.Close())
}

// asUser does the same as a uid that owns nothing but dir, and returns what became
// of the acts.
func asUser(t *testing.T, role, dir string, acts ...string) map[string]string {
	t.Helper()
	bin := filepath.Dir(dir)
	for from, to := range map[string]string{"/proc/self/exe": "/self", buildActs(t): "/probe"} {
		data, err := os.ReadFile(from)
		must(t, err)
		must(t, os.WriteFile(bin+to, data, 0o755))
	}
	cmd := exec.Command(bin+"/self", append([]string{userArg, role, dir, bin + "/probe"}, acts...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: testUID, Gid: testGID}, Pdeathsig: syscall.SIGKILL}
	cmd.Env, cmd.Stderr = []string{}, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var r struct {
		UIDs, GIDs [3]int
		Groups     []int
		NoNewPrivs int
		Acts       map[string]string
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if r.UIDs != [3]int{testUID, testUID, testUID} || r.GIDs != [3]int{testGID, testGID, testGID} || len(r.Groups) != 0 || r.NoNewPrivs != 1 {
		t.Errorf("%s: %+v", role, r)
	}
	return r.Acts
}

// buildActs is the probe of package sandbox.
func buildActs(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "probe")
	cmd := exec.Command("go", "build", "-trimpath", "-o", out, "../../sandbox/testdata/probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return out
}

// TestUserJails: without root, Landlock alone keeps a process from the files of
// the very user that it runs as; the twin is the same program without a jail.
func TestUserJails(t *testing.T) {
	testenv.NeedRoot(t)
	base, err := os.MkdirTemp("", "lockstep-jail-")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(base) }) // as t.TempDir does
	must(t, os.Chmod(base, 0o755))
	dir, outside := base+"/root", base+"/outside"
	for _, d := range []string{dir, dir + "/sub", outside} {
		must(t, os.Mkdir(d, 0o700))
		must(t, os.WriteFile(d+"/file", []byte("x"), 0o600))
	}
	for _, d := range []string{dir, dir + "/sub", outside} {
		must(t, errors.Join(os.Chown(d, testUID, testGID), os.Chown(d+"/file", testUID, testGID)))
	}
	stranger := exec.Command("sleep", "60") // of the same user
	stranger.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: testUID, Gid: testGID}, Pdeathsig: syscall.SIGKILL}
	must(t, stranger.Start())
	t.Cleanup(func() { _ = stranger.Process.Kill(); _ = stranger.Wait() })
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	defer listener.Close()

	denied := []string{"list:" + outside, "read:" + outside + "/file", "read:" + dir + "/file", "read:" + dir + "/sub/file", "write:" + dir + "/new", "write:" + outside + "/new",
		"mkdir:" + dir + "/d", "exec:" + base + "/probe", "list:/", "list:/proc", "read:/etc/passwd", "open:/dev/null", "dial:" + listener.Addr().String()}
	names := []string{"list:" + dir, "list:" + dir + "/sub"}
	signal := "kill0:" + strconv.Itoa(stranger.Process.Pid)
	for role, mayList := range map[string]bool{"helper": true, "resolver": true, "worker": false} {
		got := asUser(t, role, dir, append(append([]string{signal}, denied...), names...)...)
		for _, act := range denied {
			if got[act] != "EACCES" {
				t.Errorf("%s: %s: %s, want EACCES", role, act, got[act])
			}
		}
		if got[signal] != "EPERM" {
			t.Errorf("%s: a signal to another process of the user: %s, want EPERM", role, got[signal])
		}
		want := map[bool]string{true: "ok", false: "EACCES"}[mayList]
		for _, act := range names {
			if got[act] != want {
				t.Errorf("%s: %s: %s, want %s", role, act, got[act], want)
			}
		}
	}
	twin := exec.Command(base+"/probe", append([]string{signal}, append(denied, names...)...)...)
	twin.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: testUID, Gid: testGID}}
	twin.Env = []string{}
	out, err := twin.Output()
	must(t, err)
	var free struct{ Acts map[string]string }
	must(t, json.Unmarshal(out, &free))
	for act, result := range free.Acts {
		if result != "ok" && act != "exec:"+base+"/probe" {
			t.Errorf("the twin: %s: %s, want ok: the test proves nothing by it", act, result)
		}
	}
}

// TestUserSpecs: every role of the column is Unprivileged, grants the listing of
// what it opens alone, and passes the check that leaves no other way.
func TestUserSpecs(t *testing.T) {
	m, p, root := Machine{UID: 7, GID: 8, NoLandlock: true, NoDevices: true}, AsUser(6), Tree{Host: "/s", Dev: 1, Ino: 2}
	for _, spec := range []sandbox.Spec{p.Helper(m, []Tree{root}), p.Worker(m, 0, 0), p.Dnotify(m, root)} {
		if !spec.Unprivileged || spec.AllowNoLandlock || spec.UID != 7 || spec.GID != 8 || spec.Caps != 0 || len(spec.Landlock) > 0 || len(spec.Rlimits) < 3 {
			t.Errorf("%s: %+v", spec.Role, spec)
		}
		for _, o := range spec.Opens {
			if o.Access != readDir || o.Path != "/s" || o.Dev != 1 || o.Ino != 2 {
				t.Errorf("%s: %+v", spec.Role, o)
			}
		}
		if opens := map[string]int{"helper": 1, "resolver": 1}[spec.Role]; len(spec.Opens) != opens {
			t.Errorf("%s opens %d", spec.Role, len(spec.Opens))
		}
	}
	// What asks the kernel for signals is refused where nothing keeps them in.
	if AsUser(5).Refuses["dnotify"] == "" || AsUser(6).Refuses["dnotify"] != "" || AsUser(6).Refuses["fanotify"] == "" || AsRoot().Refuses != nil {
		t.Error("the wrong monitors are refused")
	}
	hold, needRoot := AsUser(6).Guards(Machine{NoMDWE: true})
	all, none := AsRoot().Guards(Machine{})
	if len(hold)+len(needRoot)+1 != len(all) || len(none) != 0 || reflect.DeepEqual(hold, all) || len(needRoot) == 0 {
		t.Errorf("guards %v and %v of %v and %v", hold, needRoot, all, none)
	}
}

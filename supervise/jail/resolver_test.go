package jail

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/memfd"
	"lockstep/internal/testenv"
	"lockstep/monitor"
	"lockstep/sandbox"
	"lockstep/seccomp"
	"lockstep/supervise/fanotify"
)

// resolverImage builds the real resolver.
func resolverImage(t *testing.T) *os.File {
	t.Helper()
	out := filepath.Join(t.TempDir(), "lockstep-resolver")
	cmd := exec.Command("go", "build", "-trimpath", "-o", out, "lockstep/cmd/lockstep-resolver")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the resolver: %v\n%s", err, text)
	}
	src, err := os.Open(out)
	must(t, err)
	defer src.Close()
	image, err := memfd.Image("lockstep-resolver", src)
	must(t, err)
	t.Cleanup(func() { image.Close() })
	return image
}

// resolved starts the resolver in its jail and returns what it says of the
// changes that wait in a queue, up to a mark.
func resolved(t *testing.T, image, events *os.File, spec sandbox.Spec) (told []string) {
	t.Helper()
	filter, err := seccomp.Compile(seccomp.Table(seccomp.Resolver, runtime.GOARCH))
	must(t, err)
	defer filter.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	theirs := os.NewFile(uintptr(pair[1]), "worker")
	reader, writer, err := os.Pipe()
	must(t, err)
	spec.DeviceProbe = sandbox.ProbeBasic // leaf's
	p, err := launcher(t).Start(spec, image, []sandbox.Donation{{Name: "fanotify", File: events}, {Name: "worker", File: theirs}, {Name: "filter", File: filter}}, writer, leaf(t))
	must(t, err)
	theirs.Close()
	writer.Close()
	_, err = unix.Write(pair[0], binary.LittleEndian.AppendUint32(nil, 1))
	must(t, err)
	buf := make([]byte, 64<<10)
	for marked := false; !marked; {
		n, err := unix.Read(pair[0], buf)
		if err != nil || n == 0 {
			text, _ := io.ReadAll(reader)
			t.Fatalf("the resolver said %d bytes, %v\n%s", n, err, text)
		}
		must(t, monitor.DecodePaths(buf[:n], func(e monitor.PathEvent) {
			if marked = e.IsMark(); !marked {
				told = append(told, fmt.Sprintf("%s/%s", e.Dir, e.Name))
			}
		}))
	}
	must(t, unix.Close(pair[0]))
	if code, sig, err := p.Wait(); code != 0 || err != nil {
		text, _ := io.ReadAll(reader)
		t.Errorf("it ended by %d, %v, %v\n%s", code, sig, err, text)
	}
	p.Close()
	reader.Close()
	return told
}

// In its jail and under its filter the real resolver finds the places also of
// directories that the kernel has no longer in its caches, and tells nothing of
// others. The twin shows why Landlock must leave the listing of directories alone.
func TestResolverFindsWhatIsNotCached(t *testing.T) {
	testenv.NeedRoot(t)
	image := resolverImage(t)
	base := realDir(t)
	src, secret := base+"/src", base+"/secret"
	var st unix.Stat_t
	for _, dir := range []string{src, src + "/a/b/c", secret + "/a/b"} {
		must(t, os.MkdirAll(dir, 0o700))
	}
	must(t, unix.Stat(src, &st))
	told := func(free bool) []string {
		t.Helper()
		events, err := fanotify.Open(fanotify.Tree{Path: src, Dev: st.Dev, Ino: st.Ino})
		must(t, err)
		must(t, os.WriteFile(src+"/a/b/c/f", nil, 0o600))
		must(t, os.WriteFile(secret+"/a/b/f", nil, 0o600))
		unix.Sync() // what is dirty stays
		must(t, os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0))
		spec := Resolver(Machine{}, Tree{Host: src, Dev: st.Dev, Ino: st.Ino})
		if !free {
			spec.Unrestricted = 0
		}
		told := resolved(t, image, events, spec)
		must(t, events.Close())
		slices.Sort(told)
		return slices.Compact(told)
	}
	if got := told(true); !slices.Equal(got, []string{"a/b/c/f"}) {
		t.Errorf("told of %q", got)
	}
	// What writes to a disk may hold some directories in the caches at first.
	var got []string
	for range 20 {
		if got = told(false); len(got) == 0 {
			return
		}
	}
	t.Errorf("the twin, whom Landlock keeps from listing, is told of %q all the same: is Unrestricted still needed?", got)
}

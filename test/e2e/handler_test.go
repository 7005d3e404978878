//go:build e2e

package e2e

import (
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// handler writes a program of root's, and is the flags that have it called.
func handler(t *testing.T, mode, text string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "handler")
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return []string{"--mode", mode, "--handler", path}
}

// Handlers that mirror: from a list of lines, by names, by a call for each path,
// and with rsync's lists.
const (
	// bring brings one path over, below DST.
	bring = `if [ -d "./$path" ] && [ ! -L "./$path" ]; then
	[ ! -L "DST/$path" ] && [ -d "DST/$path" ] || rm -rf "DST/$path"
	mkdir -p "DST/$path" && chmod --reference="./$path" "DST/$path"
	# It went and came: what it lacks is told by nothing else.
	[ $((mask & 512)) = 0 ] || rsync -a --delete "./$path/" "DST/$path/" || exit 1
elif [ -e "./$path" ] || [ -L "./$path" ]; then
	rm -rf "DST/$path"
	cp -a "./$path" "DST/$path" || [ ! -e "./$path" ] || exit 1
else
	rm -rf "DST/$path"
fi
`
	byLines = `#!/bin/sh
[ "$1" = synclist ] || exit 9
while IFS= read -r line; do
	path=${line#sync * * }
	[ -n "$path" ] || continue
	mask=${line#sync * }
	mask=${mask%% *}
` + bring + `done <"$3"
`
	byRsync = `#!/bin/sh
exec rsync -aH --delete --modify-window=-1 --ignore-times --exclude-from="$4" --include-from="$3" --exclude='*' ./ DST/
`
)

// handled is the kinds, texts of links and contents in a tree: what a handler
// keeps of it.
func handled(root string) map[string]string {
	out := map[string]string{}
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			out[path] = err.Error() // it is looked at again
			return nil
		}
		text := ""
		switch {
		case d.Type().IsRegular():
			data, err := os.ReadFile(path)
			text = fmt.Sprintf("%q %v", data, err)
		case d.Type()&fs.ModeSymlink != 0:
			text, _ = os.Readlink(path)
		}
		out[strings.TrimPrefix(path, root)] = d.Type().String() + " " + text
		return nil
	})
	return out
}

// alike waits until both trees have the same contents.
func (m *mirror) alike() {
	m.t.Helper()
	m.eventually("both trees are alike", func() bool { return maps.Equal(handled(m.src), handled(m.dst)) })
}

// tells starts a mirror of which a handler is told, and changes the source in ways
// that are told differently, until the target has all of it.
func (m *mirror) tells() {
	t := m.t
	t.Helper()
	mkdir(t, m.src+"/d/deep", m.src+"/empty")
	write(t, m.src+"/d/deep/f", "x")
	write(t, m.src+"/-dash %label% *[x]", "y")
	m.start("--delay", "50ms", "--retry-initial", "100ms")
	m.await(0, "readiness", limit, m.isReady)
	m.alike()
	for i := range 20 {
		dir := fmt.Sprintf("%s/d%d", m.src, i%5)
		mkdir(t, dir)
		write(t, dir+"/f", fmt.Sprint("content ", i))
		write(t, fmt.Sprintf("%s/f%d", dir, i), "x") // what was there before has another name
		var err error
		switch i % 4 {
		case 1:
			err = os.RemoveAll(fmt.Sprintf("%s/d%d", m.src, (i+3)%5))
		case 2:
			err = os.Rename(dir, fmt.Sprintf("%s/moved%d", m.src, i))
		case 3:
			err = os.Symlink("f", fmt.Sprintf("%s/link%d", dir, i))
		}
		if err != nil {
			t.Fatal(err)
		}
		if i%7 == 0 {
			m.alike()
		}
	}
	m.alike()
}

// What changes reaches the target through a handler, whatever ends it meanwhile.
func TestHandlerMirrors(t *testing.T) {
	beside(t)
	for mode, text := range map[string]string{"shell": byLines, "rsyncshell": byRsync} {
		t.Run(mode, func(t *testing.T) {
			beside(t)
			m := newMirror(t)
			// Some calls fail before they have done anything, some when they have done
			// all, and some die.
			unlucky := `#!/bin/sh
case $((CLSYNC_ITERATION % 9)) in 2) exit 77;; 5) kill -9 $$;; esac
(
` + strings.TrimPrefix(text, "#!/bin/sh\n") + `) || exit
case $((CLSYNC_ITERATION % 9)) in 7) exit 78;; esac
`
			m.flags = handler(t, mode, strings.ReplaceAll(unlucky, "DST", m.dst))
			m.tells()
			m.stop()
		})
	}
}

// A name at which the handler always fails keeps no other file away: not in a whole
// pass, and not in a list.
func TestHandlerFailsAtOneName(t *testing.T) {
	beside(t)
	m := newMirror(t)
	text := `#!/bin/sh
case $4 in */bad) exit 5;; esac
path=${4#SRC}
[ -f "$4" ] || exit 0
cp "$4" "DST$path"
`
	m.flags = handler(t, "simple", strings.NewReplacer("SRC", m.src, "DST", m.dst).Replace(text))
	write(t, m.src+"/a", "1")
	write(t, m.src+"/bad", "1")
	write(t, m.src+"/z", "1")
	m.start("--delay", "50ms", "--retry-initial", "100ms")
	holds := func(name, text string) func() bool {
		return func() bool {
			data, err := os.ReadFile(m.dst + "/" + name)
			return err == nil && string(data) == text
		}
	}
	m.eventually("what comes after it in the pass", holds("z", "1"))
	write(t, m.src+"/bad", "2")
	write(t, m.src+"/z", "2")
	write(t, m.src+"/new", "2")
	m.eventually("what comes after it in a list", func() bool { return holds("z", "2")() && holds("new", "2")() })
	m.stop()
}

// A handler writes to its target and reads its source; of the host it can do
// nothing else that it tries.
func TestHandlerIsConfined(t *testing.T) {
	m := newMirror(t)
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, secret, "secret")
	write(t, m.src+"/f", "x")
	text := `#!/bin/bash
can() { if "${@:2}" >/dev/null 2>&1; then echo "can $1"; else echo "cannot $1"; fi; }
can read-source cat SRC/f
can write-target touch DST/new
can scratch touch $TMPDIR/x
can null bash -c 'echo >/dev/null'
can write-source touch SRC/new
can secret cat SECRET
can shadow cat /etc/shadow
can usr touch /usr/new
can root touch /new
can execute-target bash -c 'cp /bin/true DST/true && chmod 755 DST/true && DST/true'
can execute-scratch bash -c 'cp /bin/true $TMPDIR/true && chmod 755 $TMPDIR/true && $TMPDIR/true'
can proc ls /proc/1
can network bash -c 'echo >/dev/tcp/127.0.0.1/PORT'
can mount mount -t tmpfs none $TMPDIR
can node mknod DST/node c 1 3
can full cat /dev/full
can namespace unshare -Ur true
echo done
`
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	_, port, _ := strings.Cut(l.Addr().String(), ":")
	// Outside the jail somebody answers there.
	if out, err := exec.CommandContext(t.Context(), "/bin/bash", "-c", "echo >/dev/tcp/127.0.0.1/"+port).CombinedOutput(); err != nil {
		t.Fatalf("the port cannot be reached at all: %v %s", err, out)
	}
	m.flags = handler(t, "direct", strings.NewReplacer("SRC", m.src, "DST", m.dst, "SECRET", secret, "PORT", port).Replace(text))
	m.start()
	m.await(0, "the handler's end", limit, says("done"))
	for what, want := range map[string]bool{"read-source": true, "write-target": true, "scratch": true, "null": true} {
		m.await(0, what, limit, says(map[bool]string{true: "can ", false: "cannot "}[want]+what))
	}
	for _, what := range []string{"write-source", "secret", "shadow", "usr", "root", "execute-target", "execute-scratch", "proc", "network", "mount", "node", "full", "namespace"} {
		m.await(0, what, limit, says("cannot "+what))
	}
	m.stop()
}

// A program that others can write to is not run.
func TestHandlerOfOthersIsRefused(t *testing.T) {
	m := newMirror(t)
	m.flags = handler(t, "shell", byLines)
	if err := syscall.Chmod(m.flags[3], 0o777); err != nil {
		t.Fatal(err)
	}
	if code := m.once(); code != 2 {
		t.Errorf("exit code %d", code)
	}
}

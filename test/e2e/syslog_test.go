//go:build e2e

package e2e

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"lockstep/internal/testenv"
	"lockstep/internal/testenv/observe"
)

// withDaemon runs what follows it where /dev/log is a link to a socket of the test's,
// and all else is as it is on the host.
const withDaemon = `mount --make-rprivate /
mount -t tmpfs -o mode=755 dev "$1"
for f in null zero full random urandom tty; do
	[ -e /dev/$f ] || continue
	: >"$1/$f"
	mount --bind /dev/$f "$1/$f"
done
mkdir "$1/pts" "$1/shm"
ln -s /proc/self/fd "$1/fd"
ln -s "$2" "$1/log"
mount --rbind "$1" /dev
shift 2
exec "$@"
`

// logDaemon is one, and what it has taken so far goes to the log of a mirror.
func logDaemon(t *testing.T, path string, m *mirror) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	form := regexp.MustCompile(`^<(\d+)>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d lockstep\[\d+\]: (\{.*\})$`)
	levels := map[string]string{"30": "info", "28": "warn", "27": "error"}
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Error(err)
				}
				return
			}
			parts := form.FindSubmatch(buf[:n])
			if parts == nil || observe.Controls(string(buf[:n])) > 0 {
				t.Errorf("no message of syslog's: %q", buf[:n])
				continue
			}
			m.log.Add(string(parts[2]))
			if level := levels[string(parts[1])]; level == "" || !strings.Contains(string(parts[2]), `"level":"`+level+`"`) {
				t.Errorf("another level: %q", buf[:n])
			}
		}
	}()
	return conn
}

// With log_to = "syslog" all that is said goes to the log daemon; when it goes, nothing
// else stops, and when it is back it is told how much it has missed.
func TestSyslog(t *testing.T) {
	unshare := testenv.NeedTool(t, "unshare")
	m := newMirror(t, "--log-to", "syslog", "--delay", "50ms")
	dir := t.TempDir()
	socket := dir + "/socket"
	mkdir(t, dir+"/dev")
	words := append([]string{"-m", "/bin/sh", "-ec", withDaemon, "sh", dir + "/dev", socket, program(t, "lockstep")}, m.args()...)

	// Without one there is no start.
	out, err := exec.Command(unshare, words...).CombinedOutput()
	if exit := (&exec.ExitError{}); !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), "log_to: no log daemon takes messages at /dev/log") {
		t.Fatalf("%v\n%s", err, out)
	}

	m.program = unshare
	write(t, m.src+"/f", "1")
	conn := logDaemon(t, socket, m)
	m.launch(words...)
	m.ready()
	m.equal() // which asks for the state in the log
	if err := errors.Join(conn.Close(), os.Remove(socket)); err != nil {
		t.Fatal(err)
	}
	at := m.mark()
	m.signal(sigState)
	m.await(at, "word on the standard error", limit, says("the log daemon does not take messages"))
	write(t, m.src+"/g", "2")
	m.sameWithin(limit)
	again := logDaemon(t, socket, m)
	at = m.mark()
	m.signal(sigState)
	m.await(at, "the number of those lost", limit, says("messages were lost before this one"))
	m.stop()
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

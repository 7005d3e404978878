package console

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// manager is a service manager's socket, and a notifier that speaks to it.
func manager(t *testing.T, address string) (*net.UnixConn, *Notifier) {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("NOTIFY_SOCKET", address)
	t.Setenv("WATCHDOG_USEC", "3000000")
	t.Setenv("WATCHDOG_PID", "")
	return conn, NewNotifier()
}

// heard is the next datagram, "" when there is none.
func heard(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, err := conn.Read(buf)
	if err != nil {
		return ""
	}
	return string(buf[:n])
}

func TestNotifier(t *testing.T) {
	now := time.Now()
	for _, address := range []string{filepath.Join(t.TempDir(), "notify"), fmt.Sprintf("@lockstep-test-%d", os.Getpid())} {
		conn, n := manager(t, address)
		if n.Interval() != time.Second {
			t.Errorf("interval %v", n.Interval())
		}
		for _, step := range []struct {
			want string
			send func()
		}{
			{"STATUS=x\\x0ay", func() { n.Status("x\ny", now) }},
			{"READY=1", func() { n.Ready(now) }}, {"STOPPING=1", n.Stopping}, {"WATCHDOG=1", n.Watchdog},
		} {
			step.send()
			if got := heard(t, conn); got != step.want {
				t.Errorf("got %q, want %q", got, step.want)
			}
		}
	}
	t.Setenv("NOTIFY_SOCKET", "")
	n := NewNotifier()
	n.Ready(now)
	if again := n.Flush(now); again != 0 {
		t.Errorf("without a manager something is owed: %v", again)
	}
}

// The manager hears of a reload with its time before it hears that it is over, also
// when it does not read for a while.
func TestReloading(t *testing.T) {
	conn, n := manager(t, filepath.Join(t.TempDir(), "notify"))
	now := time.Now()
	n.Reloading(now)
	got := heard(t, conn)
	var usec int64
	if _, err := fmt.Sscanf(got, "RELOADING=1\nMONOTONIC_USEC=%d", &usec); err != nil || usec <= 0 {
		t.Errorf("%q", got)
	}
	n.Ready(now)
	if got := heard(t, conn); got != "READY=1" {
		t.Errorf("%q", got)
	}
	sent := 0
	for ; ; sent++ {
		if ok, _ := n.send("X=1"); !ok {
			break
		}
	}
	n.Reloading(now)
	n.Ready(now)
	for range sent {
		heard(t, conn)
	}
	if again := n.Flush(now.Add(time.Second)); again != 0 {
		t.Errorf("still owed: %v", again)
	}
	if a, b := heard(t, conn), heard(t, conn); !strings.HasPrefix(a, "RELOADING=1\n") || b != "READY=1" {
		t.Errorf("%q, then %q", a, b)
	}
}

func TestStatusIsRare(t *testing.T) {
	conn, n := manager(t, filepath.Join(t.TempDir(), "notify"))
	now := time.Now()
	for i := range 100 {
		n.Status(fmt.Sprint(i), now)
	}
	if got := heard(t, conn) + heard(t, conn); got != "STATUS=0" {
		t.Errorf("%q", got)
	}
	again := n.Flush(now)
	if again <= 0 || again > statusEvery {
		t.Errorf("wants to speak again in %v", again)
	}
	if again := n.Flush(now.Add(again)); again != 0 {
		t.Errorf("still owed: %v", again)
	}
	n.Status("99", now.Add(time.Hour)) // no news
	if got := heard(t, conn) + heard(t, conn); got != "STATUS=99" {
		t.Errorf("%q", got)
	}
}

// A manager that does not read costs nothing but delay, and READY=1 is not lost.
func TestSlowManager(t *testing.T) {
	conn, n := manager(t, filepath.Join(t.TempDir(), "notify"))
	var log bytes.Buffer
	n.Log = slog.New(slog.NewTextHandler(&log, nil))
	sent := 0
	for ; ; sent++ {
		if ok, _ := n.send("X=1"); !ok {
			break
		}
	}
	now := time.Now()
	n.Ready(now)
	n.Status("s", now)
	if again := n.Flush(now); again <= 0 {
		t.Fatal("READY=1 is taken for said")
	}
	for range sent {
		heard(t, conn)
	}
	if again := n.Flush(now.Add(time.Second)); again != 0 {
		t.Errorf("still owed: %v", again)
	}
	if got := heard(t, conn) + " " + heard(t, conn); got != "READY=1 STATUS=s" {
		t.Errorf("%q", got)
	}
	if log.Len() > 0 {
		t.Errorf("slowness was warned of: %s", &log)
	}
}

func TestNoManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "none"))
	var log bytes.Buffer
	n := NewNotifier()
	n.Log = slog.New(slog.NewTextHandler(&log, nil))
	for range 3 {
		n.Ready(time.Now())
	}
	if n := strings.Count(log.String(), "service manager"); n == 0 || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("%q", log.String())
	}
}

package console

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Notifier speaks to the service manager (sd_notify(3)). The zero value, and
// one made without $NOTIFY_SOCKET, says nothing. What it says is advice: a
// manager that is slow or gone is no error of the session.
type Notifier struct {
	// Log is told of the first failure that is more than slowness; nil: nobody is.
	Log *slog.Logger

	address  string
	watchdog time.Duration
	reload   string    // RELOADING=1 is owed, with its time
	ready    bool      // READY=1 is owed, after that
	status   string    // what STATUS should be
	told     string    // what it was when it last went out
	next     time.Time // no word that is owed goes out before
	warned   bool
}

const (
	// statusEvery keeps a busy session from filling the manager's queue.
	statusEvery = 200 * time.Millisecond
	// A manager that is not there gets what is owed when it is back.
	failedEvery = 10 * time.Second
)

// NewNotifier reads the environment of a service: NOTIFY_SOCKET, WATCHDOG_USEC
// and WATCHDOG_PID.
func NewNotifier() *Notifier {
	n := &Notifier{address: os.Getenv("NOTIFY_SOCKET")}
	if n.address == "" || (n.address[0] != '/' && n.address[0] != '@') {
		return &Notifier{}
	}
	usec, err := strconv.ParseUint(os.Getenv("WATCHDOG_USEC"), 10, 63)
	pid := os.Getenv("WATCHDOG_PID")
	if err == nil && usec > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		n.watchdog = time.Duration(usec) * time.Microsecond
	}
	return n
}

// Interval is how often Watchdog must be called, with room to spare; 0: never.
func (n *Notifier) Interval() time.Duration { return n.watchdog / 3 }

// Ready says that the service serves. The manager waits for that word: it is
// owed until it went out.
func (n *Notifier) Ready(now time.Time) {
	n.ready, n.next = true, time.Time{}
	n.Flush(now)
}

// Reloading says that the configuration is read again; Ready must follow it. The
// manager waits for both (systemd.service(5), Type=notify-reload).
func (n *Notifier) Reloading(now time.Time) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return // there is no kernel without this clock
	}
	n.reload, n.next = fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", ts.Nano()/1000), time.Time{}
	n.Flush(now)
}

// Stopping says that the service is about to end.
func (n *Notifier) Stopping() { n.send("STOPPING=1") }

// Watchdog says that the service is alive.
func (n *Notifier) Watchdog() { n.send("WATCHDOG=1") }

// Status says what the service does, in one line, now or soon. The same words
// are not said twice.
func (n *Notifier) Status(text string, now time.Time) {
	n.status = strings.ReplaceAll(clean(text), "\n", " ")
	n.Flush(now)
}

// Flush says what is owed, as far as it may be said now. It returns when it
// wants to be called again; 0: nothing is owed.
func (n *Notifier) Flush(now time.Time) (again time.Duration) {
	if n.address == "" || n.reload == "" && !n.ready && n.status == n.told {
		return 0
	}
	if wait := n.next.Sub(now); wait > 0 {
		return wait
	}
	sent, pause := true, statusEvery
	if n.reload != "" {
		if sent, pause = n.send(n.reload); sent {
			n.reload = ""
		}
	}
	if sent && n.ready {
		sent, pause = n.send("READY=1")
		n.ready = !sent
	}
	if sent && n.status != n.told {
		if sent, pause = n.send("STATUS=" + n.status); sent {
			n.told = n.status
		}
	}
	n.next = now.Add(pause)
	if sent {
		return 0
	}
	return pause
}

// send says one word, and how long to wait with the next.
func (n *Notifier) send(state string) (sent bool, pause time.Duration) {
	err := n.write(state)
	if err == nil || errors.Is(err, unix.EAGAIN) {
		return err == nil, statusEvery
	}
	if n.Log != nil && !n.warned {
		n.warned = true
		n.Log.Warn("the service manager does not hear what is said to it, which is no harm to the mirror", "error", err.Error())
	}
	return false, failedEvery
}

func (n *Notifier) write(state string) error {
	if n.address == "" {
		return nil
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("service manager: socket: %w", err)
	}
	// x/sys turns a leading @ into the NUL of an abstract name.
	err = unix.Sendto(fd, []byte(state), unix.MSG_NOSIGNAL, &unix.SockaddrUnix{Name: n.address})
	if err != nil {
		err = fmt.Errorf("service manager at %s: %w", clean(n.address), err)
	}
	return errors.Join(err, unix.Close(fd))
}

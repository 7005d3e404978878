package console

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Notifier speaks to the service manager (sd_notify(3)). The zero value, and
// one made without $NOTIFY_SOCKET, says nothing.
type Notifier struct {
	address  string
	watchdog time.Duration
	last     string
}

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

// Ready says that the service serves.
func (n *Notifier) Ready() error { return n.send("READY=1") }

// Stopping says that the service is about to end.
func (n *Notifier) Stopping() error { return n.send("STOPPING=1") }

// Watchdog says that the service is alive.
func (n *Notifier) Watchdog() error { return n.send("WATCHDOG=1") }

// Status says what the service does, in one line. The same words are not said twice.
func (n *Notifier) Status(text string) error {
	text = strings.ReplaceAll(clean(text), "\n", " ")
	if text == n.last {
		return nil
	}
	n.last = text
	return n.send("STATUS=" + text)
}

func (n *Notifier) send(state string) error {
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

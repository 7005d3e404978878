// Package logd hands log records to the log daemon of this host: by syslog's socket,
// or by the journal's own.
//
// Trust: linked into the supervisor, the only process that writes logs. It reads
// nothing: a daemon only takes messages, or does not.
// Imports: console, which escapes what is in a record.
//
// Invariants: one record is one datagram; no call waits for the daemon: what it does
// not take is kept within a bound, and beyond that counted, which is told on the
// standard error and, when the daemon takes messages again, there as well; the socket
// is at a place that no configuration names.
package logd

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"lockstep/console"
)

// Where messages may go.
const (
	Stderr  = "stderr"
	Syslog  = "syslog"
	Journal = "journal"
)

// The sockets are where every host has them.
const (
	syslogSocket  = "/dev/log"
	journalSocket = "/run/systemd/journal/socket"
)

const (
	maxQueued = 1 << 20         // bytes that wait for the daemon
	patience  = time.Second     // with one record
	farewell  = 2 * time.Second // with all that waits at the end
	tellEvery = time.Minute     // at most so often that some were lost
)

// Open is the log that was asked for: stderr itself, or one of a daemon's. The Sink is
// to be closed at the end; it is nil for stderr.
func Open(to string, stderr *slog.Logger, json bool) (*slog.Logger, *Sink, error) {
	s := &Sink{path: syslogSocket, format: syslogPacket, json: json}
	switch to {
	case Syslog:
	case Journal:
		s.path, s.format = journalSocket, journalPacket
	default:
		return stderr, nil, nil
	}
	if err := s.open(stderr); err != nil {
		return stderr, nil, fmt.Errorf("log_to: no log daemon takes messages at %s: %w; start one, or write log_to = %q", s.path, err, Stderr)
	}
	return console.NewRecords(s.Send, json), s, nil
}

// Sink sends records to a daemon.
type Sink struct {
	path   string
	format func(r console.Record, pid int) []byte
	json   bool
	tell   *slog.Logger // of what was lost
	wake   chan struct{}
	done   chan struct{} // closed when nothing more is sent

	mu     sync.Mutex
	conn   *net.UnixConn // guarded by mu; nil: there was none the last time
	queue  [][]byte      // guarded by mu
	bytes  int           // guarded by mu: of queue
	lost   uint64        // guarded by mu; since it was told
	why    error         // guarded by mu: of the last one lost
	told   time.Time     // guarded by mu: when lost was
	closed bool          // guarded by mu: nothing more is taken
	over   bool          // guarded by mu: nothing more is sent
}

// open connects, and begins to send.
func (s *Sink) open(tell *slog.Logger) error {
	conn, err := s.dial()
	if err != nil {
		return err
	}
	s.conn, s.tell, s.wake, s.done = conn, tell, make(chan struct{}, 1), make(chan struct{})
	go s.run()
	return nil
}

func (s *Sink) dial() (*net.UnixConn, error) {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.path, Net: "unixgram"})
	var told *net.OpError
	if errors.As(err, &told) {
		err = told.Err // the path is said by who tells of it
	}
	return conn, err
}

// Send has a record sent soon, or counts it as lost. It does not wait.
func (s *Sink) Send(r console.Record) {
	packet := s.format(r, os.Getpid())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.bytes+len(packet) > maxQueued {
		s.lose(errors.New("too many messages wait"))
		return
	}
	s.queue, s.bytes = append(s.queue, packet), s.bytes+len(packet)
	s.poke()
}

func (s *Sink) poke() {
	select {
	case s.wake <- struct{}{}:
	default: // it is awake already
	}
}

// lose counts a record, and tells of it unless that was done just now. Precondition:
// mu is held; the standard error has a lock of its own and no way back here.
func (s *Sink) lose(why error) {
	s.lost++
	s.why = why
	if now := time.Now(); s.told.IsZero() || now.Sub(s.told) >= tellEvery {
		s.told = now
		s.tell.Warn("the log daemon does not take messages, which are lost: see that it runs", "socket", s.path, "lost", s.lost, "error", why.Error())
	}
}

// run sends until all is sent after Close.
func (s *Sink) run() {
	defer close(s.done)
	for {
		packet, closed := s.next()
		switch {
		case packet != nil:
			s.sent(s.write(packet))
		case closed:
			return
		default:
			<-s.wake
		}
	}
}

// next takes what has waited longest; nil: nothing waits.
func (s *Sink) next() (packet []byte, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) > 0 {
		packet = s.queue[0]
		s.queue, s.bytes = s.queue[1:], s.bytes-len(packet)
	}
	return packet, s.closed
}

// write sends one record; to a daemon that was started again by a new connection.
func (s *Sink) write(packet []byte) error {
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	if conn != nil {
		err := send(conn, packet)
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	again, err := s.dial()
	s.mu.Lock()
	over := s.over
	if !over {
		s.conn = again
	}
	s.mu.Unlock()
	if conn != nil {
		err = errors.Join(err, ignoreClosed(conn.Close()))
	}
	switch {
	case over && again != nil:
		return errors.Join(err, again.Close(), net.ErrClosed)
	case err != nil:
		return err
	}
	return send(again, packet)
}

func send(conn *net.UnixConn, packet []byte) error {
	if err := conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := conn.Write(packet)
	return err
}

// ignoreClosed is for a connection that Close has closed already.
func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// sent notes what became of a record; after losses the first one that gets through
// is followed by their number.
func (s *Sink) sent(err error) {
	s.mu.Lock()
	if err != nil {
		s.lose(err)
	}
	lost, why := s.lost, s.why
	if err == nil {
		s.lost, s.why = 0, nil
	}
	s.mu.Unlock()
	if err != nil || lost == 0 {
		return
	}
	at := console.NewRecords(func(r console.Record) {
		if err := s.write(s.format(r, os.Getpid())); err != nil {
			s.mu.Lock()
			s.lose(err)
			s.mu.Unlock()
		}
	}, s.json)
	for _, log := range []*slog.Logger{s.tell, at} {
		log.Warn("messages were lost before this one", "socket", s.path, "lost", lost, "error", why.Error())
	}
}

// Close sends what waits, for a short time at most, and tells of what was lost.
func (s *Sink) Close() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	s.closed = true
	s.poke()
	s.mu.Unlock()
	select {
	case <-s.done:
	case <-time.After(farewell):
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := uint64(len(s.queue)); n > 0 {
		s.lost += n
		if s.why == nil {
			s.why = errors.New("it was not taken before the end")
		}
	}
	s.queue, s.over = nil, true // the sender finds nothing more
	if s.lost > 0 {
		s.tell.Warn("messages were lost: the log daemon does not take them", "socket", s.path, "lost", s.lost)
	}
	if s.conn == nil {
		return nil
	}
	return s.conn.Close() // which ends a send that hangs
}

// Package kaudit hands records of the audit trail to the kernel's own audit subsystem,
// which gives each a number, and to auditd where one runs.
//
// Trust: linked into the supervisor. What the kernel answers is numbers; what is in a
// record may come from anybody, and is written in hexadecimal unless it is plain.
//
// Invariants: one record is one message, whatever names hold; nobody waits for the
// kernel but this package's goroutine, which keeps a bounded number and counts the rest.
package kaudit

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/trail"
)

// Of linux/audit.h.
const (
	auditGet        = 1000
	auditTrustedApp = 1121
)

const (
	patience = 2 * time.Second // with the kernel's answer
	maxField = 500             // bytes of a name: all of them, in hexadecimal, are in a message of 8,970 bytes
	maxQueue = 1024
	tellOnce = time.Minute
)

// Sink sends records to the kernel.
type Sink struct {
	log  *slog.Logger
	fd   int
	seq  uint32
	in   chan string
	done chan struct{}

	mu   sync.Mutex
	told time.Time // guarded by mu
}

// Open connects. It tells the log when the kernel would take messages and record none:
// it acknowledges them all the same.
func Open(log *slog.Logger) (*Sink, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_AUDIT)
	if err != nil {
		return nil, fmt.Errorf("the kernel has no audit subsystem: %w", err)
	}
	s := &Sink{log: log, fd: fd, in: make(chan string, maxQueue), done: make(chan struct{})}
	limit := unix.NsecToTimeval(int64(patience))
	err = errors.Join(unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}), unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit))
	enabled := false
	if err == nil {
		enabled, err = s.enabled()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the kernel's audit subsystem does not answer (CAP_AUDIT_CONTROL and CAP_AUDIT_WRITE are needed, outside of containers): %w", err), unix.Close(fd))
	}
	if !enabled {
		log.Warn("the kernel's audit subsystem is off (enabled=0): it acknowledges records, and keeps none; run: auditctl -e 1, or start auditd")
	}
	go s.run()
	return s, nil
}

// enabled asks whether the kernel records at all.
func (s *Sink) enabled() (bool, error) {
	if err := s.request(auditGet, nil); err != nil {
		return false, err
	}
	for range 4 { // its answer and its acknowledgement
		kind, data, err := s.receive()
		if err != nil {
			return false, err
		}
		if kind == auditGet && len(data) >= 8 { // struct audit_status: mask, enabled
			return binary.NativeEndian.Uint32(data[4:]) != 0, nil
		}
	}
	return false, errors.New("no status")
}

func (s *Sink) request(kind uint16, data []byte) error {
	s.seq++
	h := unix.NlMsghdr{Len: uint32(unix.SizeofNlMsghdr + len(data)), Type: kind, Flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK, Seq: s.seq}
	packet := binary.NativeEndian.AppendUint32(nil, h.Len)
	packet = binary.NativeEndian.AppendUint16(packet, h.Type)
	packet = binary.NativeEndian.AppendUint16(packet, h.Flags)
	packet = binary.NativeEndian.AppendUint32(packet, h.Seq)
	packet = binary.NativeEndian.AppendUint32(packet, h.Pid)
	return unix.Sendto(s.fd, append(packet, data...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// receive takes one answer. An error that it says is one.
func (s *Sink) receive() (kind uint16, data []byte, err error) {
	buf := make([]byte, 16<<10)
	n, _, err := unix.Recvfrom(s.fd, buf, 0)
	if err != nil {
		return 0, nil, err
	}
	if n < unix.SizeofNlMsghdr {
		return 0, nil, errors.New("a short answer")
	}
	kind, data = binary.NativeEndian.Uint16(buf[4:]), buf[unix.SizeofNlMsghdr:n]
	if kind == unix.NLMSG_ERROR && len(data) >= 4 {
		if code := int32(binary.NativeEndian.Uint32(data)); code != 0 {
			return kind, nil, unix.Errno(-code)
		}
	}
	return kind, data, nil
}

// Send has a record sent soon. It does not wait.
func (s *Sink) Send(seq uint64, sum string, r trail.Record) {
	if s == nil {
		return
	}
	select {
	case s.in <- Text(seq, sum, r):
	default:
		s.lose(errors.New("the kernel does not take them as fast as they come"))
	}
}

// lose tells of a record that the kernel did not get.
func (s *Sink) lose(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); s.told.IsZero() || now.Sub(s.told) >= tellOnce {
		s.told = now
		s.log.Warn("the kernel's audit subsystem does not take records of the trail; they are in its files", "error", why.Error())
	}
}

func (s *Sink) run() {
	defer close(s.done)
	for text := range s.in {
		err := s.request(auditTrustedApp, append([]byte(text), 0)) // the kernel makes the last byte a zero
		for err == nil {
			var kind uint16
			if kind, _, err = s.receive(); err == nil && kind == unix.NLMSG_ERROR {
				break // acknowledged
			}
		}
		if err != nil {
			s.lose(err)
		}
	}
}

// Close sends what waits, for a short time at most.
func (s *Sink) Close() error {
	if s == nil {
		return nil
	}
	close(s.in)
	select {
	case <-s.done:
		return unix.Close(s.fd)
	case <-time.After(patience):
		return errors.New("the kernel's audit subsystem does not answer")
	}
}

// Text is a record as audit writes it: fields that may hold anything in hexadecimal,
// unless they are plain.
func Text(seq uint64, sum string, r trail.Record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "op=lockstep-%s seq=%d outcome=%s actor=%s", word(string(r.Type)), seq, word(string(r.Outcome)), field(r.Actor.Role))
	for _, f := range []struct{ name, value string }{{"sync", r.Object.Sync}, {"target", r.Object.Target}, {"object", r.Object.Name}, {"rule", r.Why.Rule}, {"reason", r.Why.Reason}} {
		if f.value != "" {
			b.WriteString(" " + f.name + "=" + field(f.value))
		}
	}
	res := "failed"
	if r.Outcome == trail.Success || r.Outcome == trail.Begun {
		res = "success"
	}
	return b.String() + " sum=" + word(sum) + " res=" + res
}

// word keeps letters, digits and dashes.
func word(s string) string {
	return strings.Map(func(c rune) rune {
		if c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' {
			return c
		}
		return '?'
	}, s[:min(len(s), 64)])
}

// field is a value in quotes if it has no space, quote or other than printable ASCII, in
// hexadecimal otherwise, as audit_log_untrustedstring writes it.
func field(s string) string {
	s = s[:min(len(s), maxField)]
	for _, c := range []byte(s) {
		if c == '"' || c < 0x21 || c > 0x7e {
			return strings.ToUpper(hex.EncodeToString([]byte(s)))
		}
	}
	return `"` + s + `"`
}

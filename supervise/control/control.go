// Package control is the supervisor's side of the control socket: it makes the
// socket, starts the gate when somebody connects, and hears the gate's requests.
//
// Trust: linked into the supervisor. A request is a packet of numbers of one
// size; what a client wrote is never read here.
//
// Invariants: without a client there is no gate, and nothing wakes up; a gate that
// sends anything but the next request is killed; it is heard a limited number of
// times a second; its death concerns nobody else, and the next start of it waits
// longer; after five deaths by a forbidden call within a minute there is none any
// more, nor a socket.
package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/console"
	"lockstep/internal/buildinfo"
	"lockstep/internal/memfd"
	"lockstep/ipc/control"
	"lockstep/ipc/wire"
	"lockstep/sandbox"
	"lockstep/supervise/brief"
	"lockstep/supervise/deaths"
	"lockstep/supervise/jail"
	"lockstep/supervise/proc"
	"lockstep/supervise/words"
)

// Request is what a client asks by way of the gate.
type Request struct {
	Command control.Command
	Sync    string // its name; "": all
	UID     uint32 // who asks, as the gate says
	// Reply must be called once, with a value of JSON or the reason why there is
	// none; it does not wait.
	Reply func(text []byte, refused error)
}

// Options are what the gate is, and is told.
type Options struct {
	Log     *slog.Logger
	Place   Place
	Starter proc.Starter // its Group and Launcher
	Image   *os.File
	Filter  *os.File
	Machine jail.Machine
	UID     int // the gate's own
	GID     int
	Syncs   []string // their names
}

// Control is a control socket that is served.
type Control struct {
	Options
	Requests chan Request
	Locked   chan error // once: the gate is locked out

	socket  *socket
	exits   chan proc.Exit
	ctx     context.Context
	cancel  context.CancelFunc
	done    sync.WaitGroup
	row     deaths.Row
	sigsys  deaths.Sigsys
	allowed time.Time // when the next request may be heard

	mu    sync.Mutex
	conn  *os.File // to the gate that runs
	syncs []string // as the next gate is told
}

// Open makes the socket and serves it until Close.
func Open(o Options) (*Control, error) {
	s, err := listen(o.Place)
	if err != nil {
		return nil, err
	}
	c := &Control{Options: o, syncs: o.Syncs, socket: s, Requests: make(chan Request), Locked: make(chan error, 1), exits: make(chan proc.Exit, 1)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.Starter.Prefix, c.Starter.Exits = "control.", c.exits
	c.Starter.Lines = func(role, _ string) *console.Lines { return console.NewLines(c.Log, role) }
	c.Starter.Lost = func(role string, err error) {
		c.Log.Warn("messages of the "+role+" were lost", "error", err.Error())
	}
	c.done.Go(c.run)
	return c, nil
}

// Close ends the gate, when it has written what it was told, and removes the
// socket.
func (c *Control) Close() error {
	c.cancel()
	// It is closed already where the gate was locked out.
	_ = c.socket.file.SetReadDeadline(time.Unix(1, 0))
	c.hush()
	c.done.Wait()
	return c.socket.close()
}

// Rename says which syncs there are from now on. The gate that runs ends, when it has
// written what it was told: the next one knows them.
func (c *Control) Rename(syncs []string) {
	c.mu.Lock()
	c.syncs = syncs
	c.mu.Unlock()
	c.hush()
}

// hush has the gate hear that there is nothing more to be had.
func (c *Control) hush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return
	}
	// It hears the end after all that was written.
	if raw, err := c.conn.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) })
	}
	_ = c.conn.SetReadDeadline(time.Now().Add(endTime)) // one that does not want to hear it is ended
}

// run starts a gate whenever somebody connects.
func (c *Control) run() {
	for c.socket.wait() == nil && c.ctx.Err() == nil {
		begun := time.Now()
		heard, err := c.live()
		if err == nil || c.ctx.Err() != nil {
			continue // it had nothing more to do
		}
		c.Log.Warn(err.Error())
		var locked lockedError
		if errors.As(err, &locked) {
			c.Locked <- locked.error
			if err := c.socket.close(); err != nil { // who waits there is told
				c.Log.Warn("the control socket could not be removed", "error", err.Error())
			}
			return
		}
		if !heard {
			begun = time.Time{}
		}
		c.rest(c.row.Wait(begun, time.Now()))
	}
}

// rest waits, but not past the end.
func (c *Control) rest(d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-c.ctx.Done():
	}
}

// lockedError is the last of too many deaths.
type lockedError struct{ error }

func (e lockedError) Unwrap() error { return e.error }

// live is the life of one gate: whether it asked anything, and why it ended, if
// it was not because there was no client any more.
func (c *Control) live() (heard bool, err error) {
	select {
	case <-c.exits: // of one that could not be started
	default:
	}
	c.mu.Lock()
	syncs := c.syncs
	c.mu.Unlock()
	conn, p, err := c.start(syncs)
	if err != nil {
		return false, errors.Join(err, p.End())
	}
	c.mu.Lock()
	c.conn = conn
	late := !slices.Equal(syncs, c.syncs)
	c.mu.Unlock()
	if late || c.ctx.Err() != nil { // who had it end did not see it
		c.hush()
	}
	heard, broken := c.hear(conn, syncs)
	if broken != nil {
		_ = p.Kill()
	}
	limit := time.AfterFunc(endTime, func() { _ = p.Kill() })
	e := <-c.exits
	limit.Stop()
	c.mu.Lock()
	c.conn = nil
	c.mu.Unlock()
	err = errors.Join(conn.Close(), p.End())
	switch locked := c.sigsys.Locked("gate", e.Sig, time.Now()); {
	case locked != nil:
		return heard, lockedError{c.Starter.Trail.Locked("", "gate", locked)}
	case broken != nil:
		c.Starter.Trail.Violation("", "gate", broken)
		return heard, fmt.Errorf("violation: the gate sent %w; it was killed", broken)
	case e.Err != nil || e.Code != 0:
		return heard, errors.Join(errors.New(words.Death("gate", p.PID, e.Code, e.Sig, e.Err)), err)
	}
	return heard, err
}

// endTime is how long a gate may take to end that has nothing more to hear.
const endTime = 2 * time.Second

// start starts a gate.
func (c *Control) start(syncs []string) (ours *os.File, p *proc.Process, err error) {
	ours, theirs, err := proc.Pair("gate")
	if err != nil {
		return nil, nil, err
	}
	var files proc.Files
	files.Take(theirs, nil)
	told := control.Config{Build: buildinfo.ID, Syncs: syncs}
	if c.Place.Mode&0o200 != 0 {
		told.UIDs = append(told.UIDs, uint32(c.Place.UID))
	}
	if c.Place.Mode&0o020 != 0 {
		told.GIDs = append(told.GIDs, uint32(c.Place.GID))
	}
	data, err := wire.Append(nil, &told)
	if err == nil {
		cfg := files.Take(memfd.Sealed("lockstep-gate-config", data))
		if err = files.Err(); err == nil {
			spec := jail.Gate(c.Machine, c.UID, c.GID)
			p, err = c.Starter.Start(spec, "", c.Image, []sandbox.Donation{
				proc.Donate("clients", c.socket.file), proc.Donate("supervisor", theirs), proc.Donate("config", cfg), proc.Donate("filter", c.Filter),
			}, brief.Limits(spec.Role, 0, false))
		}
	}
	if err = errors.Join(err, files.Close()); err != nil {
		err = errors.Join(fmt.Errorf("the gate could not be started: %w", err), ours.Close())
	}
	return ours, p, err
}

// hear takes the requests of a gate that knows syncs until it has gone. What is none
// is an error.
func (c *Control) hear(conn *os.File, syncs []string) (heard bool, broken error) {
	buf := make([]byte, control.RequestSize+1)
	for number := uint32(1); ; number++ {
		n, err := conn.Read(buf)
		if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) {
			return heard, nil
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return heard, errors.New("nothing more, and did not end")
		}
		if err != nil {
			return heard, err
		}
		r, err := wire.Decode[control.Request](buf[:n])
		if err == nil && (r.Number != number || int(r.Sync) > len(syncs)) {
			err = fmt.Errorf("request %d about sync %d, after %d", r.Number, r.Sync, number-1)
		}
		if err != nil {
			return heard, err
		}
		heard = true
		c.pace(r.Command, time.Now())
		name := ""
		if r.Sync > 0 {
			name = syncs[r.Sync-1]
		}
		answer := c.ask(r, name)
		if err := send(conn, answer); err != nil {
			return heard, err
		}
	}
}

// Pace: one request in each, and so many at once after a rest. What changes something
// counts for several: each of them is a line of the log, and more.
const (
	every  = 10 * time.Millisecond
	burst  = 100
	change = 10
)

// pace rests when there were too many requests lately.
func (c *Control) pace(r control.Command, now time.Time) {
	if first := now.Add(-burst * every); c.allowed.Before(first) {
		c.allowed = first
	}
	c.allowed = c.allowed.Add(every)
	if !r.Reads() {
		c.allowed = c.allowed.Add((change - 1) * every)
	}
	c.rest(c.allowed.Sub(now))
}

// ask has the service answer.
func (c *Control) ask(r control.Request, name string) []control.Answer {
	reply := make(chan []control.Answer, 1)
	refuse := func(why string) []control.Answer {
		return []control.Answer{{Number: r.Number, End: control.Refused, Text: []byte(why)}}
	}
	q := Request{Command: r.Command, Sync: name, UID: r.UID, Reply: func(text []byte, refused error) {
		switch {
		case refused != nil:
			reply <- refuse(refused.Error()[:min(len(refused.Error()), control.MaxText)])
		case len(text) > control.MaxAnswer:
			reply <- refuse("the answer would be too long; ask for one sync")
		default:
			reply <- parts(r.Number, text)
		}
	}}
	select {
	case c.Requests <- q:
	case <-c.ctx.Done():
		return refuse("lockstep ends")
	}
	select {
	case a := <-reply:
		return a
	case <-c.ctx.Done():
	}
	select { // what was said at the end is said
	case a := <-reply:
		return a
	default:
		return refuse("lockstep ends")
	}
}

// parts cuts a text into packets.
func parts(number uint32, text []byte) []control.Answer {
	var out []control.Answer
	for len(text) > control.MaxText {
		out = append(out, control.Answer{Number: number, End: control.More, Text: text[:control.MaxText]})
		text = text[control.MaxText:]
	}
	return append(out, control.Answer{Number: number, End: control.Done, Text: text})
}

// readTime is how long a gate may take to read an answer.
const readTime = 2 * time.Second

// send writes an answer. A gate that has gone is no error here.
func send(conn *os.File, answer []control.Answer) error {
	if err := conn.SetWriteDeadline(time.Now().Add(readTime)); err != nil {
		return err
	}
	for i := range answer {
		data, err := wire.Append(nil, &answer[i])
		if err != nil {
			return err
		}
		_, err = conn.Write(data)
		if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
			return nil
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return errors.New("nothing, and read nothing")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

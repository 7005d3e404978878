// Package gate speaks to the clients of the control socket, so that nothing that
// holds a right reads what they write.
//
// Trust: confined and untrusted. It holds the listening socket and one socket to
// the supervisor, and no right of any kind.
// Imports: the standard library, x/sys, internal/…, ipc/control, ipc/line.
//
// Invariants: a client that is not permitted is read from never; what goes to the
// supervisor is a command and a number, both of which were looked up; there are at
// most MaxClients, each with a goroutine, a line's buffer and an answer; a client
// keeps nobody waiting but for as long as its own question takes, and itself for a
// limited time; when the supervisor ends the conversation, answers that are there
// are still written.
package gate

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/sys"
	"lockstep/ipc/control"
	"lockstep/ipc/line"
)

// MaxClients is how many are served at a time.
const MaxClients = 8

// Limits are how long things may take.
type Limits struct {
	Line   time.Duration // a line, from its first byte to its end; an answer
	Idle   time.Duration // between two lines of a client
	Linger time.Duration // without a client; then the gate ends
}

// Usual are the limits of the program.
func Usual() Limits {
	return Limits{Line: 5 * time.Second, Idle: time.Minute, Linger: 10 * time.Second}
}

// Ends are what the gate was given. Both files are registered with the poller.
type Ends struct {
	Clients    *os.File // a listening socket
	Supervisor *os.File
	Log        io.Writer
	Config     control.Config
}

// Gate is a running gate.
type Gate struct {
	Ends
	limits Limits
	link   *link

	mu      sync.Mutex
	clients map[*client]bool
	all     sync.WaitGroup
}

// Run serves until there has been no client for a while, or the supervisor ends
// the conversation: then it returns nil.
func Run(e Ends, l Limits) error {
	g := &Gate{Ends: e, limits: l, link: newLink(e.Supervisor), clients: map[*client]bool{}}
	go func() {
		<-g.link.ended
		g.hush()
	}()
	err := g.accept()
	g.all.Wait()
	if err == nil {
		err = g.link.fault()
	}
	return err
}

// accept takes clients.
func (g *Gate) accept() error {
	raw, err := g.Clients.SyscallConn()
	if err != nil {
		return fmt.Errorf("the control socket: %w", err)
	}
	for {
		if err := g.Clients.SetReadDeadline(time.Now().Add(g.limits.Linger)); err != nil {
			return fmt.Errorf("the control socket: %w", err)
		}
		if g.link.over() { // hush may have come before the new deadline
			return nil
		}
		fd, failed := -1, error(nil)
		err := raw.Read(func(listener uintptr) bool {
			fd, _, failed = unix.Accept4(int(listener), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			return failed != unix.EAGAIN
		})
		switch {
		case g.link.over():
			if fd >= 0 {
				_ = unix.Close(fd)
			}
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			if g.alone() {
				return nil
			}
		case err != nil:
			return fmt.Errorf("the control socket: %w", err)
		case failed == unix.EINTR || failed == unix.ECONNABORTED: // it has gone again
		case failed != nil:
			return fmt.Errorf("the control socket: accept: %w", failed)
		default:
			g.admit(fd)
		}
	}
}

// alone says that there is no client.
func (g *Gate) alone() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.clients) == 0
}

// admit begins to serve a client, or tells it why not.
func (g *Gate) admit(fd int) {
	uid, err := g.who(fd)
	conn := os.NewFile(uintptr(fd), "client")
	c := &client{gate: g, conn: conn, uid: uid}
	g.mu.Lock()
	if err == nil && len(g.clients) >= MaxClients {
		err = line.Fault{Code: line.CodeBusy, Message: fmt.Sprintf("%d clients are being served, which is the most; try again", MaxClients)}
	}
	if err == nil {
		g.clients[c] = true
		g.all.Add(1)
	}
	g.mu.Unlock()
	if err != nil {
		// A fresh socket has room for it: this does not wait.
		_ = c.write(line.Refuse(err))
		_ = conn.Close()
		return
	}
	go func() {
		defer g.all.Done()
		c.serve()
		g.mu.Lock()
		delete(g.clients, c)
		g.mu.Unlock()
		_ = conn.Close()
	}()
}

// maxGroups bounds how many groups a client may be in.
const maxGroups = 1024

// who is the user at the other end, by the kernel's word; an error if it may not
// ask. (The socket's mode says the same; but that, another may change.)
func (g *Gate) who(fd int) (uint32, error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0, line.Fault{Code: line.CodeDenied, Message: "nobody knows who asks: " + err.Error()}
	}
	groups := []uint32{cred.Gid}
	permitted := func() bool {
		return cred.Uid == 0 || slices.Contains(g.Config.UIDs, cred.Uid) ||
			slices.ContainsFunc(groups, func(gid uint32) bool { return slices.Contains(g.Config.GIDs, gid) })
	}
	if !permitted() && len(g.Config.GIDs) > 0 {
		if groups, err = sys.PeerGroups(fd, make([]uint32, maxGroups)); err != nil {
			groups = nil
		}
	}
	if !permitted() {
		fmt.Fprintf(g.Log, "<4>uid %d is not permitted to ask, and was refused\n", cred.Uid)
		return 0, line.Fault{Code: line.CodeDenied, Message: fmt.Sprintf("uid %d may not ask; control_owner and control_mode say who may", cred.Uid)}
	}
	return cred.Uid, nil
}

// hush has every client end that waits for nothing but its own next line.
func (g *Gate) hush() {
	past := time.Unix(1, 0)
	g.mu.Lock()
	defer g.mu.Unlock()
	_ = g.Clients.SetReadDeadline(past)
	for c := range g.clients {
		_ = c.conn.SetReadDeadline(past)
	}
}

// sync is the number of a sync, from 1; 0 for no name.
func (g *Gate) sync(name string) (uint16, error) {
	if name == "" {
		return 0, nil
	}
	i := slices.Index(g.Config.Syncs, name)
	if i < 0 {
		return 0, line.Fault{Code: line.CodeUnknown, Message: "there is no sync of that name"}
	}
	return uint16(i + 1), nil
}

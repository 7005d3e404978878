package peer

import (
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Relay is a TCP port that leads to another one, until it is cut or held: a
// network that fails.
type Relay struct {
	addr string

	mu       sync.Mutex
	change   *sync.Cond     // of held and closed
	to       string         // guarded by mu
	held     bool           // guarded by mu
	closed   bool           // guarded by mu; for good
	listener net.Listener   // guarded by mu; nil while cut
	conns    []*net.TCPConn // guarded by mu; both ends of each connection
	accepted int            // guarded by mu
	spoil    func() Spoiler // guarded by mu; nil: nothing is changed

	all sync.WaitGroup // goroutines
}

// StartRelay listens on "host:port", on a free port of "host", or, if listen
// is empty, on a free port of 127.0.0.1, and leads to "host:port".
func StartRelay(t testing.TB, listen, to string) *Relay {
	t.Helper()
	if listen == "" {
		listen = "127.0.0.1"
	}
	if !strings.Contains(listen, ":") {
		listen = address(listen, freePort(t, listen))
	}
	r := &Relay{addr: listen, to: to}
	r.change = sync.NewCond(&r.mu)
	r.Restore(t)
	t.Cleanup(func() {
		r.mu.Lock()
		r.closed = true
		r.change.Broadcast()
		r.mu.Unlock()
		r.Cut()
		r.all.Wait()
	})
	return r
}

// Addr is the relay's own host:port.
func (r *Relay) Addr() string { return r.addr }

// Host is the address it listens on.
func (r *Relay) Host() string { host, _, _ := net.SplitHostPort(r.addr); return host }

// Port is the relay's own port.
func (r *Relay) Port() uint16 { return portOf(r.addr) }

// Accepted is how many connections came so far.
func (r *Relay) Accepted() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.accepted
}

// AwaitAccepted waits until n connections have come.
func (r *Relay) AwaitAccepted(t testing.TB, n int) {
	t.Helper()
	until(t, "connection to the relay", func() bool { return r.Accepted() >= n })
}

// Point leads connections that come from now on to another address.
func (r *Relay) Point(to string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = to
}

// Cut resets every connection and closes the port.
func (r *Relay) Cut() {
	r.mu.Lock()
	listener := r.listener
	r.listener = nil
	r.mu.Unlock()
	if listener != nil {
		_ = listener.Close()
	}
	r.Reset()
}

// Reset resets every connection; new ones may come.
func (r *Relay) Reset() {
	r.mu.Lock()
	conns := r.conns
	r.conns = nil
	r.mu.Unlock()
	for _, c := range conns {
		reset(c)
	}
}

// Hold lets no byte through any more, as a black hole does; connections stay,
// and new ones are accepted and hear nothing.
func (r *Relay) Hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = true
}

// Spoiler changes what comes from the far end of one connection, piece by piece.
type Spoiler func([]byte) []byte

// Spoil has a Spoiler of its own for each connection that comes from now on.
func (r *Relay) Spoil(each func() Spoiler) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spoil = each
}

// Restore ends Cut and Hold.
func (r *Relay) Restore(t testing.TB) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = false
	r.change.Broadcast()
	if r.listener != nil {
		return
	}
	l, err := net.Listen("tcp4", r.addr)
	if err != nil {
		t.Fatalf("relay: %v", err)
	}
	r.listener = l
	r.all.Go(func() { r.serve(l) })
}

func (r *Relay) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // Cut
		}
		r.mu.Lock()
		r.accepted++
		r.mu.Unlock()
		client := c.(*net.TCPConn)
		if r.keep(l, client) {
			r.all.Go(func() { r.lead(l, client) })
		}
	}
}

// keep remembers an end, unless its listener was cut meanwhile.
func (r *Relay) keep(l net.Listener, c *net.TCPConn) bool {
	r.mu.Lock()
	ok := r.listener == l
	if ok {
		r.conns = append(r.conns, c)
	}
	r.mu.Unlock()
	if !ok {
		reset(c)
	}
	return ok
}

// lead connects one client with the far end and copies both ways.
func (r *Relay) lead(l net.Listener, client *net.TCPConn) {
	to, ok := r.pass()
	if !ok {
		r.drop(client)
		return
	}
	far, err := net.DialTimeout("tcp4", to, patience)
	if err != nil || !r.keep(l, far.(*net.TCPConn)) {
		r.drop(client)
		return
	}
	server := far.(*net.TCPConn)
	var both sync.WaitGroup
	both.Go(func() { r.copy(server, client, nil) })
	both.Go(func() { r.copy(client, server, r.spoiler()) })
	both.Wait()
	r.drop(client)
	r.drop(server)
}

// pass waits while the relay is held, and says where it leads.
func (r *Relay) pass() (to string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.held && !r.closed {
		r.change.Wait()
	}
	return r.to, !r.closed
}

// spoiler is that of a new connection, if there is one.
func (r *Relay) spoiler() Spoiler {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.spoil == nil {
		return nil
	}
	return r.spoil()
}

// copy copies one way, and passes the end on.
func (r *Relay) copy(to, from *net.TCPConn, spoil Spoiler) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if _, ok := r.pass(); !ok {
			return
		}
		if n > 0 {
			piece := buf[:n]
			if spoil != nil {
				piece = spoil(piece)
			}
			if _, err := to.Write(piece); err != nil {
				reset(from)
				return
			}
		}
		if err != nil {
			_ = to.CloseWrite()
			return
		}
	}
}

// drop closes and forgets one end.
func (r *Relay) drop(c *net.TCPConn) {
	r.mu.Lock()
	r.conns = slices.DeleteFunc(r.conns, func(o *net.TCPConn) bool { return o == c })
	r.mu.Unlock()
	_ = c.Close()
}

// reset closes a connection so that the other side is told of no orderly end.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

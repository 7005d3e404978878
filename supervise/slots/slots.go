// Package slots bounds how many commands are begun at a time: in all, to one
// host, and, of whole passes, as many as there are processors.
//
// Trust: linked into the supervisor. A runner sends single bytes; one that
// breaks the protocol is an error, and the caller ends it.
//
// Invariants: whoever has waited longest goes first among those who may; a
// client that leaves gives back all that it had; nothing here waits for a
// client; one that hangs delays the others for Patience and no longer.
package slots

import (
	"errors"
	"slices"
	"sync"
	"time"
)

// What a runner says, and what it hears.
const (
	WantCommand = 'c' // it wants to start a command
	WantPass    = 'p' // it wants to start a whole pass
	Done        = 'd' // one that was granted has ended, or is not wanted any more
	Granted     = 'g' // a command
	GrantedPass = 'G'
	Refused     = 'x' // nothing that it waits for, nor will want
)

// Limits are the bounds; 0 is none.
type Limits struct {
	All     int
	PerHost int // of one remote host
	Passes  int // whole passes on this host
	// Patience is after how long a command no longer counts, except for its
	// host: it is long, or hangs, and must not keep others from being begun. 0:
	// it always counts.
	Patience time.Duration
}

// Pool is the slots of a service. It is safe for concurrent use.
type Pool struct {
	limits Limits

	mu      sync.Mutex
	all     int
	passes  int
	hosts   map[string]int
	waiting []want // in the order in which they came
}

type want struct {
	client *Client
	pass   bool
}

// local says that it is for a whole pass on this host: one to another host waits
// for that, and not for a processor.
func (w want) local() bool { return w.pass && w.client.host == "" }

// New makes a pool.
func New(l Limits) *Pool { return &Pool{limits: l, hosts: map[string]int{}} }

// Client is one runner.
type Client struct {
	pool  *Pool
	host  string          // "" is this one, which has no limit of its own
	grant func(word byte) // must not wait
	wants int             // unanswered
	held  bool            // it gets nothing for now
	end   bool            // it gets nothing more
	has   []*slot
}

// slot is one that was granted.
type slot struct {
	pass bool
	old  bool // it counts for its host alone
	age  *time.Timer
}

// maxWants is what an honest runner can want at a time: two jobs of one kind,
// and what two that were stopped had asked for as the other.
const maxWants = 4

// Join makes a client; grant is called for each slot that it gets, with the word
// that its runner hears.
func (p *Pool) Join(host string, grant func(word byte)) *Client {
	return &Client{pool: p, host: host, grant: grant}
}

var errProtocol = errors.New("a word about its slots that has no place")

// Hear takes a word of the client's runner.
func (c *Client) Hear(word byte) error {
	p := c.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case c.end && (word == WantCommand || word == WantPass):
		c.grant(Refused)
	case (word == WantCommand || word == WantPass) && c.wants+len(c.has) < maxWants:
		c.wants++
		p.waiting = append(p.waiting, want{c, word == WantPass})
	case word == Done && len(c.has) > 0:
		c.giveBack()
	default:
		return errProtocol
	}
	p.serve()
	return nil
}

// Waits says whether the client wants what it has not got.
func (c *Client) Waits() bool {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	return c.wants > 0
}

// Hold has the client get nothing for now, or again (false).
func (c *Client) Hold(held bool) {
	p := c.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	c.held = held
	p.serve()
}

// Refuse has the client get nothing more.
func (c *Client) Refuse() {
	p := c.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.end {
		return
	}
	p.waiting = slices.DeleteFunc(p.waiting, func(w want) bool { return w.client == c })
	c.wants, c.end = 0, true
	c.grant(Refused)
	p.serve()
}

// Leave takes back all that the client has and wants.
func (c *Client) Leave() {
	p := c.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = slices.DeleteFunc(p.waiting, func(w want) bool { return w.client == c })
	c.wants = 0
	for len(c.has) > 0 {
		c.giveBack()
	}
	p.serve()
}

// giveBack returns one slot: of a whole pass last, so that a runner which has
// both cannot make another pass begin too early.
func (c *Client) giveBack() {
	p := c.pool
	i := max(slices.IndexFunc(c.has, func(h *slot) bool { return !h.pass }), 0)
	h := c.has[i]
	c.has = slices.Delete(c.has, i, i+1)
	if h.age != nil {
		h.age.Stop()
	}
	p.uncount(h)
	if c.host == "" {
		return
	}
	if p.hosts[c.host]--; p.hosts[c.host] == 0 {
		delete(p.hosts, c.host)
	}
}

// serve grants what can be granted.
func (p *Pool) serve() {
	p.waiting = slices.DeleteFunc(p.waiting, func(w want) bool {
		if !p.free(w) {
			return false
		}
		h, word := &slot{pass: w.local()}, byte(Granted)
		p.all++
		if h.pass {
			p.passes++
		}
		if w.pass {
			word = GrantedPass
		}
		if p.limits.Patience > 0 {
			h.age = time.AfterFunc(p.limits.Patience, func() { p.grown(h) })
		}
		if w.client.host != "" {
			p.hosts[w.client.host]++
		}
		w.client.wants--
		w.client.has = append(w.client.has, h)
		w.client.grant(word)
		return true
	})
}

// uncount takes a slot out of the numbers, once.
func (p *Pool) uncount(h *slot) {
	if h.old {
		return
	}
	h.old = true
	p.all--
	if h.pass {
		p.passes--
	}
}

// grown is the end of our patience with a slot's command.
func (p *Pool) grown(h *slot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.uncount(h)
	p.serve()
}

func (p *Pool) free(w want) bool {
	l := p.limits
	return !w.client.held && (l.All == 0 || p.all < l.All) &&
		(l.Passes == 0 || !w.local() || p.passes < l.Passes) &&
		(l.PerHost == 0 || w.client.host == "" || p.hosts[w.client.host] < l.PerHost)
}

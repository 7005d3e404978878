package reload

import "sync"

// Asked gathers requests for reloads until one can be made: all that have come by
// then are one. Any goroutine may ask.
type Asked struct {
	Wake chan struct{} // there is something to be taken

	mu   sync.Mutex
	next Request
	any  bool
}

// Request is one reload that was asked for.
type Request struct {
	Blocks []string // to be loaded, in this order
	tell   []chan<- error
}

// NewAsked makes an Asked.
func NewAsked() *Asked { return &Asked{Wake: make(chan struct{}, 1)} }

// Add asks for a reload, and for a block to be loaded ("": none). What comes of it is
// sent once: nil when what was read is in force.
func (a *Asked) Add(block string) <-chan error {
	answer := make(chan error, 1)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.any = true
	a.next.tell = append(a.next.tell, answer)
	if block != "" {
		a.next.Blocks = Load(a.next.Blocks, block)
	}
	select {
	case a.Wake <- struct{}{}:
	default:
	}
	return answer
}

// Take takes all that was asked for.
func (a *Asked) Take() (r Request, any bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, any = a.next, a.any
	a.next, a.any = Request{}, false
	return r, any
}

// Answer tells all who asked what came of it.
func (r Request) Answer(err error) {
	for _, c := range r.tell {
		c <- err
	}
}

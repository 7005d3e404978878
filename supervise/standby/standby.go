// Package standby holds the commands of a sync back while a file is there, or a
// person has asked for a pause.
//
// Trust: linked into the supervisor. It only asks whether there is anything at a
// name.
// Imports: the standard library only.
//
// Invariants: nobody is granted anything for which it asked when the file was there,
// or in a pause, until a look does not find it and the pause is over; while anybody
// waits, for whatever reason, there is a look each second, and while nobody does, or
// there is no file to look for, there is none; a file that cannot be looked for counts
// as there, for then nobody knows.
package standby

import (
	"sync"
	"time"
)

// every is how often the file is looked for while anybody waits.
const every = time.Second

// File is one sync's. A nil File holds nobody.
type File struct {
	there func() (bool, error) // nil: there is no such file
	told  func(held bool, err error)

	mu      sync.Mutex
	clients map[*Client]bool // true: it is held
	paused  bool
	held    bool        // what was told last
	timer   *time.Timer // nil: there is no look to come
}

// New makes a File: there says whether it is there (nil: nothing is looked for), told
// is called when somebody is held first, and when nobody is any more; it must not wait,
// nor come back.
func New(there func() (bool, error), told func(held bool, err error)) *File {
	return &File{there: there, told: told, clients: map[*Client]bool{}}
}

// Client is one who can be held.
type Client struct {
	file  *File
	hold  func(held bool)
	waits func() bool
}

// Join makes a client; waits says whether it waits for what it has asked for.
func (f *File) Join(hold func(held bool), waits func() bool) *Client {
	c := &Client{file: f, hold: hold, waits: waits}
	if f != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.clients[c] = false
	}
	return c
}

// Ask asks on the client's behalf, and has it held if the file is there.
func (c *Client) Ask(ask func() error) error {
	f := c.file
	if f == nil {
		return ask()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	there, err := f.find()
	f.set(c, there)
	if there {
		f.tell(err)
	}
	if f.timer == nil && f.there != nil {
		f.timer = time.AfterFunc(every, f.look)
	}
	return ask()
}

// find says whether whoever asks is to be held.
func (f *File) find() (bool, error) {
	if f.there == nil {
		return f.paused, nil
	}
	there, err := f.there()
	return there || f.paused || err != nil, err
}

// Pause begins or ends a pause: who waits now is held, or is not. It says whether
// that is any change.
func (f *File) Pause(on bool) (changed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.paused == on {
		return false
	}
	f.paused = on
	f.settle()
	return true
}

// Leave forgets the client. What is told of it waits for the next look: most often
// another takes its place.
func (c *Client) Leave() {
	if f := c.file; f != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.clients, c)
	}
}

// look goes on while anybody waits.
func (f *File) look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.timer = nil
	if f.settle() && f.there != nil {
		f.timer = time.AfterFunc(every, f.look)
	}
}

// settle holds whoever waits, or lets them go, and says whether anybody waits.
func (f *File) settle() (waiting bool) {
	there, err := f.find()
	for c := range f.clients {
		waits := c.waits()
		f.set(c, there && waits)
		waiting = waiting || waits
	}
	f.tell(err)
	return waiting
}

func (f *File) set(c *Client, held bool) {
	if f.clients[c] != held {
		f.clients[c] = held
		c.hold(held)
	}
}

func (f *File) tell(err error) {
	held := false
	for _, h := range f.clients {
		held = held || h
	}
	if held != f.held {
		f.held = held
		f.told(held, err)
	}
}

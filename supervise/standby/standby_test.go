package standby

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// person makes the file and takes it away, and counts the looks.
type person struct {
	mu    sync.Mutex
	there bool
	err   error
	looks int
	told  []bool
}

func (p *person) look() (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looks++
	return p.there, p.err
}

func (p *person) set(there bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.there, p.err, p.looks = there, err, 0
}

// runner is a client that waits for what it has asked for until it is given it.
type runner struct {
	*Client
	mu    sync.Mutex
	waits bool
	held  []bool
}

func join(f *File) *runner {
	r := &runner{}
	r.Client = f.Join(func(held bool) { r.held = append(r.held, held) }, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.waits
	})
	return r
}

func (r *runner) wait(waits bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waits = waits
	return nil
}

func (r *runner) ask() { _ = r.Ask(func() error { return r.wait(true) }) }

func TestHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &person{}
		f := New(p.look, func(held bool, _ error) { p.told = append(p.told, held) })
		a, b := join(f), join(f)
		want := func(what string, told, first, second []bool) {
			t.Helper()
			synctest.Wait()
			if !slices.Equal(p.told, told) || !slices.Equal(a.held, first) || !slices.Equal(b.held, second) {
				t.Errorf("%s: told %v, held %v and %v", what, p.told, a.held, b.held)
			}
		}
		idle := func(what string) {
			t.Helper()
			p.set(p.there, p.err)
			time.Sleep(time.Minute)
			synctest.Wait()
			if p.looks > 1 { // the one that finds nobody waiting
				t.Errorf("%s: %d looks", what, p.looks)
			}
		}
		a.ask()
		_ = a.wait(false) // it has what it asked for
		want("no file", nil, nil, nil)
		idle("nobody waits")

		a.ask() // and waits, for others
		p.set(true, nil)
		time.Sleep(2 * every)
		want("a file that came while it waited", []bool{true}, []bool{true}, nil)
		b.ask()
		time.Sleep(10 * every)
		want("both wait", []bool{true}, []bool{true}, []bool{true})
		p.set(false, nil)
		time.Sleep(2 * every)
		want("it has gone", []bool{true, false}, []bool{true, false}, []bool{true, false})
		_, _ = a.wait(false), b.wait(false)
		idle("both have what they asked for")

		p.set(false, errors.New("dead"))
		b.ask()
		want("nobody knows", []bool{true, false, true}, []bool{true, false}, []bool{true, false, true})
		b.Leave()
		a.ask() // another in its place
		time.Sleep(10 * every)
		want("one left, another came", []bool{true, false, true}, []bool{true, false, true}, []bool{true, false, true})
		a.Leave()
		time.Sleep(2 * every)
		want("both have left", []bool{true, false, true, false}, []bool{true, false, true}, []bool{true, false, true})
		idle("both have left")
	})
}

// No file: nobody is held, and all is asked.
func TestNone(t *testing.T) {
	var f *File
	c := f.Join(func(bool) { t.Error("held") }, nil)
	asked := errors.New("asked")
	if err := c.Ask(func() error { return asked }); err != asked {
		t.Error(err)
	}
	c.Leave()
}

// A pause holds whoever waits, with a file or without; without one there is no look.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, file := range []bool{false, true} {
			p := &person{}
			var there func() (bool, error)
			if file {
				there = p.look
			}
			f := New(there, func(held bool, _ error) { p.told = append(p.told, held) })
			a, b := join(f), join(f)
			want := func(what string, told, first, second []bool) {
				t.Helper()
				synctest.Wait()
				if !slices.Equal(p.told, told) || !slices.Equal(a.held, first) || !slices.Equal(b.held, second) {
					t.Errorf("file %v: %s: told %v, held %v and %v", file, what, p.told, a.held, b.held)
				}
			}
			a.ask() // and waits, for others
			if !f.Pause(true) || f.Pause(true) {
				t.Error("a pause in a pause is a change")
			}
			want("who waits", []bool{true}, []bool{true}, nil)
			b.ask()
			time.Sleep(10 * every)
			want("who asks later", []bool{true}, []bool{true}, []bool{true})
			p.set(true, nil)
			if !f.Pause(false) {
				t.Error("the end is none")
			}
			if file {
				want("the file is there", []bool{true}, []bool{true}, []bool{true})
			} else {
				want("the end", []bool{true, false}, []bool{true, false}, []bool{true, false})
			}
			p.set(false, nil)
			time.Sleep(2 * every)
			want("no file, no pause", []bool{true, false}, []bool{true, false}, []bool{true, false})
			if _, _ = a.wait(false), b.wait(false); !file && p.looks > 0 {
				t.Errorf("%d looks", p.looks)
			}
			time.Sleep(10 * every)
		}
	})
}

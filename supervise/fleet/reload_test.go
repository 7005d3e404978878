package fleet

import (
	"errors"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/config"
	"lockstep/console"
	"lockstep/supervise/host"
	"lockstep/supervise/reload"
)

// ready is a service that would take a reload.
func ready(t *testing.T, log io.Writer, read func([]string) (config.Set, config.Problems, error)) *Fleet {
	s := New(Needs{
		Set: config.Set{Path: "/x", Syncs: []config.Sync{{Name: "a"}}}, Source: reload.Source{Read: read, Signals: map[int]string{28: "b"}}, Asked: reload.NewAsked(),
		Log: slog.New(slog.NewTextHandler(log, nil)), Notify: console.NewNotifier(),
	})
	s.fit = true
	t.Cleanup(func() { close(s.served) })
	return s
}

func (s *Fleet) turn() {
	e := <-s.events
	e.then(e.err)
}

// What cannot be read, or does not answer, changes nothing, and who asked is told; an
// answer that comes too late is none; what was asked for meanwhile is one more reload.
func TestReloadThatFails(t *testing.T) {
	var log strings.Builder
	bad := config.Problems{{Thing: "one", Reason: "is wrong"}, {Thing: "two", Reason: "is wrong"}}
	reads := make(chan []string, 10)
	answers := make(chan error)
	s := ready(t, &log, func(blocks []string) (config.Set, config.Problems, error) {
		reads <- blocks
		return config.Set{}, nil, <-answers
	})
	before := s.Set
	first := s.Asked.Add("")
	s.renew()
	<-reads
	second, third := s.Asked.Add(""), s.Asked.Add("")
	s.renew() // nothing, while one is under way
	answers <- bad
	s.turn()
	if err := <-first; !errors.As(err, new(config.Problems)) {
		t.Errorf("%v", err)
	}
	for _, want := range []string{"one: is wrong", "two: is wrong", "refused as a whole"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%q is not said:\n%s", want, log.String())
		}
	}

	<-reads
	Asks(s.Source, s.Asked, syscall.Signal(28))
	s.failed(Silent()) // as at the limit
	for _, c := range []<-chan error{second, third} {
		if err := <-c; err == nil || !strings.Contains(err.Error(), "does not answer") {
			t.Errorf("%v", err)
		}
	}
	if blocks := <-reads; len(blocks) != 1 || blocks[0] != "b" {
		t.Errorf("read with %v loaded", blocks)
	}
	answers <- bad // of the one that was not waited for, and of the last one
	answers <- bad
	s.turn()
	s.turn()
	if s.now != nil || len(s.blocks) != 0 || !reflect.DeepEqual(s.Set, before) {
		t.Errorf("%+v, blocks %v, %+v", s.now, s.blocks, s.Set)
	}
}

// Nobody reads anew what has no file, or runs once.
func TestReloadOfNothing(t *testing.T) {
	var log strings.Builder
	s := ready(t, &log, nil)
	answer := s.Asked.Add("")
	s.renew()
	if err := <-answer; err == nil || s.now != nil {
		t.Errorf("%v, %+v", err, s.now)
	}
	s = ready(t, &log, func([]string) (config.Set, config.Problems, error) { panic("it is read") })
	s.Set.Once = true
	answer = s.Asked.Add("")
	s.renew()
	if err := <-answer; err == nil || s.now != nil {
		t.Errorf("%v, %+v", err, s.now)
	}
}

// A person's consent is to what there was at the start.
func TestReloadTakesNoConsent(t *testing.T) {
	dir := t.TempDir()
	c := &candidate{}
	err := c.read(reload.Source{Read: func([]string) (config.Set, config.Problems, error) {
		return config.Set{Path: "/x", Service: config.Service{RuntimeDir: dir + "/run", StateDir: dir + "/state"}, Accept: []string{"a"}}, nil, nil
	}})
	if err != nil || len(c.set.Accept) > 0 {
		t.Errorf("%v, %+v", err, c.set)
	}
}

// What begins waits for what ends, for as long as anything of that is left, and for
// nothing else; the end waits for neither.
func TestBeginsAfterWhatEnds(t *testing.T) {
	s := ready(t, io.Discard, nil)
	s.Scratch = t.TempDir() + "/none" // where nothing can be prepared
	old := s.newMember(config.Config{Sync: config.Sync{Name: "a"}}, host.Command{})
	old.stage, old.leaving = over, reload.Changed // and hangs
	next := s.newMember(config.Config{Sync: config.Sync{Name: "a"}}, host.Command{})
	next.after = []*member{old}
	other := s.newMember(config.Config{Sync: config.Sync{Name: "b"}}, host.Command{})
	s.members = []*member{old, next, other}
	s.advance()
	if next.stage != waiting || other.stage != preparing {
		t.Fatalf("next %d, other %d", next.stage, other.stage)
	}
	s.turn()
	if other.stage != waiting || !other.again.After(time.Now()) || other.tries != 1 {
		t.Errorf("what could not begin is not tried again later: %+v", other)
	}
	s.gone(old)
	if next.stage != preparing || other.stage != waiting || len(s.members) != 2 {
		t.Errorf("next %d, other %d, %d members", next.stage, other.stage, len(s.members))
	}
	s.pass(syscall.SIGTERM)
	s.turn()
	if s.left() != 0 {
		t.Errorf("%d are left: next %d, other %d", s.left(), next.stage, other.stage)
	}
}

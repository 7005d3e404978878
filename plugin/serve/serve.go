// Package serve is the host's side of the conversation: one request at a time,
// in the one order that there is.
//
// Trust: linked into the host of a module; requests are checked as if their
// sender were hostile, as is the memory that a module shares.
//
// Invariants: nothing is called before Init, after Deinit, or of the other
// mode; each request has one answer, and the first one that cannot be is the
// last.
package serve

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"lockstep/plugin/frame"
)

// Module is a shared object and its functions.
type Module interface {
	// Load makes its functions callable: those of the mode, of Init.
	Load(frame.Init) *frame.Fault
	Init() frame.Result
	Sync(*frame.Sync) frame.Result
	Rsync(*frame.Rsync) frame.Result
	Deinit() frame.Result
}

// server is a conversation.
type server struct {
	conn   io.ReadWriter
	module Module
	init   *frame.Init // nil: not yet
}

// Serve answers requests until the last one. An error says that the end was not
// an orderly one.
func Serve(conn io.ReadWriter, m Module) error {
	s := &server{conn: conn, module: m}
	for {
		seq, req, err := frame.ReadRequest(conn)
		if errors.Is(err, frame.ErrMalformed) {
			return s.fault(seq, &frame.Fault{Why: frame.Malformed, Text: err.Error()})
		}
		if err != nil {
			return fmt.Errorf("the runner has gone: %w", err)
		}
		res, fault := s.do(req)
		if fault != nil {
			return s.fault(seq, fault)
		}
		if err := s.send(seq, &res); err != nil {
			return err
		}
		// A module that has refused is not called again.
		if _, first := req.(*frame.Init); first && res.Code != 0 {
			return nil
		}
		if _, last := req.(*frame.Deinit); last {
			return nil
		}
	}
}

// do does what a request asks for, if this is its place.
func (s *server) do(req frame.Message) (frame.Result, *frame.Fault) {
	first, isInit := req.(*frame.Init)
	if isInit != (s.init == nil) {
		return frame.Result{}, outOfOrder(req)
	}
	switch req := req.(type) {
	case *frame.Init:
		s.init = first
		if fault := s.module.Load(*req); fault != nil {
			return frame.Result{}, fault
		}
		return s.module.Init(), nil
	case *frame.Sync:
		if s.init.Mode == frame.ModeSync {
			return s.module.Sync(req), nil
		}
	case *frame.Rsync:
		if s.init.Mode == frame.ModeRsync {
			return s.module.Rsync(req), nil
		}
	case *frame.Deinit:
		return s.module.Deinit(), nil
	}
	return frame.Result{}, outOfOrder(req)
}

func outOfOrder(req frame.Message) *frame.Fault {
	return &frame.Fault{Why: frame.OutOfOrder, Text: fmt.Sprintf("%T has no place here", req)}
}

// fault tells why the conversation ends.
func (s *server) fault(seq frame.Sequence, f *frame.Fault) error {
	f.Text = bounded(f.Text)
	return errors.Join(errors.New(f.Text), s.send(seq, f))
}

// bounded is a text as a fault can carry it.
func bounded(s string) string {
	s = strings.ReplaceAll(s, "\x00", "?")
	return s[:min(len(s), frame.MaxText)]
}

func (s *server) send(seq frame.Sequence, m frame.Message) error {
	b, err := frame.Append(nil, seq, m)
	if err != nil {
		return err
	}
	if _, err := s.conn.Write(b); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	return nil
}

package gate

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"lockstep/ipc/control"
	"lockstep/ipc/line"
	"lockstep/ipc/wire"
)

// link is the conversation with the supervisor.
type link struct {
	conn  *os.File
	parts chan control.Answer
	ended chan struct{} // closed when there is nothing more to be had; then:
	err   error         // why; nil: the supervisor has ended it

	mu     sync.Mutex // of one question at a time
	number uint32
}

func newLink(conn *os.File) *link {
	l := &link{conn: conn, parts: make(chan control.Answer), ended: make(chan struct{})}
	go l.read()
	return l
}

// read takes packets until the conversation ends.
func (l *link) read() {
	defer close(l.ended)
	buf := make([]byte, control.AnswerSize)
	for {
		n, err := l.conn.Read(buf)
		if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) {
			return
		}
		if err != nil {
			l.err = fmt.Errorf("the supervisor: %w", err)
			return
		}
		a, err := wire.Decode[control.Answer](buf[:n])
		if err != nil {
			l.err = fmt.Errorf("the supervisor's packet: %w", err)
			return
		}
		l.parts <- a
	}
}

// over says that the conversation has ended.
func (l *link) over() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

// fault is why the conversation has ended, if it should not have.
func (l *link) fault() error {
	if l.over() {
		return l.err
	}
	return nil
}

// ask asks, and waits for the answer. Another question waits meanwhile.
func (l *link) ask(r control.Request) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ending := line.Fault{Code: line.CodeEnding, Message: "lockstep ends, or begins afresh; ask again"}
	if l.over() {
		return nil, ending
	}
	l.number++
	r.Number = l.number
	data, err := wire.Append(nil, &r)
	if err != nil {
		return nil, line.Fault{Code: line.CodeBad, Message: err.Error()}
	}
	if _, err := l.conn.Write(data); err != nil {
		return nil, ending
	}
	var text []byte
	for {
		select {
		case <-l.ended:
			return nil, ending
		case a := <-l.parts:
			if a.Number != r.Number || len(text)+len(a.Text) > control.MaxAnswer {
				return nil, line.Fault{Code: line.CodeRefused, Message: "the supervisor's answer is none"}
			}
			text = append(text, a.Text...)
			switch a.End {
			case control.Done:
				return text, nil
			case control.Refused:
				return nil, line.Fault{Code: line.CodeRefused, Message: string(text)}
			}
		}
	}
}

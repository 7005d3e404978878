package gate

import (
	"bytes"
	"errors"
	"io"
	"os"
	"time"

	"lockstep/ipc/control"
	"lockstep/ipc/line"
)

// client is one connection.
type client struct {
	gate *Gate
	conn *os.File
	uid  uint32
	have []byte // read, and not part of a line yet
}

// serve answers line by line until the client goes, or breaks a limit.
func (c *client) serve() {
	for {
		text, err := c.next()
		if err != nil {
			var told line.Fault
			if errors.As(err, &told) {
				_ = c.write(line.Refuse(told)) // and then it goes: where the next line begins is not known
			}
			return
		}
		if c.write(c.answer(text)) != nil || c.gate.link.over() {
			return
		}
	}
}

// answer is the line for a line.
func (c *client) answer(text []byte) []byte {
	r, kind, err := line.Decode(text)
	if err != nil {
		return line.Refuse(err)
	}
	n, err := c.gate.sync(r.Sync)
	if err != nil {
		return line.Refuse(err)
	}
	result, err := c.gate.link.ask(control.Request{Command: kind.Command, Sync: n, UID: c.uid})
	if err != nil {
		return line.Refuse(err)
	}
	return line.Accept(result)
}

// next reads a line, without its end.
func (c *client) next() ([]byte, error) {
	begun := len(c.have) > 0
	if err := c.patience(begun); err != nil {
		return nil, err
	}
	for {
		if i := bytes.IndexByte(c.have, '\n'); i >= 0 {
			text := c.have[:i]
			c.have = append([]byte(nil), c.have[i+1:]...)
			return text, nil
		}
		if len(c.have) >= line.MaxRequest {
			return nil, line.Fault{Code: line.CodeBad, Message: "the line is too long, or has no end"}
		}
		piece := make([]byte, line.MaxRequest-len(c.have))
		n, err := c.conn.Read(piece)
		c.have = append(c.have, piece[:n]...)
		switch {
		case err != nil && len(c.have) == 0: // it asks nothing
			return nil, err
		case err != nil && c.gate.link.over():
			return nil, line.Fault{Code: line.CodeEnding, Message: "lockstep ends, or begins afresh"}
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, line.Fault{Code: line.CodeBad, Message: "the line did not come in time"}
		case errors.Is(err, io.EOF):
			return nil, line.Fault{Code: line.CodeBad, Message: "the last line has no end"}
		case err != nil:
			return nil, err
		}
		if !begun {
			begun = true
			if err := c.patience(true); err != nil {
				return nil, err
			}
		}
	}
}

// patience sets the limit of the wait for a line, or for the rest of one that has
// begun.
func (c *client) patience(begun bool) error {
	limit := c.gate.limits.Idle
	if begun {
		limit = c.gate.limits.Line
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	if c.gate.link.over() { // hush may have come before the new limit
		return c.conn.SetReadDeadline(time.Unix(1, 0))
	}
	return nil
}

// write writes a line to a client that reads it in time.
func (c *client) write(text []byte) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(c.gate.limits.Line)); err != nil {
		return err
	}
	_, err := c.conn.Write(text)
	return err
}

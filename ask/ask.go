// Package ask is a client of the control socket.
//
// Trust: linked into `lockstep ctl`, which may be root. An answer is the gate's, and
// hostile: its length is bounded, and what is shown of it is made printable.
// Imports: the standard library, ipc/line and internal/escape.
package ask

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"syscall"
	"time"

	"lockstep/internal/escape"
	"lockstep/ipc/line"
)

// patience is how long an answer may take.
const patience = 30 * time.Second

// Ask asks once. What was refused is a line.Fault; where nobody listens, the error
// says so.
func Ask(socket string, r line.Request) (result json.RawMessage, err error) {
	conn, err := net.DialTimeout("unix", socket, patience)
	if err != nil {
		return nil, unreachable(socket, err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	text, err := r.Encode()
	if err != nil {
		return nil, err
	}
	if len(text) > line.MaxRequest {
		return nil, line.Fault{Code: line.CodeBad, Message: "the name is too long"}
	}
	// A gate that refuses does not read: its answer says why.
	_, sent := conn.Write(text)
	answer, err := bufio.NewReader(io.LimitReader(conn, line.MaxAnswer)).ReadBytes('\n')
	switch {
	case err != nil && sent != nil:
		return nil, unreachable(socket, sent)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return nil, errors.New("the connection ended before the answer: lockstep ends, or its gate did; ask again")
	case err != nil:
		return nil, unreachable(socket, err)
	}
	return line.DecodeAnswer(answer)
}

// unreachable says what to do about an error of the socket.
func unreachable(socket string, err error) error {
	name := escape.Name(socket)
	var timeout net.Error
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%s: no lockstep listens there; start it, or name its socket with -s", name)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: this user may not ask; control_owner and control_mode say who may", name)
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%s: no answer within %v", name, patience)
	}
	return fmt.Errorf("%s: %s", name, escape.Name(err.Error()))
}

// JSON writes a result anew, with nothing in it but printable ASCII.
func JSON(result json.RawMessage) ([]byte, error) {
	v, err := Value(result)
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for _, r := range string(text) {
		switch {
		case r == '\n' || r >= ' ' && r < 0x7f:
			out.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// Value is a result as values of Go's; numbers stay as they were written.
func Value(result json.RawMessage) (any, error) {
	d := json.NewDecoder(bytes.NewReader(result))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, errors.New("the answer is not JSON")
	}
	return v, nil
}

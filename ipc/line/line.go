// Package line is what clients of the control socket write and read: lines of
// JSON.
//
// Trust: linked into the gate, whose input is hostile, and into `lockstep ctl`,
// to whom an answer is hostile: a gate may have been taken over. The supervisor's
// packages do not use it.
// Imports: the standard library and ipc/control.
//
// Invariants: Decode accepts one object with known members, and allocates no more
// than a small multiple of its input, which is MaxRequest bytes at most; a Request
// that it returns names a command that there is; what Encode returns is one line.
package line

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"lockstep/ipc/control"
)

// Version is that of the protocol: another one is told by another number.
const Version = 1

// Limits of one line, with its end.
const (
	MaxRequest = 4 << 10
	MaxAnswer  = control.MaxAnswer + 1<<10
)

// Words by which an answer says why there is no result.
const (
	CodeBad     = "bad-request" // the line is no request
	CodeVersion = "version"     // it is of another protocol
	CodeUnknown = "unknown"     // there is no such command, or no such sync
	CodeRefused = "refused"     // it could be understood, and is not done
	CodeDenied  = "denied"      // the client's user may not ask
	CodeBusy    = "busy"        // too many clients
	CodeEnding  = "ending"      // lockstep ends
)

// Request is what a client asks.
type Request struct {
	V       int    `json:"v"`
	Command string `json:"command"`
	Sync    string `json:"sync,omitempty"` // of which sync; "": of all
}

// Fault is why there is no result.
type Fault struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (f Fault) Error() string { return f.Message }

// Answer is what comes back.
type Answer struct {
	V      int             `json:"v"`
	OK     bool            `json:"ok"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *Fault          `json:"error,omitempty"`
}

// Decode reads a request. What is wrong with it is a Fault.
func Decode(text []byte) (Request, control.Kind, error) {
	bad := func(format string, args ...any) (Request, control.Kind, error) {
		return Request{}, control.Kind{}, Fault{CodeBad, fmt.Sprintf(format, args...)}
	}
	if len(text) > MaxRequest {
		return bad("a line has at most %d bytes", MaxRequest)
	}
	if !utf8.Valid(text) {
		return bad("the line is not UTF-8")
	}
	var r Request
	if err := strict(text, &r); err != nil {
		return bad(`the line is not an object such as {"v":1,"command":"status"}`)
	}
	if r.V != Version {
		return Request{}, control.Kind{}, Fault{CodeVersion, fmt.Sprintf(`this is version %d of the protocol: write "v":%d`, Version, Version)}
	}
	if r.Command == "set" {
		return Request{}, control.Kind{}, Fault{CodeRefused, "no key is changed while it runs: the configuration is what its file says; change that, and reload"}
	}
	kind, known := control.Named(r.Command)
	switch {
	case !known:
		return Request{}, control.Kind{}, Fault{CodeUnknown, "there is no such command; there are " + Names()}
	case r.Sync != "" && !kind.Sync:
		return bad("%s is for no sync alone", kind.Name)
	}
	return r, kind, nil
}

// strict reads one object and nothing else.
func strict(text []byte, into any) error {
	if !bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{")) {
		return errors.New("no object")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something after the object")
	}
	return nil
}

// Names are the commands, for a message.
func Names() string {
	var names []string
	for _, k := range control.Commands() {
		names = append(names, k.Name)
	}
	return strings.Join(names, ", ")
}

// Encode is the line of a request.
func (r Request) Encode() ([]byte, error) {
	data, err := json.Marshal(r)
	return append(data, '\n'), err
}

// Refuse is the line of an answer without a result.
func Refuse(err error) []byte {
	var f Fault
	if !errors.As(err, &f) {
		f = Fault{CodeRefused, err.Error()}
	}
	data, err := json.Marshal(Answer{V: Version, Error: &f})
	if err != nil { // a Fault is two strings
		return []byte("{\"v\":1,\"ok\":false}\n")
	}
	return append(data, '\n')
}

// Accept is the line of an answer with a result, which is a value of JSON in one
// line.
func Accept(result []byte) []byte {
	out := make([]byte, 0, len(result)+32)
	out = fmt.Appendf(out, `{"v":%d,"ok":true,"result":`, Version)
	return append(append(out, result...), "}\n"...)
}

// DecodeAnswer reads an answer, of which what is refused is an error.
func DecodeAnswer(text []byte) (json.RawMessage, error) {
	var a Answer
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, errors.New("the answer is not JSON")
	}
	switch {
	case a.V != Version:
		return nil, fmt.Errorf("the answer is of version %d of the protocol, not %d: another lockstep runs there", a.V, Version)
	case a.OK:
		return a.Result, nil
	case a.Error == nil:
		return nil, errors.New("refused without a reason")
	}
	return nil, *a.Error
}

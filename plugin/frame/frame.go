// Package frame has the messages between a runner and the host of a module, and
// how they follow each other on a stream of bytes.
//
// Trust: linked into the runner and into the host, neither of which believes the
// other; in the host, the module shares its memory and its descriptors.
// Imports: the standard library and ipc/wire only.
//
// Invariants: no length is trusted before it is bounded; what Read returns would
// be written in the same bytes; no text holds a NUL, since all become C strings.
package frame

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"lockstep/ipc/wire"
)

// Limits. Both sides check them; a sender that has more divides it.
const (
	MaxPath    = 4095     // bytes of a path, as for the kernel
	MaxEntries = 1 << 16  // paths in one call
	MaxFrame   = 16 << 20 // bytes of one call's message
	MaxText    = 1024     // bytes of an explanation
	MaxLabel   = 255

	maxStatus = 64
	maxShort  = 16 << 10 // bytes of any message but Sync
)

// Message is one of the types below.
type Message interface {
	wire.Value
	kind() kind
}

type kind uint8

const (
	kindInit kind = iota + 1
	kindSync
	kindRsync
	kindDeinit
	kindResult
	kindFault
)

// Mode is which of a module's functions is called.
type Mode uint8

const (
	ModeSync  Mode = iota // clsyncapi_sync
	ModeRsync             // clsyncapi_rsync
	numModes
)

// Init is the first request, once: the module is loaded and told of its sync.
type Init struct {
	Mode                             Mode
	Label                            string
	WatchDir, DestDir                string // absolute; DestDir may be empty
	Debug, Threading, PreferIncludes bool
}

// Entry is one path of a Sync.
type Entry struct {
	Mask     uint32 // of inotify(7)
	Flags    uint32 // below NumFlags
	Path     string // empty: the root
	Old, New Type
}

// Bits of an entry's flags: the path stands for all that is below it.
const (
	Recursive uint32 = 1 << iota // and for itself
	Content
	NumFlags // above all of them
)

// Type is what a path was or is.
type Type uint8

// Types, as include/clsync/clsync.h numbers them.
const (
	Unknown Type = iota
	Absent
	File
	Directory
	numTypes
)

// Round is what a call's environment says, in clsync's variables.
type Round struct {
	Status    string // CLSYNC_STATUS
	Iteration uint64 // CLSYNC_ITERATION
}

// Sync asks for a call of clsyncapi_sync.
type Sync struct {
	Round   Round
	Entries []Entry
}

// Rsync asks for a call of clsyncapi_rsync. No exclude list: "".
type Rsync struct {
	Round            Round
	Include, Exclude string
}

// Deinit is the last request.
type Deinit struct{}

// Result is what a module's function returned.
type Result struct {
	Code int32
	// Left is how many of the processes that the module made by clsyncapi_fork
	// still ran.
	Left uint32
}

// Fault says that nothing was called, and why.
type Fault struct {
	Why  Why
	Text string
}

// Why is the name of a fault.
type Why uint8

const (
	Refused     Why = iota + 1 // the object's owner or mode
	NotLoadable                // dlopen(3)
	NoFunction                 // it does not define what its mode needs
	Malformed                  // a request that is none
	OutOfOrder                 // a request in the wrong place
	numWhys
)

func (*Init) kind() kind   { return kindInit }
func (*Sync) kind() kind   { return kindSync }
func (*Rsync) kind() kind  { return kindRsync }
func (*Deinit) kind() kind { return kindDeinit }
func (*Result) kind() kind { return kindResult }
func (*Fault) kind() kind  { return kindFault }

func text(c *wire.Codec, s *string, most int) {
	wire.Blob(c, s, most)
	c.Must(strings.IndexByte(*s, 0) < 0, "a NUL in a text")
}

func (m *Init) Layout(c *wire.Codec) {
	wire.Enum(c, &m.Mode, numModes)
	text(c, &m.Label, MaxLabel)
	text(c, &m.WatchDir, MaxPath)
	text(c, &m.DestDir, MaxPath)
	wire.Flag(c, &m.Debug)
	wire.Flag(c, &m.Threading)
	wire.Flag(c, &m.PreferIncludes)
	c.Must(strings.HasPrefix(m.WatchDir, "/"), "the source is not absolute")
	c.Must(m.DestDir == "" || m.DestDir[0] == '/', "the target is not absolute")
}

func (e *Entry) layout(c *wire.Codec) {
	wire.U32(c, &e.Mask)
	wire.U32(c, &e.Flags)
	c.Must(e.Flags < NumFlags, "unknown flags")
	text(c, &e.Path, MaxPath)
	wire.Enum(c, &e.Old, numTypes)
	wire.Enum(c, &e.New, numTypes)
}

func (r *Round) layout(c *wire.Codec) {
	text(c, &r.Status, maxStatus)
	wire.U64(c, &r.Iteration)
}

func (m *Sync) Layout(c *wire.Codec) {
	m.Round.layout(c)
	wire.List(c, &m.Entries, MaxEntries, func(c *wire.Codec, e *Entry) { e.layout(c) })
	c.Must(len(m.Entries) > 0, "no path")
}

func (m *Rsync) Layout(c *wire.Codec) {
	m.Round.layout(c)
	text(c, &m.Include, MaxPath)
	text(c, &m.Exclude, MaxPath)
	c.Must(m.Include != "", "no include list")
}

func (*Deinit) Layout(*wire.Codec) {}

func (m *Result) Layout(c *wire.Codec) {
	wire.U32(c, &m.Code)
	wire.U32(c, &m.Left)
}

func (m *Fault) Layout(c *wire.Codec) {
	wire.Enum(c, &m.Why, numWhys)
	text(c, &m.Text, MaxText)
	c.Must(m.Why != 0, "a fault without a name")
}

// Sequence numbers a request, and the answer to it: what a module writes to the
// host's descriptor is not taken for the answer to a later call.
type Sequence uint32

// headerSize: length of what follows it (4 bytes), sequence (4), kind (1).
const headerSize = 9

// ErrMalformed is in every error of Read but those of its reader.
var ErrMalformed = errors.New("malformed message")

// Append appends m as it is sent. What the other side would refuse is an error.
func Append(dst []byte, seq Sequence, m Message) ([]byte, error) {
	at := len(dst)
	dst = append(dst, make([]byte, headerSize)...)
	dst, err := wire.Append(dst, m)
	n := len(dst) - at - headerSize
	if err == nil && n > most(m.kind()) {
		err = fmt.Errorf("%d bytes are more than %d", n, most(m.kind()))
	}
	if err != nil {
		return dst[:at], fmt.Errorf("%T: %w", m, err)
	}
	binary.LittleEndian.PutUint32(dst[at:], uint32(n))
	binary.LittleEndian.PutUint32(dst[at+4:], uint32(seq))
	dst[at+8] = byte(m.kind())
	return dst, nil
}

func most(k kind) int {
	if k == kindSync {
		return MaxFrame
	}
	return maxShort
}

// ReadRequest reads what a runner sends. io.EOF: there is no further one.
func ReadRequest(r io.Reader) (Sequence, Message, error) {
	return read(r, kindInit, kindSync, kindRsync, kindDeinit)
}

// ReadAnswer reads what a host sends.
func ReadAnswer(r io.Reader) (Sequence, Message, error) {
	return read(r, kindResult, kindFault)
}

func read(r io.Reader, kinds ...kind) (Sequence, Message, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, err
	}
	n, k := binary.LittleEndian.Uint32(header[:]), kind(header[8])
	if !slices.Contains(kinds, k) {
		return 0, nil, fmt.Errorf("%w: kind %d", ErrMalformed, k)
	}
	if int64(n) > int64(most(k)) {
		return 0, nil, fmt.Errorf("%w: %d bytes are more than %d", ErrMalformed, n, most(k))
	}
	// Memory is taken for what has come, not for what was announced.
	payload, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err == nil && len(payload) < int(n) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return 0, nil, err
	}
	m, err := decode(k, payload)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return Sequence(binary.LittleEndian.Uint32(header[4:])), m, nil
}

func decode(k kind, payload []byte) (Message, error) {
	switch k {
	case kindInit:
		return as[Init](payload)
	case kindSync:
		return as[Sync](payload)
	case kindRsync:
		return as[Rsync](payload)
	case kindDeinit:
		return as[Deinit](payload)
	case kindResult:
		return as[Result](payload)
	case kindFault:
		return as[Fault](payload)
	}
	return nil, fmt.Errorf("kind %d", k)
}

func as[T any, M interface {
	*T
	Message
}](payload []byte) (Message, error) {
	v, err := wire.Decode[T, M](payload)
	if err != nil {
		return nil, err
	}
	return M(&v), nil
}

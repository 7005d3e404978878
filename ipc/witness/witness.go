// Package witness is what a runner tells the supervisor of each command, for the audit
// trail: that it is about to begin one, with which list, and how it ended.
//
// Trust: linked into supervisor and runner, not into the helper. It is the runner's word:
// numbers of a fixed size, no text.
// Imports: the codec and the messages.
package witness

import (
	"crypto/sha256"
	"io"
	"os"

	"lockstep/ipc"
	"lockstep/ipc/wire"
)

// Go is the supervisor's answer to a Begin: it is written down, and may be.
const Go = 'k'

// The first byte of each packet; longer ones than a word of the gate are of here.
const (
	tagBegin = 'b'
	tagEnd   = 'e'
)

// Packet is either of the two.
type Packet struct {
	Begin *Begin
	End   *End
}

// MaxPacket is more than a packet has.
const MaxPacket = 128

// Begin is said before a command begins.
type Begin struct {
	Job     ipc.JobID
	Kind    ipc.JobKind
	Sum     [sha256.Size]byte // of its list
	Entries uint64            // zero bytes in it, each of which ends one
	Bytes   uint64
}

// End is said when it has ended, or was not begun after all.
type End struct {
	Job    ipc.JobID
	How    ipc.End
	Code   uint8
	Micros uint64
}

func job(c *wire.Codec, id *ipc.JobID) {
	wire.U64(c, id)
	c.Must(*id != 0, "job of zero")
}

func (b *Begin) Layout(c *wire.Codec) {
	job(c, &b.Job)
	wire.Enum(c, &b.Kind, ipc.NumJobKinds)
	for i := range b.Sum {
		wire.U8(c, &b.Sum[i])
	}
	wire.U64(c, &b.Entries)
	wire.U64(c, &b.Bytes)
	c.Must(b.Bytes <= ipc.MaxList && b.Entries <= b.Bytes, "a list that cannot be")
}

func (e *End) Layout(c *wire.Codec) {
	job(c, &e.Job)
	wire.Enum(c, &e.How, ipc.EndHeldMany+1)
	c.Must(e.How != ipc.EndNone, "no end")
	wire.U8(c, &e.Code)
	wire.U64(c, &e.Micros)
}

// Layout has the tag first.
func (p *Packet) Layout(c *wire.Codec) {
	tag := uint8(tagBegin)
	if p.End != nil {
		tag = tagEnd
	}
	wire.U8(c, &tag)
	switch tag {
	case tagBegin:
		if p.Begin == nil {
			p.Begin = &Begin{}
		}
		p.Begin.Layout(c)
	case tagEnd:
		if p.End == nil {
			p.End = &End{}
		}
		p.End.Layout(c)
	default:
		c.Must(false, "unknown packet")
	}
}

// Look reads a list that is sealed, from its beginning, and leaves its position as it is.
func Look(id ipc.JobID, kind ipc.JobKind, list *os.File) (Begin, error) {
	b := Begin{Job: id, Kind: kind}
	h := sha256.New()
	count := counter{to: h}
	n, err := io.Copy(&count, io.NewSectionReader(list, 0, ipc.MaxList+1))
	b.Bytes, b.Entries = uint64(n), count.zeros
	h.Sum(b.Sum[:0])
	return b, err
}

// counter counts zero bytes.
type counter struct {
	to    io.Writer
	zeros uint64
}

func (c *counter) Write(p []byte) (int, error) {
	for _, b := range p {
		if b == 0 {
			c.zeros++
		}
	}
	return c.to.Write(p)
}

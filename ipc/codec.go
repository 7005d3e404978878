package ipc

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A Message is what one packet carries: any pointer to a message's struct.
type Message interface {
	Type() Type
	code(*codec)
}

const (
	headerSize = 8
	flagFinal  = 1
)

// Append appends the packet of m to dst. A message that breaks a limit or that
// its decoder would refuse is an error. Final is set: an answer of several
// packets is made by DirPacker alone.
func Append(dst []byte, seq uint32, m Message) ([]byte, error) {
	c := codec{b: appendHeader(dst, m.Type(), seq), out: true}
	m.code(&c)
	c.must(len(c.b)-len(dst) <= MaxPacket, "packet too large")
	if c.err != nil {
		return nil, fmt.Errorf("message of type %d: %w", m.Type(), c.err)
	}
	return c.b, nil
}

func appendHeader(dst []byte, t Type, seq uint32) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(t))
	dst = binary.LittleEndian.AppendUint16(dst, flagFinal)
	return binary.LittleEndian.AppendUint32(dst, seq)
}

// ParseHeader splits a packet into its header and the message's bytes.
func ParseHeader(pkt []byte) (Header, []byte, error) {
	if len(pkt) < headerSize || len(pkt) > MaxPacket {
		return Header{}, nil, fmt.Errorf("packet of %d bytes", len(pkt))
	}
	flags := binary.LittleEndian.Uint16(pkt[2:])
	if flags&^flagFinal != 0 {
		return Header{}, nil, fmt.Errorf("packet with unknown flags %#x", flags)
	}
	return Header{
		Type:  Type(binary.LittleEndian.Uint16(pkt)),
		Final: flags == flagFinal,
		Seq:   binary.LittleEndian.Uint32(pkt[4:]),
	}, pkt[headerSize:], nil
}

// codec writes or reads one message. A message has one function for both
// directions, so the two cannot differ, and a sender is held to the limits that
// the receiver checks. After the first error it does nothing more.
type codec struct {
	b   []byte // written so far, or not read yet
	out bool
	err error
}

// Decode reads the message that fills b, the bytes after the header, exactly.
// It shares no memory with them.
func Decode[T any, M interface {
	*T
	code(*codec)
}](b []byte) (T, error) {
	var v, zero T
	c := codec{b: b}
	M(&v).code(&c)
	c.must(len(c.b) == 0, "trailing bytes")
	if c.err != nil {
		return zero, fmt.Errorf("%T: %w", v, c.err)
	}
	return v, nil
}

// must makes the message invalid unless ok.
func (c *codec) must(ok bool, what string) {
	if !ok && c.err == nil {
		c.err = errors.New(what)
	}
}

// take reads the next n bytes, in place; none when there are fewer.
func (c *codec) take(n int) []byte {
	c.must(n <= len(c.b), "cut short")
	if c.err != nil {
		return nil
	}
	p := c.b[:n]
	c.b = c.b[n:]
	return p
}

// word writes or reads an integer of n bytes, little-endian.
func (c *codec) word(v uint64, n int) uint64 {
	var buf [8]byte
	if c.out {
		binary.LittleEndian.PutUint64(buf[:], v)
		c.b = append(c.b, buf[:n]...)
		return v
	}
	copy(buf[:], c.take(n))
	return binary.LittleEndian.Uint64(buf[:])
}

func u8[T ~uint8](c *codec, v *T)            { *v = T(c.word(uint64(*v), 1)) }
func u16[T ~uint16](c *codec, v *T)          { *v = T(c.word(uint64(*v), 2)) }
func u32[T ~uint32 | ~int32](c *codec, v *T) { *v = T(c.word(uint64(uint32(*v)), 4)) }
func u64[T ~uint64 | ~int64](c *codec, v *T) { *v = T(c.word(uint64(*v), 8)) }

// enum is a u8 that is below end.
func enum[T ~uint8](c *codec, v *T, end T) {
	u8(c, v)
	c.must(*v < end, "unknown value")
}

// handle is a u16 that is not zero.
func handle[T ~uint16](c *codec, v *T) {
	u16(c, v)
	c.must(*v != 0, "handle of zero")
}

func job(c *codec, v *JobID) {
	u64(c, v)
	c.must(*v != 0, "job of zero")
}

func status(c *codec, v *Status) {
	u16(c, v)
	c.must(*v <= StatusGone, "unknown status")
}

func flag(c *codec, v *bool) {
	var x uint8
	if *v {
		x = 1
	}
	enum(c, &x, 2)
	*v = x == 1
}

// length writes or reads a length that is at most max. No element has less
// than one byte, so a length that is larger than the rest is false.
func (c *codec) length(n, max int) int {
	x := uint32(n)
	u32(c, &x)
	c.must(int64(x) <= int64(max), "too long")
	c.must(c.out || int64(x) <= int64(len(c.b)), "cut short")
	if c.err != nil {
		return 0
	}
	return int(x)
}

// blob is a string or bytes, of at most max.
func blob[T ~string | ~[]byte](c *codec, v *T, max int) {
	n := c.length(len(*v), max)
	if c.out {
		c.b = append(c.b, *v...)
	} else if n > 0 {
		*v = T(string(c.take(n)))
	}
}

// rel is a Rel, or "" for the root itself.
func (c *codec) rel(v *string) {
	blob(c, v, MaxRel)
	if *v != "" && c.err == nil {
		c.err = CheckRel(*v)
	}
}

func list[T any](c *codec, v *[]T, max int, each func(*codec, *T)) {
	n := c.length(len(*v), max)
	if !c.out && n > 0 {
		*v = make([]T, n)
	}
	for i := 0; i < len(*v) && c.err == nil; i++ {
		each(c, &(*v)[i])
	}
}

// Package wire writes and reads what the confined processes tell each other,
// value by value: integers, bytes and lists, each with its limit.
//
// Trust: linked into the helper. What is read is hostile on both sides.
// Imports: the standard library only.
//
// Invariants: a value has one function for both directions, so the two cannot
// differ, and a sender is held to the limits that the receiver checks; Decode
// without an error has consumed every byte; no length is trusted before it is
// bounded; what is read shares no memory with the bytes it was read from.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// Codec writes or reads one value. After the first error it does nothing more.
type Codec struct {
	b   []byte // written so far, or not read yet
	out bool
	err error
}

// Value has a layout: its fields in order, each passed to c with its limit.
type Value interface{ Layout(c *Codec) }

// Append appends v to dst. A value that its decoder would refuse is an error.
func Append(dst []byte, v Value) ([]byte, error) {
	c := Codec{b: dst, out: true}
	v.Layout(&c)
	return c.b, c.err
}

// Decode reads the value that fills b exactly.
func Decode[T any, V interface {
	*T
	Value
}](b []byte) (T, error) {
	var v, zero T
	c := Codec{b: b}
	V(&v).Layout(&c)
	c.Must(len(c.b) == 0, "trailing bytes")
	if c.err != nil {
		return zero, fmt.Errorf("%T: %w", v, c.err)
	}
	return v, nil
}

// Must makes the value invalid unless ok.
func (c *Codec) Must(ok bool, what string) {
	if !ok && c.err == nil {
		c.err = errors.New(what)
	}
}

// take reads the next n bytes, in place; none when there are fewer.
func (c *Codec) take(n int) []byte {
	c.Must(n <= len(c.b), "cut short")
	if c.err != nil {
		return nil
	}
	p := c.b[:n]
	c.b = c.b[n:]
	return p
}

// word writes or reads an integer of n bytes, little-endian.
func (c *Codec) word(v uint64, n int) uint64 {
	var buf [8]byte
	if c.out {
		binary.LittleEndian.PutUint64(buf[:], v)
		c.b = append(c.b, buf[:n]...)
		return v
	}
	copy(buf[:], c.take(n))
	return binary.LittleEndian.Uint64(buf[:])
}

// Integers of a fixed size.

func U8[T ~uint8](c *Codec, v *T)                   { *v = T(c.word(uint64(*v), 1)) }
func U16[T ~uint16](c *Codec, v *T)                 { *v = T(c.word(uint64(*v), 2)) }
func U32[T ~uint32 | ~int32](c *Codec, v *T)        { *v = T(c.word(uint64(uint32(*v)), 4)) }
func U64[T ~uint64 | ~int64 | ~int](c *Codec, v *T) { *v = T(c.word(uint64(*v), 8)) }

// Enum is a U8 that is below end.
func Enum[T ~uint8](c *Codec, v *T, end T) {
	U8(c, v)
	c.Must(*v < end, "unknown value")
}

// Handle is a U16 that is not zero.
func Handle[T ~uint16](c *Codec, v *T) {
	U16(c, v)
	c.Must(*v != 0, "handle of zero")
}

// Flag is a byte, 0 or 1.
func Flag(c *Codec, v *bool) {
	var x uint8
	if *v {
		x = 1
	}
	Enum(c, &x, 2)
	*v = x == 1
}

// Span is a time that is not negative.
func Span(c *Codec, d *time.Duration) {
	U64(c, d)
	c.Must(*d >= 0, "negative time")
}

// length writes or reads a length that is at most max. No element has less
// than one byte, so a length that is larger than the rest is false.
func (c *Codec) length(n, max int) int {
	x := uint32(n)
	U32(c, &x)
	c.Must(int64(x) <= int64(max), "too long")
	c.Must(c.out || int64(x) <= int64(len(c.b)), "cut short")
	if c.err != nil {
		return 0
	}
	return int(x)
}

// Blob is a string or bytes, of at most max.
func Blob[T ~string | ~[]byte](c *Codec, v *T, max int) {
	n := c.length(len(*v), max)
	if c.out {
		c.b = append(c.b, *v...)
	} else if n > 0 {
		*v = T(string(c.take(n)))
	}
}

// List is a slice of at most max elements, each of which each writes or reads.
func List[T any](c *Codec, v *[]T, max int, each func(*Codec, *T)) {
	n := c.length(len(*v), max)
	if !c.out && n > 0 {
		*v = make([]T, n)
	}
	for i := 0; i < len(*v) && c.err == nil; i++ {
		each(c, &(*v)[i])
	}
}

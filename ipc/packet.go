package ipc

import (
	"encoding/binary"
	"errors"
	"fmt"

	"lockstep/ipc/wire"
)

// A Message is what one packet carries: any pointer to a message's struct.
type Message interface {
	wire.Value
	Type() Type
}

const (
	headerSize = 8
	flagFinal  = 1
)

// Append appends the packet of m to dst. A message that breaks a limit or that
// its decoder would refuse is an error. Final is set: an answer of several
// packets is made by DirPacker alone.
func Append(dst []byte, seq uint32, m Message) ([]byte, error) {
	pkt, err := wire.Append(appendHeader(dst, m.Type(), seq), m)
	if err == nil && len(pkt)-len(dst) > MaxPacket {
		err = errors.New("packet too large")
	}
	if err != nil {
		return nil, fmt.Errorf("message of type %d: %w", m.Type(), err)
	}
	return pkt, nil
}

func appendHeader(dst []byte, t Type, seq uint32) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(t))
	dst = binary.LittleEndian.AppendUint16(dst, flagFinal)
	return binary.LittleEndian.AppendUint32(dst, seq)
}

// ParseHeader splits a packet into its header and the message's bytes, which
// are for wire.Decode.
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

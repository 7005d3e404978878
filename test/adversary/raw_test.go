package adversary

import (
	"encoding/binary"

	"lockstep/internal/buildinfo"
	"lockstep/ipc"
)

// raw writes packets of any form, well-made or not: it shares no code with what
// the helper reads them by.
type raw []byte

const final = 1

func header(t ipc.Type, flags uint16, seq uint32) raw {
	return raw{}.u16(uint16(t)).u16(flags).u32(seq)
}

func (b raw) u8(v ...byte) raw  { return append(b, v...) }
func (b raw) u16(v uint16) raw  { return binary.LittleEndian.AppendUint16(b, v) }
func (b raw) u32(v uint32) raw  { return binary.LittleEndian.AppendUint32(b, v) }
func (b raw) u64(v uint64) raw  { return binary.LittleEndian.AppendUint64(b, v) }
func (b raw) text(s string) raw { return append(b, s...) }
func (b raw) blob(s string) raw { return b.u32(uint32(len(s))).text(s) }
func (b raw) blobs(s ...string) raw {
	b = b.u32(uint32(len(s)))
	for _, x := range s {
		b = b.blob(x)
	}
	return b
}

func rawHello(seq uint32) raw {
	return header(ipc.TypeHello, final, seq).u32(ipc.Version).blob(buildinfo.ID)
}

// statHead and watchHead are all that stands before the paths.
func statHead(seq uint32) raw { return header(ipc.TypeStat, final, seq).u16(uint16(theRoot)) }

func watchHead(seq uint32) raw {
	return header(ipc.TypeWatch, final, seq).u16(uint16(theRoot)).u8(1, 1).u64(0)
}

func rawStat(seq uint32, rels ...string) raw  { return statHead(seq).blobs(rels...) }
func rawWatch(seq uint32, rels ...string) raw { return watchHead(seq).blobs(rels...) }

func rawStart(seq uint32, target uint16, kind byte, size uint32) raw {
	return header(ipc.TypeStart, final, seq).u16(target).u8(kind).u32(size)
}

func rawData(seq uint32, s string) raw { return header(ipc.TypeData, final, seq).blob(s) }
func rawStop(seq uint32, job uint64) raw {
	return header(ipc.TypeStop, final, seq).u64(job)
}
func rawDrain(seq uint32) raw { return header(ipc.TypeDrain, final, seq) }

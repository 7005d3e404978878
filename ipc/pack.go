package ipc

import "encoding/binary"

// DirPacker streams the answer to a Watch: directories and their entries go
// into packets of at most fullPacket bytes, and nothing is allocated per entry.
type DirPacker struct {
	// Send gets each packet that is full, and the last one. It must not keep it.
	Send func(pkt []byte) error
	b    []byte
	seq  uint32
	dirs uint32 // in this packet
	at   int    // where the open directory's record begins
	n    uint32 // entries in that record
	dir  Dir
}

// Where the fields are that are written when the record is complete.
const (
	atStatus  = 2
	atMore    = atStatus + 2
	atEntries = atMore + 1 + 4 + 8
	dirHead   = atEntries + 4
	entryHead = 1 + 4 + 8 + 8 + 8 + 8 + 4
)

// fullPacket is small beside what a socket holds (wmem_default, 208 KiB): whoever
// waits for room is not woken before three quarters of it are free (unix_writable).
const fullPacket = 16 << 10

// Reset begins the answer to request seq.
func (p *DirPacker) Reset(seq uint32) {
	p.seq, p.dirs = seq, 0
	p.b = append(appendHeader(p.b[:0], TypeWatchAnswer, seq), 0, 0, 0, 0)
}

// Open begins a directory's record. Status, More and Entries are not used.
func (p *DirPacker) Open(d Dir) error {
	if len(p.b)+dirHead > fullPacket {
		if err := p.flush(false); err != nil {
			return err
		}
	}
	p.begin(d)
	return nil
}

func (p *DirPacker) begin(d Dir) {
	p.dir, p.at, p.n = d, len(p.b), 0
	p.dirs++
	p.b = binary.LittleEndian.AppendUint16(p.b, d.Index)
	p.b = append(p.b, 0, 0, 0) // status, more
	p.b = binary.LittleEndian.AppendUint32(p.b, uint32(d.WD))
	p.b = binary.LittleEndian.AppendUint64(p.b, d.Ctime)
	p.b = append(p.b, 0, 0, 0, 0) // how many entries
}

// Add puts an entry into the open directory, going on in a new packet when this
// one is full. The name is the caller's to check.
func (p *DirPacker) Add(e Entry, name []byte) error {
	if len(p.b)+entryHead+len(name) > fullPacket {
		p.b[p.at+atMore] = 1
		p.count()
		if err := p.flush(false); err != nil {
			return err
		}
		p.begin(p.dir)
	}
	b := append(p.b, byte(e.Kind))
	b = binary.LittleEndian.AppendUint32(b, e.Nlink)
	b = binary.LittleEndian.AppendUint64(b, e.Ino)
	b = binary.LittleEndian.AppendUint64(b, e.Size)
	b = binary.LittleEndian.AppendUint64(b, e.Ctime)
	b = binary.LittleEndian.AppendUint64(b, e.Stamp)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(name)))
	p.b = append(b, name...)
	p.n++
	return nil
}

// Close ends the open directory.
func (p *DirPacker) Close(s Status) {
	binary.LittleEndian.PutUint16(p.b[p.at+atStatus:], uint16(s))
	p.count()
}

func (p *DirPacker) count() { binary.LittleEndian.PutUint32(p.b[p.at+atEntries:], p.n) }

// Finish sends what is left as the answer's last packet.
func (p *DirPacker) Finish() error { return p.flush(true) }

func (p *DirPacker) flush(final bool) error {
	binary.LittleEndian.PutUint32(p.b[headerSize:], p.dirs)
	if !final {
		p.b[2] = 0
	}
	err := p.Send(p.b)
	p.Reset(p.seq)
	return err
}

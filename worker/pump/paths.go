package pump

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"lockstep/monitor"
)

// Paths reads what another process has read from the kernel for this one: events
// that name their directory by its path. That process gathers them, so that here
// is one read for many.
type Paths struct {
	buffers
	fd     int
	number uint32        // of the last mark
	asked  atomic.Uint32 // the mark that is waited for; 0: none
}

// NewPaths makes a source of a socket that keeps packets apart; Run starts it.
func NewPaths(fd int) (*Paths, error) {
	// A read waits in the kernel: the runtime's poller has nothing to do with it.
	if err := unix.SetNonblock(fd, false); err != nil {
		return nil, fmt.Errorf("socket of events: %w", err)
	}
	return &Paths{fd: fd, buffers: newBuffers(monitor.PacketSize)}, nil
}

// Mark asks for a nil buffer behind everything that is in the queue now. There is
// one mark at a time.
func (p *Paths) Mark() {
	if p.number++; p.number == 0 {
		p.number = 1
	}
	p.asked.Store(p.number)
	// That the other side has gone is what the reader sees.
	_, _ = unix.Write(p.fd, binary.LittleEndian.AppendUint32(nil, p.number))
}

// Unwatch has nothing to do: no directory has a watch.
func (p *Paths) Unwatch(int32) {}

// Run reads until the other side goes, or sends what is no packet.
func (p *Paths) Run() error {
	for {
		buf := p.buffer()
		n, err := unix.Read(p.fd, buf)
		switch {
		case errors.Is(err, unix.EINTR):
			p.Release(buf)
			continue
		case err == nil && n == 0:
			err = io.EOF
		}
		if err != nil {
			return fmt.Errorf("reading events: %w", err)
		}
		answered, err := p.answered(buf[:n])
		if err != nil {
			return fmt.Errorf("reading events: %w", err)
		}
		p.Full <- buf[:n]
		if answered {
			p.Full <- nil
		}
	}
}

// answered says whether a packet holds the mark that is waited for. What comes
// behind it in the packet was in the queue as well, by the time it was sent.
func (p *Paths) answered(packet []byte) (bool, error) {
	want := p.asked.Load()
	if want == 0 {
		return false, nil
	}
	found := false
	err := monitor.DecodePaths(packet, func(e monitor.PathEvent) { found = found || e.IsMark() && e.Cookie == want })
	if found {
		p.asked.Store(0)
	}
	return found, err
}

// Decode calls to.Path for each event of a packet.
func (p *Paths) Decode(packet []byte, to monitor.Takers) error {
	return monitor.DecodePaths(packet, func(e monitor.PathEvent) {
		if !e.IsMark() {
			to.Path(e)
		}
	})
}

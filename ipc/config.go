package ipc

import (
	"time"

	"lockstep/ipc/wire"
)

// Limits of the configurations: far above use, so that a false length shows.
const (
	MaxRoots  = 1024
	maxName   = 255
	maxWorker = MaxPacket / 8 * 7 // so that HelloAnswer fits its packet
)

// HelperConfig is what the supervisor tells the helper, in a sealed memfd.
type HelperConfig struct {
	Build    string
	Roots    []HelperRoot
	Targets  []Target
	Deadline time.Duration // of one file-system verb on one root
	Worker   []byte        // an encoded settings.Worker, passed on in HelloAnswer
}

// HelperRoot is a root and the descriptor donated for it.
type HelperRoot struct {
	Root
	FD          int  // donated by stage one, inside the jail
	CrossMounts bool // leave RESOLVE_NO_XDEV out
}

func (m *HelperConfig) Layout(c *wire.Codec) {
	wire.Blob(c, &m.Build, 64)
	wire.List(c, &m.Roots, MaxRoots, func(c *wire.Codec, r *HelperRoot) {
		codeRoot(c, &r.Root)
		wire.U64(c, &r.FD)
		c.Must(r.FD > 2, "bad descriptor")
		wire.Flag(c, &r.CrossMounts)
	})
	wire.List(c, &m.Targets, MaxRoots, codeTarget)
	wire.Span(c, &m.Deadline)
	c.Must(m.Deadline > 0, "no deadline")
	wire.Blob(c, &m.Worker, maxWorker)
}

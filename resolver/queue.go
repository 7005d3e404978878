//go:build !shortqueue

package resolver

// maxQueued bounds the kernel's queue, which has no bound of its own: some 0.8 KB of
// kernel memory an event. It is looked at every so many full reads.
const (
	maxQueued = 1 << 17
	lookEvery = 64
)

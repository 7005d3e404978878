//go:build !tinybuffer

package monitor

// How much is read and sent at once.
const (
	ReadSize    = 64 << 10 // of inotify's queue
	ReadChanges = 64 << 10 // of fanotify's
	PacketSize  = 64 << 10 // between the resolver and the worker
)

//go:build shortqueue

package resolver

// As few as the shortest queue that inotify is tested with: for a test alone.
const (
	maxQueued = 1 << 10
	lookEvery = 1
)

//go:build shortqueue

package resolver

// As few as the shortest queue that inotify is tested with: for a test alone, in
// which events are lost again and again.
const (
	maxQueued = 1 << 10
	lookEvery = 1
)

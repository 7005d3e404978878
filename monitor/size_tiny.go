//go:build tinybuffer

package monitor

// As little as holds the largest event: for a test alone, in which what comes in
// one read otherwise comes in many.
const (
	ReadSize    = MinBuffer
	ReadChanges = MinChanges
	PacketSize  = MaxPathRecord
)

package worker

import (
	"lockstep/worker/queue"
	"lockstep/worker/track"
)

// changeBits says that the two pure packages mean the same by the same bits.
var _ = [1]struct{}{}[uint8(track.Attr)-uint8(queue.Attr)+
	uint8(track.Content)-uint8(queue.Content)+
	uint8(track.Name)-uint8(queue.Name)+
	uint8(track.Replaced)-uint8(queue.Replaced)]

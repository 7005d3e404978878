// Package count has the numbers by which a tracker gives account of itself.
//
// Trust: part of the worker.
// Imports: none.
package count

// Counters are a Tracker's account of itself.
type Counters struct {
	Dirs        uint64 // directories in the tree
	Watched     uint64 // of them with a watch
	Unwatched   uint64 // of them without, because there are no more watches
	Resting     uint64 // of them without, because too much happened in them
	Failed      uint64 // of them refused for another reason
	TooLong     uint64 // of them with a path too long to be named
	Events      uint64
	StaleEvents uint64 // events of descriptors that no directory has
	Overflows   uint64
	Unpaired    uint64 // directories moved away whose second half did not come in time
	Returned    uint64 // of them, those whose second half came after all
	Repairs     uint64 // differences between tree and file system mended
	Walked      uint64 // entries listed
	Walks       uint64 // directories walked
	InFlight    uint64 // walks handed out and not answered
	Queued      uint64 // walks not handed out yet
	Verified    uint64 // verifications ended
	Stale       uint64 // by the last verification: in the tree, not in the file system
	Missing     uint64 // by the last verification: in the file system, not in the tree or not watched
	Skipped     uint64 // sockets and devices reported
	Verifying   bool
}

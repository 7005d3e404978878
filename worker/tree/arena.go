package tree

const (
	maxName   = 255 // bytes in a name (NAME_MAX)
	blockBits = 16
	blockSize = 1 << blockBits
)

// arena keeps names in blocks of 64 KiB. A name that is given up is garbage
// until the arena is rewritten (see Tree.compact).
type arena struct {
	blocks  [][]byte
	live    int
	garbage int
}

func (a *arena) bytes() int { return len(a.blocks) * blockSize }

// put stores a name and returns where. Preconditions: at most maxName bytes.
func (a *arena) put(name []byte) uint32 {
	last := len(a.blocks) - 1
	if last < 0 || len(a.blocks[last])+len(name) > blockSize {
		if last >= 0 {
			a.garbage += blockSize - len(a.blocks[last])
		}
		a.blocks = append(a.blocks, make([]byte, 0, blockSize))
		last++
	}
	where := uint32(last)<<blockBits | uint32(len(a.blocks[last]))
	a.blocks[last] = append(a.blocks[last], name...)
	a.live += len(name)
	return where
}

func (a *arena) at(where uint32, length uint8) []byte {
	block, start := a.blocks[where>>blockBits], int(where&(blockSize-1))
	return block[start : start+int(length)]
}

func (a *arena) drop(length uint8) {
	a.live -= int(length)
	a.garbage += int(length)
}

// wasteful says whether a rewrite would give back half of the memory or more.
// (65,536 blocks are the end of what a uint32 can name: 4 GiB of names; at
// 2^31 nodes of one byte it is not reached, and garbage never doubles it.)
func (a *arena) wasteful() bool { return a.garbage > blockSize && a.garbage > a.live }

// compact writes all living names anew.
func (t *Tree) compact() {
	old := t.names
	t.names = arena{}
	for s := range t.used {
		if n := t.at(s); n.parent != freeSlot && n.nameLen > 0 {
			n.name = t.names.put(old.at(n.name, n.nameLen))
		}
	}
}

package worker

// tally counts names once each. A user of the tree can make up any number of
// them, so that it remembers only so many and counts the others as they come.
type tally struct {
	names map[string]struct{}
	more  uint64
}

// tallyMax is how many names are remembered.
const tallyMax = 10_000

// add reports whether the name is new, as far as that is remembered.
func (t *tally) add(name string) bool {
	if _, ok := t.names[name]; ok {
		return false
	}
	if len(t.names) >= tallyMax {
		t.more++
		return false
	}
	if t.names == nil {
		t.names = make(map[string]struct{})
	}
	t.names[name] = struct{}{}
	return true
}

func (t *tally) count() uint64 { return uint64(len(t.names)) + t.more }

func (t *tally) clear() { t.names, t.more = nil, 0 }

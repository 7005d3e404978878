package survey

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math/bits"
	"slices"
	"strings"

	"lockstep/rsync"
)

// Hidden is the names that a job's rules hide from rsync's sender alone: what
// the target has under them is deleted. They are kept as hashes: two paths of
// one hash make a survey count too much, which does no harm.
type Hidden struct {
	seed  maphash.Seed
	paths []uint64 // sorted
	dirs  []uint64 // sorted; the directories of paths
}

// errRule is a rule of which the survey does not know what it deletes.
var errRule = errors.New("a rule that is not understood")

// ReadHidden reads a job's rules. Every other rule holds for both sides: what
// it leaves out of the source it protects on the target.
func ReadHidden(list io.Reader) (*Hidden, error) {
	h := &Hidden{seed: maphash.MakeSeed()}
	const longest = 64 << 10 // of a rule; rsync takes only MaxRule of it
	rules := bufio.NewScanner(list)
	rules.Buffer(make([]byte, longest), longest)
	rules.Split(splitNUL)
	for rules.Scan() {
		rel, hides, ok := rsync.Hidden(rules.Bytes())
		if !ok {
			return nil, errRule
		}
		if hides {
			h.add(rel)
		}
	}
	if err := rules.Err(); err != nil {
		return nil, fmt.Errorf("read the rules: %w", err)
	}
	slices.Sort(h.paths)
	slices.Sort(h.dirs)
	return h, nil
}

// splitNUL is a bufio.SplitFunc.
func splitNUL(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

func (h *Hidden) add(rel string) {
	var dir uint64
	for {
		name, rest, more := strings.Cut(rel, "/")
		if !more {
			break
		}
		dir, rel = h.hash(dir, []byte(name)), rest
	}
	h.paths = append(h.paths, h.hash(dir, []byte(rel)))
	if n := len(h.dirs); n == 0 || h.dirs[n-1] != dir {
		h.dirs = append(h.dirs, dir)
	}
}

func (h *Hidden) hash(dir uint64, name []byte) uint64 {
	const odd = 0x9e3779b97f4a7c15 // spreads the bits
	return bits.RotateLeft64(dir*odd, 32) ^ maphash.Bytes(h.seed, name)
}

// key is that of the path name in the directory dir; the root's is 0. It means
// nothing when nothing is hidden.
func (h *Hidden) key(dir uint64, name []byte) uint64 {
	if len(h.paths) == 0 {
		return 0
	}
	return h.hash(dir, name)
}

// in says whether a name in the directory may be hidden.
func (h *Hidden) in(dir uint64) bool {
	_, found := slices.BinarySearch(h.dirs, dir)
	return found
}

// name says whether a name in the directory is hidden.
func (h *Hidden) name(dir uint64, name []byte) bool {
	_, found := slices.BinarySearch(h.paths, h.hash(dir, name))
	return found
}

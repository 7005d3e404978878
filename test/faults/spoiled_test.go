//go:build faults

package faults

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"lockstep/internal/testenv"
	"lockstep/test/peer"
)

// spoilt is what an rsync daemon says in place of what a real one does, from its first
// message after the greeting on (rsync's io.c and rsync.h: four bytes, of which three are
// the length and one the kind plus seven, then the message).
type spoilt struct {
	say  []byte                // before whatever it says itself
	then func(b []byte) []byte // what becomes of that; nil: nothing of it is said
}

// The kinds of messages.
const (
	messageData    = 0
	messageTimeout = 33
	messageNoSend  = 102
)

func message(kind byte, body []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(kind+7)<<24|uint32(len(body))), body...)
}

func numbers(all ...int32) (b []byte) {
	for _, n := range all {
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	return b
}

// corpus are the lies: a file that is asked for with sums that cannot be (number,
// length of a block, length of a sum, rest), times and lengths without bounds, kinds
// that there are not, and a real daemon's own words with bits that are wrong.
func corpus(random *rand.Rand) (all []spoilt) {
	for _, sum := range [][]byte{
		numbers(-1, 700, 16, 0),
		numbers(math.MaxInt32, 700, 16, 0),
		numbers(5, 0, 16, 0),
		numbers(5, -700, 16, 0),
		numbers(5, math.MaxInt32, 16, 0),
		numbers(5, 700, -1, 0),
		numbers(5, 700, 65, 0),
		numbers(5, 700, 16, 701),
		numbers(5, 700, 16, -1),
		numbers(1000, 700, 16, 0), // and none of them comes
	} {
		file := byte(1 + random.IntN(3))                                                               // counted from the last one that was named
		all = append(all, spoilt{say: message(messageData, append([]byte{file, 0x00, 0x80}, sum...))}) // ITEM_TRANSFER
	}
	for _, timeout := range []int32{0, -1, math.MinInt32, math.MaxInt32} {
		all = append(all, spoilt{say: message(messageTimeout, numbers(timeout))})
	}
	for _, kind := range []byte{1, 8, 22, 43, 86, 100, 101, 128, 200, 248} {
		all = append(all, spoilt{say: message(kind, numbers(-1))})
	}
	all = append(all,
		spoilt{say: []byte{0xff, 0xff, 0xff, messageData + 7}, then: func(b []byte) []byte { return b }}, // never ends
		spoilt{say: []byte{1, 0, 0, 0, 0}}, // a kind below the first
		spoilt{say: message(messageNoSend, numbers(math.MaxInt32))},
		spoilt{say: message(messageData, []byte{0xfe, 0xff, 0xff, 0xff, 0x7f, 0x00, 0x80})}, // a file beyond the last
		spoilt{say: noise(random, 64<<10)},
		spoilt{}) // silence
	for n := range 16 {
		flips := rand.New(rand.NewPCG(random.Uint64(), uint64(n)))
		all = append(all, spoilt{then: func(b []byte) []byte {
			b = bytes.Clone(b)
			for i := range b {
				if flips.IntN(12) == 0 {
					b[i] ^= 1 << flips.IntN(8)
				}
			}
			return b
		}})
	}
	return all
}

func noise(random *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// liar has each connection to a daemon get one of the corpus, until all have been told.
type liar struct {
	mu   sync.Mutex
	left []spoilt // guarded by mu
	told int      // guarded by mu
}

func (l *liar) take() (s spoilt, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.left) == 0 {
		return s, false
	}
	s, l.left = l.left[0], l.left[1:]
	l.told++
	return s, true
}

func (l *liar) done() (told int, all bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.told, len(l.left) == 0
}

// each is for one connection.
func (l *liar) each() peer.Spoiler {
	var head []byte
	var then func([]byte) []byte
	over := false
	return func(b []byte) []byte {
		if over {
			return then(b)
		}
		passed := len(head)
		head = append(head, b...)
		end := greeted(head)
		if end < 0 || end == len(head) {
			return b
		}
		s, ok := l.take()
		over, then = true, s.then
		switch {
		case !ok:
			then = func(b []byte) []byte { return b }
		case then == nil:
			then = func([]byte) []byte { return nil }
		}
		rest := max(end-passed, 0)
		return append(append(bytes.Clone(b[:rest]), s.say...), then(b[rest:])...)
	}
}

// greeted is where a daemon's greeting ends, in protocol 31: lines of text, flags,
// the names of checksums behind their length, and a seed of four bytes; -1: further on.
func greeted(b []byte) int {
	text := bytes.Index(b, []byte("@RSYNCD: OK\n"))
	if text < 0 {
		return -1
	}
	names := bytes.Index(b[text:], []byte("xxh"))
	if names < 1 {
		return -1
	}
	end := text + names + int(b[text+names-1]) + 4
	if end > len(b) {
		return -1
	}
	return end
}

// spoiled: a daemon that lies is believed nothing that would hurt: each command ends,
// and when it lies no more the whole tree is compared.
func spoiled() []fault {
	var l *liar
	var relay *peer.Relay
	return []fault{{name: "an rsync daemon that answers nonsense", long: true,
		prepare: func(s *scene) {
			s.t.Helper()
			seed := testenv.Number(s.t, "LOCKSTEP_SEED", uint64(time.Now().UnixNano()))
			s.t.Logf("to repeat it: LOCKSTEP_SEED=%d", seed)
			l = &liar{left: corpus(rand.New(rand.NewPCG(seed, 0)))}
			far := peer.StartRsyncd(s.t, s.dst, peer.RsyncdOptions{User: "lockstep", Password: "secret"})
			relay = peer.StartRelay(s.t, "", far.Addr())
			s.words = append(s.words, "--timeout", "2s", "--password-file", far.PasswordFile(s.t, s.t.TempDir()), s.src, far.TargetBy(relay.Addr(), ""))
		},
		happen: func(s *scene) string {
			before := s.lockstep.state("").Num("failed")
			relay.Spoil(l.each)
			n := 0
			s.until("the end of the lies", func() bool {
				n++
				s.put(fmt.Sprintf("d02/meanwhile-%d", n%50), fmt.Sprint("made meanwhile ", n))
				_, all := l.done()
				return all
			})
			told, _ := l.done()
			failed := int(s.lockstep.state("").Num("failed") - before)
			if failed < told/2 {
				s.t.Errorf("of %d commands that were lied to %d failed: rsync has not heard the lies", told, failed)
			}
			return fmt.Sprintf("%d lies were told, %d commands failed", told, failed)
		},
		mend: func(s *scene) { // what it has said that it did, nobody knows
			must(s.t, s.cmd.Process.Signal(syscall.SIGUSR2))
		},
	}}
}

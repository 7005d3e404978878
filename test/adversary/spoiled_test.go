package adversary

import (
	"fmt"
	"slices"
	"testing"

	"lockstep/internal/buildinfo"
	"lockstep/ipc"
	"lockstep/ipc/wire"
)

// TestSpoiledConversations: after a conversation of random length one packet is
// spoiled at random. The helper ends, as is documented, if that is what no honest
// worker sends, which is judged here anew; else it answers and goes on.
func TestSpoiledConversations(t *testing.T) {
	n, from := scaled(25, 3000), seed(t)
	s := newStage(t)
	kinds := map[string]int{}
	for i := range n {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			h := s.start(t, -1)
			h.hello()
			r := newRunners(t)
			for id := ipc.TargetID(1); id <= numTargets; id++ {
				r.serve(id, h.runner(id), from+uint64(i), false)
			}
			st := newStorm(t, h, r, from+uint64(i))
			st.run(st.rng.IntN(20), 50)
			st.settle()
			if st.rng.IntN(4) == 0 {
				st.drain()
			}
			pkt, how, why := st.spoiled()
			kinds[how]++
			h.send(pkt)
			h.violated("")
			if t.Failed() {
				t.Logf("seed %d: the packet was %x (%s), wrong because of: %v", from+uint64(i), pkt[:min(len(pkt), 200)], how, why)
			}
			r.all.Wait()
			h.noneWatched()
		})
	}
	t.Logf("%d conversations, each ended by one spoiled packet: %s", n, histogram(kinds))
}

// spoiled is a packet that is wrong, how it became so, and why it is.
func (s *storm) spoiled() (pkt []byte, how string, why error) {
	for {
		pkt, how := s.spoil()
		if why := s.judge(pkt); why != nil {
			return pkt, how, why
		}
	}
}

func (s *storm) spoil() ([]byte, string) {
	m, list := s.start()
	whole := func(m ipc.Message) []byte {
		pkt, err := ipc.Append(nil, s.h.seq+1, m)
		must(s.t, err)
		return pkt
	}
	pkt := whole(pick[ipc.Message](s.rng, s.stat(), s.watch(), m, &ipc.Stop{Job: s.lastJob + 1}, &ipc.Drain{}, &ipc.Hello{Version: ipc.Version, Build: buildinfo.ID}))
	switch s.rng.IntN(8) {
	case 0:
		for range 1 + s.rng.IntN(3) {
			pkt[s.rng.IntN(len(pkt))] ^= 1 << s.rng.IntN(8)
		}
		return pkt, "bits turned over"
	case 1:
		pkt[s.rng.IntN(min(len(pkt), 24))] = byte(s.rng.Uint32())
		return pkt, "a byte of the head"
	case 2:
		return pkt[:1+s.rng.IntN(len(pkt))], "cut"
	case 3:
		more := whole(s.stat())
		return append(pkt, more[:1+s.rng.IntN(min(len(more), 100))]...), "joined"
	case 4:
		pkt = make([]byte, 1+s.rng.IntN(200))
		for i := range pkt {
			pkt[i] = byte(s.rng.Uint32())
		}
		return pkt, "noise"
	case 5:
		at := s.rng.IntN(len(pkt))
		end := min(len(pkt), at+1+s.rng.IntN(8))
		return slices.Concat(pkt[:at], pkt[end:]), "a gap"
	case 6:
		at := 8 + s.rng.IntN(len(pkt)-7)
		return slices.Concat(pkt[:at], list[:min(len(list), 40)], pkt[at:]), "words put between"
	}
	return pkt, "whole"
}

// judge says why the next packet of this conversation would be a violation, or nil.
func (s *storm) judge(pkt []byte) error {
	head, payload, err := ipc.ParseHeader(pkt)
	switch {
	case len(pkt) == 0: // it is the end of the conversation
		return nil
	case err != nil:
		return err
	case head.Seq != s.h.seq+1 || !head.Final:
		return fmt.Errorf("number %d, final %v", head.Seq, head.Final)
	}
	var root ipc.RootID = theRoot
	switch head.Type {
	case ipc.TypeWatch:
		m, e := wire.Decode[ipc.Watch](payload)
		root, err = m.Root, e
	case ipc.TypeStat:
		m, e := wire.Decode[ipc.Stat](payload)
		root, err = m.Root, e
	case ipc.TypeStart:
		m, e := wire.Decode[ipc.Start](payload)
		if err = e; err == nil && m.Target > numTargets {
			err = fmt.Errorf("target %d", m.Target)
		}
	case ipc.TypeStop:
		m, e := wire.Decode[ipc.Stop](payload)
		if err = e; err == nil && m.Job > s.lastJob {
			err = fmt.Errorf("job %d of %d", m.Job, s.lastJob)
		}
	case ipc.TypeDrain:
		_, err = wire.Decode[ipc.Drain](payload)
	default: // a second Hello, Data without a Start, or no request at all
		err = fmt.Errorf("type %d", head.Type)
	}
	if err == nil && root != theRoot {
		err = fmt.Errorf("root %d", root)
	}
	return err
}

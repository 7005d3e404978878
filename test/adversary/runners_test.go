package adversary

import (
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/sys"
	"lockstep/ipc"
	"lockstep/ipc/wire"
)

// runners are what takes the lists of the helper, in the place of real runners:
// it ends jobs at random, or goes with them.
type runners struct {
	t    *testing.T
	died chan ipc.TargetID
	all  sync.WaitGroup

	mu    sync.Mutex
	lists map[ipc.JobID][32]byte // what arrived
	most  map[ipc.TargetID]int   // jobs at a time
	stops int
}

func newRunners(t *testing.T) *runners {
	return &runners{t: t, died: make(chan ipc.TargetID, 64), lists: map[ipc.JobID][32]byte{}, most: map[ipc.TargetID]int{}}
}

// serve is one runner, until it dies or the helper leaves it. mortal: it may die.
func (r *runners) serve(id ipc.TargetID, fd int, seed uint64, mortal bool) {
	r.all.Go(func() {
		defer unix.Close(fd)
		rng := rand.New(rand.NewPCG(seed, 2))
		buf := make([]byte, ipc.MaxPacket)
		jobs := map[ipc.JobID]bool{}
		for {
			p, err := ipc.Receive(fd, buf)
			if err == io.EOF {
				return
			}
			if err != nil {
				r.t.Errorf("a runner's socket: %v", err)
				return
			}
			if mortal && rng.IntN(2000) == 0 {
				if p.FD >= 0 {
					unix.Close(p.FD)
				}
				r.died <- id
				return
			}
			for _, job := range r.take(id, p, jobs, rng) {
				r.end(fd, job, rng)
				delete(jobs, job)
			}
		}
	})
}

// take reads a packet of the helper's, and gives the jobs that are to end.
func (r *runners) take(id ipc.TargetID, p ipc.Packet, jobs map[ipc.JobID]bool, rng *rand.Rand) []ipc.JobID {
	switch p.Header.Type {
	case ipc.TypeRunStart:
		m, err := wire.Decode[ipc.RunStart](p.Payload)
		if err != nil || p.FD < 0 {
			r.t.Errorf("RunStart: %v, descriptor %d", err, p.FD)
			return nil
		}
		r.keep(m.Job, p.FD)
		jobs[m.Job] = true
		r.mu.Lock()
		r.most[id] = max(r.most[id], len(jobs))
		r.mu.Unlock()
		if rng.IntN(4) > 0 {
			return []ipc.JobID{m.Job}
		}
	case ipc.TypeRunStop:
		m, err := wire.Decode[ipc.RunStop](p.Payload)
		if err != nil || p.FD >= 0 {
			r.t.Errorf("RunStop: %v, descriptor %d", err, p.FD)
		}
		r.mu.Lock()
		r.stops++
		r.mu.Unlock()
		if jobs[m.Job] { // else it has ended meanwhile
			return []ipc.JobID{m.Job}
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if _, known := r.lists[m.Job]; !known {
			r.t.Errorf("a runner was told to stop job %d, which it never had", m.Job)
		}
	default:
		r.t.Errorf("a runner was sent %+v", p.Header)
	}
	return nil
}

// keep remembers what is in a list.
func (r *runners) keep(job ipc.JobID, fd int) {
	f := os.NewFile(uintptr(fd), "list")
	defer f.Close()
	const all = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0); err != nil || seals&all != all {
		r.t.Errorf("list of job %d: seals %#x, %v", job, seals, err)
	}
	_, err := f.Seek(0, io.SeekStart)
	data, err2 := io.ReadAll(f)
	if err != nil || err2 != nil {
		r.t.Errorf("list of job %d: %v, %v", job, err, err2)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, twice := r.lists[job]; twice {
		r.t.Errorf("job %d was started twice", job)
	}
	r.lists[job] = sha256.Sum256(data)
}

func (r *runners) end(fd int, job ipc.JobID, rng *rand.Rand) {
	x := ipc.RunEnd{Exited: ipc.Exited{Job: job, End: ipc.End(1 + rng.IntN(int(ipc.EndHeldMany))), Code: uint8(rng.Uint32()),
		Wall: rng.Uint64(), CPU: rng.Uint64(), MaxRSS: rng.Uint64(), Deletes: rng.Uint64(), Entries: rng.Uint64(), Tail: make([]byte, rng.IntN(ipc.MaxTail+1))}}
	pkt, err := ipc.Append(nil, 0, &x)
	if err == nil {
		err = sys.SendPacket(fd, pkt, -1, 0)
	}
	if err != nil && err != unix.EPIPE && err != unix.ECONNRESET {
		r.t.Errorf("end of job %d: %v", job, err)
	}
}

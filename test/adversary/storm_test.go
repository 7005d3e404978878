package adversary

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/sys"
	"lockstep/ipc"
	"lockstep/ipc/wire"
)

// storm is a conversation at full speed and what its model says of it.
type storm struct {
	*maker
	t *testing.T
	h *helper
	r *runners

	queue    []queued // what is to be sent next, in this order
	waiting  map[uint32]expected
	sent     int
	asked    map[string]int
	statuses map[string]int
	lastJob  ipc.JobID
	live     map[ipc.JobID][32]byte
	begun    map[ipc.JobID][32]byte
	exited   int
	draining bool
	between  func() // called before each request
	early    int    // notices that wait for the answer to their Start
}

// queued is a packet, and what will answer it and those before it, if anything does.
type queued struct {
	pkt []byte
	seq uint32
	e   expected
}

// expected is what must answer a request.
type expected struct {
	as   ipc.Type
	rels int
	at   int      // of a Watch: what its last packet was about
	list [32]byte // of a Start
}

func newStorm(t *testing.T, h *helper, r *runners, seed uint64) *storm {
	return &storm{maker: newMaker(h.tree, seed), t: t, h: h, r: r, waiting: map[uint32]expected{}, asked: map[string]int{}, statuses: map[string]int{},
		live: map[ipc.JobID][32]byte{}, begun: map[ipc.JobID][32]byte{}}
}

// put queues a request, and the Data of it if it is a Start.
func (s *storm) put(e expected, all ...ipc.Message) {
	first := s.h.seq + 1
	for _, m := range all {
		s.add(m)
	}
	last := &s.queue[len(s.queue)-1]
	last.seq, last.e = first, e
}

func (s *storm) add(m ipc.Message) {
	s.h.seq++
	pkt, err := ipc.Append(nil, s.h.seq, m)
	if err != nil {
		s.t.Fatalf("%T is not of the valid shape: %v", m, err)
	}
	s.queue = append(s.queue, queued{pkt: pkt})
	s.asked[strings.TrimPrefix(fmt.Sprintf("%T", m), "*ipc.")]++
}

// more queues one more request, with its list if it has one.
func (s *storm) more() {
	switch n := s.rng.IntN(20); {
	case n < 11:
		m := s.stat()
		s.put(expected{as: ipc.TypeStatAnswer, rels: len(m.Rels)}, m)
	case n < 16:
		m := s.watch()
		s.put(expected{as: ipc.TypeWatchAnswer, rels: len(m.Rels), at: -1}, m)
	case n < 18:
		m, list := s.start()
		s.put(expected{as: ipc.TypeStartAnswer, list: sha256.Sum256(list)}, append([]ipc.Message{m}, s.pieces(list)...)...)
	case s.lastJob > 0:
		job := 1 + ipc.JobID(s.rng.Uint64N(uint64(s.lastJob)))
		for live := range s.live {
			job = live
			break
		}
		s.put(expected{as: ipc.TypeStopAnswer}, &ipc.Stop{Job: job})
	}
}

// run sends n requests, of which no more than window wait for their answer.
func (s *storm) run(n, window int) {
	for end := s.sent + n; s.sent < end; {
		s.replaceDead()
		for len(s.queue) == 0 {
			s.more()
		}
		if len(s.waiting) > window {
			s.take(true)
			continue
		}
		if s.between != nil {
			s.between()
		}
		first := s.queue[0]
		switch err := sys.SendPacket(s.h.worker, first.pkt, -1, unix.MSG_DONTWAIT); err {
		case nil:
			s.queue = s.queue[1:]
			if s.sent++; first.seq > 0 {
				s.waiting[first.seq] = first.e
			}
		case unix.EAGAIN: // it waits for us to read
			s.take(true)
			continue
		default:
			s.t.Fatalf("request %d: %v: %s", s.sent, err, s.h.account())
		}
		for s.take(false) {
		}
	}
}

// settle sends what is queued and waits for all answers.
func (s *storm) settle() {
	s.run(len(s.queue), 100)
	for len(s.waiting) > 0 {
		s.take(true)
	}
}

// replaceDead has the supervisor's part played for runners that have died.
func (s *storm) replaceDead() {
	select {
	case id := <-s.r.died:
		s.statuses["runners replaced"]++
		s.r.serve(id, s.h.runner(id), s.rng.Uint64(), true)
	default:
	}
}

// take reads one packet of the helper's and holds it against the model. Without
// wait it says whether there was one.
func (s *storm) take(wait bool) bool {
	fds := []unix.PollFd{{Fd: int32(s.h.worker), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 0); !wait && (n == 0 || err != nil) {
		return false
	}
	p := s.h.next()
	if p.Header.Seq == 0 {
		s.notice(p)
		return true
	}
	e, known := s.waiting[p.Header.Seq]
	if !known || p.Header.Type != e.as {
		s.t.Fatalf("request %d is answered by %+v, want type %d", p.Header.Seq, p.Header, e.as)
	}
	if p.Header.Final {
		delete(s.waiting, p.Header.Seq)
	}
	switch e.as {
	case ipc.TypeStatAnswer:
		s.stats(p, e)
	case ipc.TypeWatchAnswer:
		s.watches(p, e)
	case ipc.TypeStartAnswer:
		s.started(p, e)
	case ipc.TypeStopAnswer:
		a := decode[ipc.StopAnswer](s.t, p)
		s.count("stop", a.Status)
	}
	return true
}

func decode[T any, V interface {
	*T
	wire.Value
}](t *testing.T, p ipc.Packet) T {
	t.Helper()
	v, err := wire.Decode[T, V](p.Payload)
	if err != nil {
		t.Fatalf("%+v: %v", p.Header, err)
	}
	return v
}

// count keeps how requests ended; any that no worker need meet is an error.
func (s *storm) count(what string, status ipc.Status) {
	s.statuses[fmt.Sprintf("%s %d", what, status)]++
	switch unix.Errno(status) {
	case 0, unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.EXDEV, unix.ENAMETOOLONG, unix.ENOSPC:
	default:
		if status < ipc.StatusBusy {
			s.t.Errorf("%s: status %v", what, unix.Errno(status))
		}
	}
}

func (s *storm) stats(p ipc.Packet, e expected) {
	a := decode[ipc.StatAnswer](s.t, p)
	if len(a.Stats) != e.rels || !p.Header.Final {
		s.t.Errorf("%d answers to %d paths", len(a.Stats), e.rels)
	}
	for _, x := range a.Stats {
		s.count("stat", x.Status)
		s.inside(x.Ino)
	}
}

func (s *storm) watches(p ipc.Packet, e expected) {
	a := decode[ipc.WatchAnswer](s.t, p)
	for _, d := range a.Dirs {
		if int(d.Index) < e.at || int(d.Index) > e.at+1 || int(d.Index) >= e.rels {
			s.t.Errorf("directory %d of %d is told of after directory %d", d.Index, e.rels, e.at)
		}
		e.at = int(d.Index)
		if !d.More {
			s.count("watch", d.Status)
		}
		for _, x := range d.Entries {
			s.inside(x.Ino)
		}
	}
	if p.Header.Final && e.at != e.rels-1 {
		s.t.Errorf("the answer ends with directory %d of %d", e.at, e.rels)
	} else if !p.Header.Final {
		s.waiting[p.Header.Seq] = e
	}
}

func (s *storm) inside(ino uint64) {
	if path := s.h.tree.foreign[ino]; path != "" {
		s.t.Fatalf("an answer about %s, which is outside", path)
	}
}

func (s *storm) started(p ipc.Packet, e expected) {
	a := decode[ipc.StartAnswer](s.t, p)
	s.count("start", a.Status)
	if s.draining != (a.Status == ipc.StatusDraining) {
		s.t.Errorf("a Start is answered by %d; draining is %v", a.Status, s.draining)
	}
	if a.Status != ipc.OK {
		return
	}
	if a.Job != s.lastJob+1 {
		s.t.Errorf("job %d follows job %d", a.Job, s.lastJob)
	}
	s.lastJob = a.Job
	s.live[a.Job], s.begun[a.Job] = e.list, e.list
}

// notice: a job ends once, and only one that was begun. Its start may not have been
// heard of: that answer comes from another goroutine.
func (s *storm) notice(p ipc.Packet) {
	if p.Header.Type != ipc.TypeExited {
		s.t.Fatalf("unasked for: %+v", p.Header)
	}
	x := decode[ipc.Exited](s.t, p)
	if _, live := s.live[x.Job]; !live {
		for s.lastJob < x.Job && len(s.waiting) > 0 && s.early < 8 {
			s.early++
			s.take(true)
			s.early--
		}
	}
	if _, live := s.live[x.Job]; !live {
		s.t.Errorf("job %d ends and does not run", x.Job)
	}
	delete(s.live, x.Job)
	s.exited++
	if x.End == ipc.EndLost {
		s.statuses["jobs lost"]++
		delete(s.begun, x.Job) // its list may never have been read
	}
}

// memory is a line of /proc/PID/status, in bytes.
func memory(t *testing.T, pid int, field string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	var n int
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			_, err := fmt.Sscanf(rest, "%d kB", &n)
			must(t, err)
			return n << 10
		}
	}
	t.Fatalf("no %s of process %d", field, pid)
	return 0
}

// TestMillionRequests: requests of the valid shape, at random, while the tree is
// exchanged below the helper and its runners die. It opens nothing outside the
// root, watches nothing there, tells of nothing there, keeps no memory, and lives.
func TestMillionRequests(t *testing.T) {
	n, from := scaled(4_000, 1_000_000), seed(t)
	s := newStage(t)
	h := s.start(t, -1)
	h.hello()
	o := newOracle(t, s.tree, h.proc.PID)
	r := newRunners(t)
	for id := ipc.TargetID(1); id <= numTargets; id++ {
		r.serve(id, h.runner(id), from+uint64(id), true)
	}
	st := newStorm(t, h, r, from)
	var swaps uint64
	st.between = func() {
		if st.rng.IntN(8) == 0 {
			must(t, s.tree.swap(st.rng.IntN(8)))
			swaps++
		}
	}
	begin := time.Now()
	st.run(n/5, 100)
	early := memory(t, h.proc.PID, "VmRSS")
	st.run(n-n/5, 100)
	st.settle()
	took := time.Since(begin)
	late, most := memory(t, h.proc.PID, "VmRSS"), memory(t, h.proc.PID, "VmHWM")
	watches := h.noneWatched()
	st.drain()
	if opens := o.seen(h.proc.PID); opens != 0 {
		t.Errorf("the helper opened %d files outside its root", opens)
	}
	h.stop()
	st.lists()
	t.Logf("%d requests in %v (%d swaps meanwhile): %v\nanswers: %s", st.sent, took.Round(time.Millisecond), swaps, st.asked, histogram(st.statuses))
	t.Logf("0 opens outside (marks: %v; %d opens of other processes seen), %d watches, all inside; jobs: %d, ended %d, at a time %v", o.marks, o.others(h.proc.PID), watches, st.lastJob, st.exited, r.most)
	t.Logf("resident: %d KiB after a fifth, %d KiB at the end, %d KiB at most", early>>10, late>>10, most>>10)
	if late > early+4<<20 || most > 32<<20 {
		t.Error("memory is not bounded")
	}
	if st.exited == 0 || st.statuses["stat 40"] == 0 || st.statuses["watch 0"] == 0 || swaps < uint64(n/20) {
		t.Error("the storm was no storm")
	}
	// That it is seen when somebody does it.
	o.sees(t, s.tree.outside+"/secret", s.tree.outside, s.tree.outside+"/swap/sub/deep/file", s.tree.top, "/etc/passwd", "/proc/version")
}

// drain ends the conversation: no further Start, and all else as before.
func (s *storm) drain() {
	s.t.Helper()
	s.put(expected{as: ipc.TypeDrainAnswer}, &ipc.Drain{})
	s.settle()
	s.draining = true
	s.run(500, 20)
	s.settle()
}

// lists: each list arrived as it was sent.
func (s *storm) lists() {
	s.t.Helper()
	s.r.all.Wait()
	for job, want := range s.begun {
		if got, ok := s.r.lists[job]; ok && got != want || !ok && len(s.live) == 0 {
			s.t.Errorf("the list of job %d did not arrive as it was sent", job)
		}
	}
	for id, most := range s.r.most {
		if most > ipc.MaxJobs {
			s.t.Errorf("target %d had %d jobs at a time", id, most)
		}
	}
}

func histogram(m map[string]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s: %d", k, m[k]))
	}
	return strings.Join(parts, ", ")
}

// others is how many opens the oracle has seen of all processes but one.
func (o *oracle) others(pid int) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for p, count := range o.opens {
		if int(p) != pid {
			n += count
		}
	}
	return n
}

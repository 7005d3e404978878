package adversary

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/sys"
	"lockstep/ipc"
)

// begun has the helper greeted, with a runner of target 1 that is not served.
func (s *stage) begun(t *testing.T) (h *helper, runner int) {
	t.Helper()
	h = s.start(t, -1)
	h.hello()
	runner = h.runner(1)
	t.Cleanup(func() { unix.Close(runner) })
	return h, runner
}

// startJob sends a Start with its list, and gives the answer.
func (h *helper) startJob(kind ipc.JobKind, list string) ipc.StartAnswer {
	h.t.Helper()
	seq := h.ask(&ipc.Start{Target: 1, Kind: kind, Size: uint32(len(list))})
	for len(list) > 0 {
		n := min(len(list), ipc.MaxPacket-12)
		h.ask(&ipc.Data{Bytes: []byte(list[:n])})
		list = list[n:]
	}
	return decode[ipc.StartAnswer](h.t, h.answer(seq, ipc.TypeStartAnswer))
}

func (h *helper) stopJob(job ipc.JobID) ipc.Status {
	h.t.Helper()
	return decode[ipc.StopAnswer](h.t, h.answer(h.ask(&ipc.Stop{Job: job}), ipc.TypeStopAnswer)).Status
}

// told is what the helper has told a runner and is waiting there.
func told(t *testing.T, runner int) (all []ipc.Packet) {
	t.Helper()
	for {
		fds := []unix.PollFd{{Fd: int32(runner), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, 0); err != nil || n == 0 {
			return all
		}
		p, err := ipc.Receive(runner, make([]byte, ipc.MaxPacket))
		must(t, err)
		if p.FD >= 0 {
			must(t, unix.Close(p.FD))
		}
		all = append(all, p)
	}
}

// TestJobsOfOthersCannotBeStopped: a Stop reaches a runner once, and only while the
// job runs; of one that has ended, however often and however long ago, none does. The
// helper knows no process id, and has no call that ends a process.
func TestJobsOfOthersCannotBeStopped(t *testing.T) {
	n := scaled(3000, 100_000)
	s := newStage(t)
	h, runner := s.begun(t)
	stops := 0
	for i := range n {
		job := ipc.JobID(i/2 + 1)
		if i%2 == 0 {
			if a := h.startJob(ipc.JobList, ".\x00"); a.Job != job {
				t.Fatalf("%+v, want job %d", a, job)
			}
			if i%4 == 0 {
				if st, again := h.stopJob(job), h.stopJob(job); st != ipc.OK || again != ipc.OK {
					t.Fatalf("job %d, which runs: %d, %d", job, st, again)
				}
				stops++
			}
			want := 1 + (4-i%4)/4
			if got := told(t, runner); len(got) != want || got[0].Header.Type != ipc.TypeRunStart || want == 2 && got[1].Header.Type != ipc.TypeRunStop {
				t.Fatalf("job %d: the runner was told %+v", job, got)
			}
			pkt, err := ipc.Append(nil, 0, &ipc.RunEnd{Exited: ipc.Exited{Job: job, End: ipc.EndExited}})
			must(t, err)
			must(t, sys.SendPacket(runner, pkt, -1, 0))
			h.answer(0, ipc.TypeExited)
			continue
		}
		if st := h.stopJob(1 + ipc.JobID(uint64(i)*2654435761%uint64(job))); st != ipc.StatusGone {
			t.Fatalf("a job that has ended: %d", st)
		}
	}
	if got := told(t, runner); len(got) != 0 {
		t.Errorf("the runner was told %+v", got)
	}
	h.stop()
	t.Logf("%d Starts and Stops: %d stops of jobs that ran, none of any other", n, stops)
}

// TestStartsAreBounded: however many Starts there are, a target has MaxJobs jobs at
// a time, and the rest is refused. The helper starts no process.
func TestStartsAreBounded(t *testing.T) {
	n := scaled(5000, 100_000)
	s := newStage(t)
	h, runner := s.begun(t)
	begin, busy := time.Now(), 0
	for range n {
		switch a := h.startJob(ipc.JobList, ".\x00"); a.Status {
		case ipc.OK:
		case ipc.StatusBusy:
			busy++
		default:
			t.Fatalf("%+v", a)
		}
	}
	if got := told(t, runner); len(got) != ipc.MaxJobs || busy != n-ipc.MaxJobs {
		t.Errorf("%d jobs were begun, %d refused", len(got), busy)
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", h.proc.PID, h.proc.PID))
	if len(children) != 0 || err != nil {
		t.Errorf("children: %q, %v", children, err)
	}
	h.stop()
	t.Logf("%d Starts in %v: %d jobs, %d refused, no process", n, time.Since(begin).Round(time.Millisecond), ipc.MaxJobs, busy)
}

// TestLargeLists: the largest list there is, over and over, whole and broken off by
// a violation's worth of patience: memory stays below what two copies take.
func TestLargeLists(t *testing.T) {
	n := scaled(4, 40)
	s := newStage(t)
	h, runner := s.begun(t)
	list := strings.Repeat("./a\x00", ipc.MaxList/4)
	for range n {
		a := h.startJob(ipc.JobList, list)
		if a.Status != ipc.OK {
			t.Fatalf("%+v", a)
		}
		if got := told(t, runner); len(got) != 1 {
			t.Fatalf("%+v", got)
		}
		pkt, err := ipc.Append(nil, 0, &ipc.RunEnd{Exited: ipc.Exited{Job: a.Job, End: ipc.EndExited}})
		must(t, err)
		must(t, sys.SendPacket(runner, pkt, -1, 0))
		h.answer(0, ipc.TypeExited)
	}
	most := memory(t, h.proc.PID, "VmHWM")
	h.stop()
	t.Logf("%d lists of %d MiB: %d MiB resident at most", n, ipc.MaxList>>20, most>>20)
	if most > 96<<20 {
		t.Error("memory is not bounded")
	}
}

// TestWatchesOverTheLimit: at the kernel's limit of watches the rest is refused, one
// by one; listings go on, the helper lives, and there are no more than the limit. The
// limit is that of a user namespace: this machine's stays as it is.
func TestWatchesOverTheLimit(t *testing.T) {
	const limit, dirs = 50, 300
	s := newStage(t)
	var rels []string
	for i := range dirs {
		rels = append(rels, fmt.Sprintf("watch-%d", i))
		must(t, os.Mkdir(filepath.Join(s.tree.root, rels[i]), 0o700))
	}
	h := s.start(t, limitedInotify(t, limit))
	h.hello()
	granted, refused := 0, 0
	for range 3 {
		granted = 0
		for part := range slices.Chunk(rels, ipc.MaxRels) {
			p := h.answer(h.ask(&ipc.Watch{Root: theRoot, Watch: true, Rels: part}), ipc.TypeWatchAnswer)
			for _, d := range decode[ipc.WatchAnswer](t, p).Dirs {
				switch {
				case d.Status == ipc.OK && d.WD > 0:
					granted++
				case d.Status == ipc.Status(unix.ENOSPC) && d.WD < 0:
					refused++
				default:
					t.Errorf("%+v", d)
				}
			}
		}
	}
	if all := h.noneWatched(); all != limit || granted != limit {
		t.Errorf("%d watches were granted and there are %d, of %d", granted, all, limit)
	}
	// Another queue, of another sync, is not concerned.
	other := s.start(t, -1)
	other.hello()
	p := other.answer(other.ask(&ipc.Watch{Root: theRoot, Watch: true, Rels: rels[:200]}), ipc.TypeWatchAnswer)
	for _, d := range decode[ipc.WatchAnswer](t, p).Dirs {
		if d.Status != ipc.OK {
			t.Errorf("the other one's: %+v", d)
		}
	}
	other.stop()
	h.stop()
	t.Logf("limit %d: %d granted, %d refused", limit, granted, refused)
}

// TestWorkerThatLeaves: closed halves, and an end in the middle of a verb, are no
// fault of the helper's: it ends at once and says so.
func TestWorkerThatLeaves(t *testing.T) {
	s := newStage(t)
	busy := &ipc.Watch{Root: theRoot, All: true, Watch: true, Since: 1, Rels: slices.Repeat([]string{"many"}, ipc.MaxRels)}
	for name, leave := range map[string]func(h *helper){
		"closes":               func(h *helper) { must(t, unix.Close(h.worker)); h.worker = -1 },
		"writes no more":       func(h *helper) { must(t, unix.Shutdown(h.worker, unix.SHUT_WR)) },
		"closes during a verb": func(h *helper) { h.ask(busy); h.next(); must(t, unix.Close(h.worker)); h.worker = -1 },
		"closes during a list": func(h *helper) {
			h.ask(&ipc.Start{Target: 1, Kind: ipc.JobList, Size: 9})
			unix.Close(h.worker)
			h.worker = -1
		},
		"leaves answers unread": func(h *helper) { h.ask(busy); must(t, await(h.worker)); must(t, unix.Close(h.worker)); h.worker = -1 },
		"reads no more, writes": func(h *helper) {
			must(t, unix.Shutdown(h.worker, unix.SHUT_RD))
			h.ask(busy)
			h.ask(&ipc.Stat{Root: theRoot})
			unix.Close(h.worker)
			h.worker = -1
		},
		"closes with work there": func(h *helper) {
			for range 60 {
				h.ask(busy)
			}
			unix.Close(h.worker)
			h.worker = -1
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := s.begun(t)
			leave(h)
			h.ends(exitGone, "<6>the worker has gone")
		})
	}
	t.Run("closes after Drain", func(t *testing.T) {
		h, _ := s.begun(t)
		h.answer(h.ask(&ipc.Drain{}), ipc.TypeDrainAnswer)
		must(t, unix.Close(h.worker))
		h.worker = -1
		h.ends(exitDone, "")
	})
}

// TestWorkerThatStandsStill: one that reads nothing, or that stops in the middle of a
// list, costs bounded memory, and does not keep the supervisor from ending the helper.
func TestWorkerThatStandsStill(t *testing.T) {
	s := newStage(t)
	t.Run("reads nothing", func(t *testing.T) {
		h, _ := s.begun(t)
		sent := 0
		for ; ; sent++ {
			h.seq++
			pkt, err := ipc.Append(nil, h.seq, &ipc.Watch{Root: theRoot, All: true, Rels: slices.Repeat([]string{"many"}, 200)})
			must(t, err)
			deadline := unix.NsecToTimeval(int64(300 * time.Millisecond))
			must(t, unix.SetsockoptTimeval(h.worker, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &deadline))
			if err := sys.SendPacket(h.worker, pkt, -1, 0); err == unix.EAGAIN {
				break
			} else if must(t, err); sent > 10_000 {
				t.Fatal("it takes whatever is sent")
			}
		}
		most := memory(t, h.proc.PID, "VmHWM")
		begin := time.Now()
		h.stop()
		t.Logf("%d requests until it took no more; %d KiB resident at most; ended within %v", sent, most>>10, time.Since(begin).Round(time.Millisecond))
		if most > 32<<20 || time.Since(begin) > 5*time.Second {
			t.Error("that is too much")
		}
	})
	t.Run("stops within a list", func(t *testing.T) {
		h, runner := s.begun(t)
		h.ask(&ipc.Start{Target: 1, Kind: ipc.JobList, Size: ipc.MaxList})
		h.ask(&ipc.Data{Bytes: []byte("./a")})
		h.stop()
		if _, err := ipc.Receive(runner, make([]byte, 64)); err == nil {
			t.Error("the runner was told of half a list")
		}
	})
}

// cpu is the time that all threads of a process have run, in nanoseconds.
func cpu(t *testing.T, pid int) (total uint64) {
	t.Helper()
	all, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	must(t, err)
	for _, file := range all {
		text, _ := os.ReadFile(file)
		if words := strings.Fields(string(text)); len(words) == 3 {
			n, err := strconv.ParseUint(words[0], 10, 64)
			must(t, err)
			total += n
		}
	}
	return total
}

// TestCostOfRequests: what one request can cost the helper, and that nothing of its
// memory is shared with anybody, nor any descriptor left, when all have been made.
func TestCostOfRequests(t *testing.T) {
	s := newStage(t)
	h, _ := s.begun(t)
	long := strings.Repeat("d/", ipc.MaxRel/2-1) + "d"
	var before int
	for round := range 2 {
		for _, c := range []struct {
			name string
			m    ipc.Message
			n    int
			p99  time.Duration
			most time.Duration
		}{
			{"stat of one path", &ipc.Stat{Root: theRoot, Rels: []string{"dir/sub/file"}}, scaled(300, 3000), time.Millisecond, 50 * time.Millisecond},
			{"watch of one directory", &ipc.Watch{Root: theRoot, Watch: true, Rels: []string{"dir"}}, scaled(300, 3000), time.Millisecond, 50 * time.Millisecond},
			{"list of 900 entries", &ipc.Watch{Root: theRoot, All: true, Rels: []string{"many"}}, scaled(50, 500), 20 * time.Millisecond, 50 * time.Millisecond},
			{"stat of the longest paths", &ipc.Stat{Root: theRoot, Rels: slices.Repeat([]string{long}, 15)}, scaled(50, 500), 20 * time.Millisecond, 50 * time.Millisecond},
			{"stat of the most paths", &ipc.Stat{Root: theRoot, Rels: slices.Repeat([]string{"dir/file", "dir/sub/file"}, ipc.MaxRels/2)}, scaled(50, 500), 20 * time.Millisecond, 50 * time.Millisecond},
		} {
			var costs []time.Duration
			for range c.n {
				begin := cpu(t, h.proc.PID)
				seq := h.ask(c.m)
				for p := h.next(); !p.Header.Final || p.Header.Seq != seq; p = h.next() {
				}
				costs = append(costs, time.Duration(cpu(t, h.proc.PID)-begin))
			}
			slices.Sort(costs)
			median, p99, most := costs[len(costs)/2], costs[len(costs)*99/100], costs[len(costs)-1]
			t.Logf("%s: CPU %v median, %v p99, %v worst", c.name, median, p99, most)
			if median > c.p99 || p99 > 10*c.p99 && p99 > c.most {
				t.Errorf("%s costs more than %v", c.name, c.p99)
			}
		}
		if n := openFiles(t, h.proc.PID); round == 0 {
			before = n
		} else if n > before {
			t.Errorf("%d descriptors, there were %d", n, before)
		}
	}
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", h.proc.PID))
	must(t, err)
	for line := range strings.Lines(string(maps)) {
		if words := strings.Fields(line); len(words) < 2 || strings.HasSuffix(words[1], "s") {
			t.Errorf("shared memory: %s", line)
		}
	}
	h.stop()
}

func openFiles(t *testing.T, pid int) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	must(t, err)
	return len(all)
}

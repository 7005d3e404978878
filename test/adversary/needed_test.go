package adversary

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/ipc"
	"lockstep/seccomp"
)

// chance says that a rule is of calls that the runtime, or the end of the process,
// makes or not; TestEachRuleIsNeeded of seccomp provokes those.
func chance(c seccomp.Call) bool {
	return strings.HasPrefix(c.Who, "go: ") || c.Name == "tgkill" || c.Name == "exit"
}

// TestHelperNeedsEachRule has the helper work as hard as a worker can make it, with
// each rule of its filter taken away in turn: it is killed, by the filter, but where
// chance decides.
func TestHelperNeedsEachRule(t *testing.T) {
	s := newStage(t)
	table := seccomp.Table(seccomp.Helper, runtime.GOARCH)
	every := scaled(24, 1)
	from := int(seed(t) % uint64(every))
	count := map[string]int{}
	whole := s.filter
	defer func() { s.filter = whole }()
	for i, c := range table.Allow {
		if c.Fallback || i%every != from {
			continue
		}
		less := table
		less.Allow = slices.Delete(slices.Clone(table.Allow), i, i+1)
		t.Run(fmt.Sprintf("%d-%s", i, c.Name), func(t *testing.T) {
			var err error
			s.filter, err = seccomp.Compile(less)
			must(t, err)
			defer s.filter.Close()
			verdict := s.labour(t)
			if verdict == "lives" && chance(c) {
				verdict = "not reached"
			} else if verdict != "killed" {
				t.Errorf("%s %+v is not needed: %s", c.Name, c.If, verdict)
			}
			count[verdict]++
			t.Logf("%-18s %s", c.Name, verdict)
		})
	}
	t.Logf("%d rules, every %d. from %d on: %s", len(table.Allow), every, from, histogram(count))
	s.filter = whole
	if verdict := s.labour(t); verdict != "lives" {
		t.Errorf("with all rules: %s", verdict)
	}
}

// labour is all that a worker can have the helper do, until it dies.
func (s *stage) labour(t *testing.T) (verdict string) {
	h := s.start(t, -1)
	dead := func() (string, bool) {
		fds := []unix.PollFd{{Fd: int32(h.proc.PIDFD()), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, 0); err != nil || n == 0 {
			return "", false
		}
		code, sig := h.ended()
		if sig == syscall.SIGSYS {
			return "killed", true
		}
		return fmt.Sprintf("ended with %d, signal %d: %s", code, sig, h.stderr.String()), true
	}
	runner := h.runner(1)
	defer unix.Close(runner)
	for step := range steps(h, runner) {
		if !step() {
			_, sig := h.ended()
			if sig == syscall.SIGSYS {
				return "killed"
			}
			return fmt.Sprintf("ended by signal %d: %s", sig, h.stderr.String())
		}
		if verdict, ended := dead(); ended {
			return verdict
		}
	}
	must(t, unix.Close(h.control))
	h.closed = true
	if code, sig := h.ended(); sig == syscall.SIGSYS {
		return "killed"
	} else if code != exitDone {
		return fmt.Sprintf("ended with %d", code)
	}
	return "lives"
}

// steps are pieces of work; each says whether the helper has answered.
func steps(h *helper, runner int) func(yield func(func() bool) bool) {
	ask := func(as ipc.Type, all ...ipc.Message) func() bool {
		return func() bool {
			for _, m := range all {
				h.ask(m)
			}
			for {
				if await(h.worker) != nil {
					return false
				}
				p, err := h.receive()
				if err != nil {
					return false
				}
				if p.Header.Type == as && p.Header.Final {
					return true
				}
			}
		}
	}
	large := strings.Repeat("./a\x00", ipc.MaxList/4)
	list := []ipc.Message{&ipc.Start{Target: 1, Kind: ipc.JobList, Size: ipc.MaxList}}
	for rest := large; rest != ""; {
		n := min(len(rest), ipc.MaxPacket-12)
		list, rest = append(list, &ipc.Data{Bytes: []byte(rest[:n])}), rest[n:]
	}
	many := slices.Repeat([]string{"many", "dir", "", "swap"}, 40)
	end := func() bool {
		for _, p := range told(h.t, runner) {
			if p.Header.Type == ipc.TypeRunStart {
				pkt := header(ipc.TypeRunExited, final, 0).u8(p.Payload[:8]...).u8(byte(ipc.EndExited), 0).u64(0).u64(0).u64(0).u64(0).u64(0).u32(0)
				_ = unix.Sendmsg(runner, pkt, nil, nil, unix.MSG_NOSIGNAL)
			}
		}
		return true
	}
	return func(yield func(func() bool) bool) {
		if !yield(ask(ipc.TypeHelloAnswer, hello())) || !yield(func() bool { return pause(h) }) {
			return
		}
		for range 6 {
			for _, step := range []func() bool{
				ask(ipc.TypeStatAnswer, &ipc.Stat{Root: theRoot, Rels: []string{"dir/file", "", "link/x"}}),
				ask(ipc.TypeWatchAnswer, &ipc.Watch{Root: theRoot, Watch: true, All: true, Since: 1, Rels: many}),
				ask(ipc.TypeStartAnswer, list...), end,
				ask(ipc.TypeStartAnswer, &ipc.Start{Target: 1, Kind: ipc.JobInitial}),
				ask(ipc.TypeStopAnswer, &ipc.Stop{Job: 1}), end,
				func() bool { return pause(h) },
			} {
				if !yield(step) {
					return
				}
			}
		}
		yield(ask(ipc.TypeDrainAnswer, &ipc.Drain{}))
	}
}

// pause stops the helper while it sleeps, and lets it go on.
func pause(h *helper) bool {
	if unix.PidfdSendSignal(h.proc.PIDFD(), unix.SIGSTOP, nil, 0) != nil {
		return true
	}
	for range 10_000 {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", h.proc.PID))
		if err != nil || strings.Contains(string(text), ") T ") || strings.Contains(string(text), ") Z ") {
			break
		}
	}
	_ = unix.PidfdSendSignal(h.proc.PIDFD(), unix.SIGCONT, nil, 0)
	return true
}

package adversary

import (
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/ipc"
)

// What is asked for while it is exchanged: of files, and of directories.
func racingPaths() []string {
	return []string{"swap/secret", "swap/file", "swap/sub", "swap/sub/deep/file", "swap", "swap-link/secret", "swap-link/sub/file", "dir/sub/file", "dir/relative/secret", "moved/sub/file"}
}

func racingDirs() []string {
	return []string{"swap", "swap/sub", "swap/sub/deep", "swap-link", "swap-link/sub", "dir/sub", "dir/sub/deep", "dir/relative", "moved/sub"}
}

// verb is one of those that take a name: it asks for all names, and gives how many
// answers there were about what.
type verb struct {
	name  string
	names []string
	ask   func(h *helper, names []string) (tries int, found map[uint64]int)
	// plain does to one path what the verb does, without its care.
	plain func(r *tree, name string) uint64
}

func verbs() []verb {
	return []verb{
		{"stat", racingPaths(), stats, func(r *tree, name string) uint64 {
			var st unix.Stat_t
			if unix.Lstat(r.root+"/"+name, &st) != nil {
				return 0
			}
			return st.Ino
		}},
		{"list", racingDirs(), lists(ipc.Watch{Root: theRoot, All: true}), plainList},
		{"list of what has changed", racingDirs(), lists(ipc.Watch{Root: theRoot, Since: 1}), plainList},
		{"watch", racingDirs(), lists(ipc.Watch{Root: theRoot, Watch: true}), func(r *tree, name string) uint64 {
			fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
			if err != nil {
				return 0
			}
			defer unix.Close(fd)
			if _, err := unix.InotifyAddWatch(fd, r.root+"/"+name, unix.IN_CREATE|unix.IN_ONLYDIR|unix.IN_DONT_FOLLOW); err != nil {
				return 0
			}
			for _, ino := range watchedBy(fd) {
				return ino
			}
			return 0
		}},
	}
}

func plainList(r *tree, name string) uint64 {
	all, err := os.ReadDir(r.root + "/" + name)
	if err != nil {
		return 0
	}
	for _, e := range all {
		var st unix.Stat_t
		if info, err := e.Info(); err == nil && e.Name() == "secret" {
			if unix.Lstat(r.root+"/"+name+"/"+info.Name(), &st) == nil {
				return st.Ino
			}
		}
	}
	return 0
}

func stats(h *helper, names []string) (int, map[uint64]int) {
	seq, found := h.ask(&ipc.Stat{Root: theRoot, Rels: names}), map[uint64]int{}
	a := decode[ipc.StatAnswer](h.t, h.answer(seq, ipc.TypeStatAnswer))
	for _, x := range a.Stats {
		found[x.Ino]++
	}
	return len(a.Stats), found
}

func lists(m ipc.Watch) func(h *helper, names []string) (int, map[uint64]int) {
	return func(h *helper, names []string) (int, map[uint64]int) {
		m.Rels = names
		seq, tries, found := h.ask(&m), 0, map[uint64]int{}
		for {
			p := h.answer(seq, ipc.TypeWatchAnswer)
			for _, d := range decode[ipc.WatchAnswer](h.t, p).Dirs {
				if !d.More {
					tries++
				}
				if d.Status == ipc.OK {
					found[^uint64(0)]++ // no entry has this number
				}
				for _, e := range d.Entries {
					found[e.Ino]++
				}
			}
			if p.Header.Final {
				return tries, found
			}
		}
	}
}

// answer is the next packet, which must answer this request.
func (h *helper) answer(seq uint32, as ipc.Type) ipc.Packet {
	h.t.Helper()
	p := h.next()
	if p.Header.Seq != seq || p.Header.Type != as {
		h.t.Fatalf("request %d is answered by %+v, want type %d", seq, p.Header, as)
	}
	return p
}

// TestRaces: while directories are exchanged with links that lead out of the root,
// each verb that takes a name is asked over and over, by the real helper in its
// jail. No answer is about what is outside, no watch is there, and the kernel sees
// no open there. The plain calls, beside the same exchange, do get outside.
func TestRaces(t *testing.T) {
	want := scaled(20_000, 300_000)
	s := newStage(t)
	for _, v := range verbs() {
		t.Run(v.name, func(t *testing.T) {
			names := slices.Repeat(v.names, ipc.MaxRels/len(v.names))
			h := s.start(t, -1)
			h.hello()
			o := newOracle(t, s.tree, h.proc.PID)
			stop := s.tree.churn(t)
			begin, tries, answers, nothing := time.Now(), 0, 0, 0
			for tries < want {
				n, found := v.ask(h, names)
				tries += n
				for ino, count := range found {
					if path := s.tree.foreign[ino]; path != "" {
						t.Fatalf("an answer about %s, which is outside", path)
					}
					if ino == 0 {
						nothing += count
					} else {
						answers += count
					}
				}
				h.noneWatched()
			}
			took := time.Since(begin)
			escaped, plain := v.twin(s.tree, names, tries)
			swaps := stop()
			if n := o.seen(h.proc.PID); n != 0 {
				t.Errorf("the helper opened %d files outside its root", n)
			}
			h.stop()
			t.Logf("%d tries in %v, %d answers about something, 0 from outside, 0 opens outside; %d swaps; the plain call got outside in %d of %d tries", tries, took.Round(time.Millisecond), answers, swaps, escaped, plain)
			if answers < tries/10 || swaps < 1000 || escaped == 0 {
				t.Error("the race was no race")
			}
		})
	}
}

// twin does the same by paths, until it has got outside ten times.
func (v verb) twin(r *tree, names []string, most int) (escaped, tries int) {
	for tries < most && escaped < 10 {
		if r.foreign[v.plain(r, names[tries%len(names)])] != "" {
			escaped++
		}
		tries++
	}
	return escaped, tries
}

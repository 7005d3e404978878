package adversary

import (
	"math/rand/v2"
	"strings"

	"lockstep/ipc"
)

// maker makes requests of the valid shape, as wild as that allows.
type maker struct {
	rng  *rand.Rand
	tree *tree
}

func newMaker(r *tree, seed uint64) *maker {
	return &maker{rand.New(rand.NewPCG(seed, 1)), r}
}

// pick is one of several, evenly.
func pick[T any](rng *rand.Rand, all ...T) T { return all[rng.IntN(len(all))] }

// rel is a path below the root, as far as its form goes: what is there, what was,
// what leads out, and what never was.
func (m *maker) rel() string {
	switch m.rng.IntN(8) {
	case 0, 1:
		return pick(m.rng, m.tree.paths...)
	case 2:
		return pick(m.rng, m.tree.dirs...)
	case 3:
		return pick(m.rng, "swap", "swap/file", "swap/secret", "swap/sub", "swap/sub/deep", "swap/sub/deep/file", "swap-link", "swap-link/secret",
			"dir/sub", "dir/sub/file", "dir/relative", "dir/relative/secret", "moved", "moved/sub", "moved/sub/file")
	case 4:
		way := pick(m.rng, "link", "relative", "dir/relative", "up", "dir/up", "slash", "loop", "magic", "cwd", "secret-link", "etc", "swap-link", "inner", "mount", "fifo", "socket", "null")
		return way + pick(m.rng, "", "/secret", "/swap/secret", "/outside/secret", "/etc/passwd", "/etc/shadow", "/proc/self/environ", "/1/root", "/sub", "/"+pick(m.rng, m.tree.dirs[1:]...))
	case 5:
		return pick(m.rng, "proc/self/root", "etc/shadow", "roots/1", "...", "..file", ".hidden", "~", "-", "a\\b", "\x01", "\x7f", "dev/mem")
	}
	return m.random()
}

// random is any path of the form, mostly short.
func (m *maker) random() string {
	var b strings.Builder
	for range 1 + m.rng.IntN(pick(m.rng, 2, 4, 40, 600)) {
		if b.Len() > 0 {
			b.WriteByte('/')
		}
		for range 1 + m.rng.IntN(pick(m.rng, 2, 12, 255)) {
			c := byte(1 + m.rng.IntN(255))
			if c == '/' {
				c = '.'
			}
			b.WriteByte(c)
		}
	}
	s := strings.TrimRight(b.String()[:min(b.Len(), ipc.MaxRel)], "/")
	if !ipc.IsRel(s) {
		return "dots"
	}
	return s
}

// rels are so many paths that a packet holds them.
func (m *maker) rels() []string {
	var all []string
	for n, size := pick(m.rng, 1, 1, 1, 2, 2, 3, 4, pick(m.rng, 1, 8, 16, 256)), 64; len(all) < n; {
		r := m.rel()
		if size += len(r) + 4; size > ipc.MaxPacket {
			break
		}
		all = append(all, r)
	}
	return all
}

func (m *maker) flag() bool { return m.rng.IntN(2) == 0 }

func (m *maker) since() uint64 {
	return pick(m.rng, 0, 1, 1<<63, ^uint64(0), uint64(m.rng.Int64()))
}

func (m *maker) stat() *ipc.Stat { return &ipc.Stat{Root: theRoot, Rels: m.rels()} }

func (m *maker) watch() *ipc.Watch {
	rels := m.rels()
	return &ipc.Watch{Root: theRoot, Watch: m.flag(), All: m.flag(), Since: m.since(), Rels: rels[:min(len(rels), 1+m.rng.IntN(6))]}
}

// start is a Start and its list.
func (m *maker) start() (*ipc.Start, []byte) {
	kind := ipc.JobKind(1 + m.rng.IntN(int(ipc.NumJobKinds)-1))
	var list []byte
	for range m.rng.IntN(pick(m.rng, 1, 3, 10, 300)) {
		switch rel := m.rel(); {
		case kind == ipc.JobInitial || kind == ipc.JobPrune || kind == ipc.JobContent:
			list = append(list, pick(m.rng, "- /", "+ /", "H /")...)
			list = append(list, cmpOr(rel, "x")...)
			list = append(list, pick(m.rng, "", "/", "/*", "/**", "/***")...)
		case rel == "":
			list = append(list, '.')
		default:
			list = append(append(list, "./"...), rel...)
		}
		list = append(list, 0)
	}
	return &ipc.Start{Target: ipc.TargetID(1 + m.rng.IntN(numTargets)), Kind: kind, Size: uint32(len(list))}, list
}

func cmpOr(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}

// pieces divides a list among Data packets.
func (m *maker) pieces(list []byte) []ipc.Message {
	var all []ipc.Message
	for len(list) > 0 {
		n := min(len(list), 1+m.rng.IntN(pick(m.rng, 10, 1000, ipc.MaxPacket-16)))
		if len(all) > 20 { // it need not become many
			n = min(len(list), ipc.MaxPacket-16)
		}
		all = append(all, &ipc.Data{Bytes: list[:n]})
		list = list[n:]
	}
	return all
}

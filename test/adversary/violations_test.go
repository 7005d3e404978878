package adversary

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/ipc"
)

// crime is what no honest worker can send: packets, of which the last is the first
// that is wrong. seq is the number of the first.
type crime struct {
	name    string
	packets func(seq uint32) []raw
	why     string
	early   bool // before Hello; seq is 1
	runs    bool // what came before it is a job
}

func one(name, why string, packet func(seq uint32) raw) crime {
	return crime{name: name, why: why, packets: func(seq uint32) []raw { return []raw{packet(seq)} }}
}

func before(name, why string, packet func(seq uint32) raw) crime {
	c := one(name, why, packet)
	c.early = true
	return c
}

// crimes are checks 32 to 38 and 45 of the battery: each is tried on a helper of
// its own.
func crimes() []crime {
	all := append(formCrimes(), stateCrimes()...)
	all = append(all, handleCrimes()...)
	all = append(all, lengthCrimes()...)
	all = append(all, nameCrimes()...)
	return append(all, listCrimes()...)
}

// formCrimes: packets that are cut, joined, too large, or not of the form.
func formCrimes() []crime {
	const cut = "cut short"
	all := []crime{
		before("a packet of one byte", "packet of 1 bytes", func(uint32) raw { return raw{2} }),
		one("seven bytes", "packet of 7 bytes", func(uint32) raw { return make(raw, 7) }),
		one("zeros", "packet with number 0 instead of 2, or without its flag", func(uint32) raw { return make(raw, 8) }),
		one("all bits", "packet with unknown flags 0xffff", func(uint32) raw { return raw(strings.Repeat("\xff", 64)) }),
		one("one byte too large", "packet was cut", func(seq uint32) raw { return append(rawStat(seq), make(raw, ipc.MaxPacket+1)...)[:ipc.MaxPacket+1] }),
		one("a megabyte", "packet was cut", func(uint32) raw { return make(raw, 100<<10) }),
		one("two requests in a packet", "trailing bytes", func(seq uint32) raw { return append(rawStat(seq, "file"), rawStat(seq+1, "file")...) }),
		one("one byte more", "trailing bytes", func(seq uint32) raw { return append(rawDrain(seq), 0) }),
		one("not final", "without its flag", func(seq uint32) raw { return header(ipc.TypeDrain, 0, seq) }),
		one("a flag that is none", "unknown value", func(seq uint32) raw {
			return header(ipc.TypeWatch, final, seq).u16(uint16(theRoot)).u8(2, 0).u64(0).blobs()
		}),
		one("another flag that is none", "unknown value", func(seq uint32) raw {
			return header(ipc.TypeWatch, final, seq).u16(uint16(theRoot)).u8(0, 255).u64(0).blobs()
		}),
	}
	for bit := 1; bit < 16; bit++ {
		all = append(all, one(fmt.Sprintf("reserved bit %d", bit), "unknown flags", func(seq uint32) raw { return header(ipc.TypeDrain, final|1<<bit, seq) }))
	}
	for name, whole := range map[string]func(uint32) raw{"Stat": func(seq uint32) raw { return rawStat(seq, "file") }, "Watch": func(seq uint32) raw { return rawWatch(seq, "dir") },
		"Start": func(seq uint32) raw { return rawStart(seq, 1, 1, 0) }, "Stop": func(seq uint32) raw { return rawStop(seq, 1) }} {
		for at := 8; at < len(whole(0)); at++ {
			all = append(all, one(fmt.Sprintf("%s cut at %d", name, at), cut, func(seq uint32) raw { return whole(seq)[:at] }))
		}
	}
	return all
}

// stateCrimes: what has another time, has had its time, or never has.
func stateCrimes() []crime {
	all := []crime{
		before("Stat before Hello", "Stat is not permitted now", func(seq uint32) raw { return rawStat(seq) }),
		before("Start before Hello", "Start is not permitted now", func(seq uint32) raw { return rawStart(seq, 1, 1, 0) }),
		before("Drain before Hello", "Drain is not permitted now", func(seq uint32) raw { return rawDrain(seq) }),
		before("another version", "not this helper's", func(seq uint32) raw { return header(ipc.TypeHello, final, seq).u32(ipc.Version + 1).blob("dev") }),
		before("another build", "not this helper's", func(seq uint32) raw { return header(ipc.TypeHello, final, seq).u32(ipc.Version).blob("other") }),
		before("from number 0 on", "packet with number 0 instead of 1", func(uint32) raw { return rawHello(0) }),
		one("second Hello", "Hello is not permitted now", func(seq uint32) raw { return rawHello(seq) }),
		one("Data without Start", "Data is not permitted now", func(seq uint32) raw { return rawData(seq, "./a\x00") }),
		one("replay of Hello", "packet with number 1 instead of 2", func(uint32) raw { return rawHello(1) }),
		one("gap", "packet with number 3 instead of 2", func(seq uint32) raw { return rawStat(seq+1, "file") }),
		one("the last number", "packet with number 4294967295 instead of 2", func(uint32) raw { return rawStat(1<<32-1, "file") }),
		{name: "replay", why: "packet with number 2 instead of 3", packets: func(seq uint32) []raw { return []raw{rawStat(seq, "file"), rawStat(seq, "file")} }},
		{name: "a number twice", why: "packet with number 3 instead of 4", packets: func(seq uint32) []raw {
			return []raw{rawStat(seq, "file"), rawStat(seq+1, "file"), rawStop(seq+1, 1)}
		}},
		{name: "Stat within a list", why: "Stat is not permitted now", packets: func(seq uint32) []raw { return []raw{rawStart(seq, 1, 3, 10), rawStat(seq + 1)} }},
		{name: "Drain within a list", why: "Drain is not permitted now", packets: func(seq uint32) []raw { return []raw{rawStart(seq, 1, 3, 10), rawDrain(seq + 1)} }},
		{name: "Start within a list", why: "Start is not permitted now", packets: func(seq uint32) []raw {
			return []raw{rawStart(seq, 1, 3, 10), rawStart(seq+1, 1, 3, 10)}
		}},
		{name: "Data after a list", runs: true, why: "Data is not permitted now", packets: func(seq uint32) []raw {
			return []raw{rawStart(seq, 1, 3, 2), rawData(seq+1, ".\x00"), rawData(seq+2, ".\x00")}
		}},
		{name: "Hello after Drain", why: "Hello is not permitted now", packets: func(seq uint32) []raw { return []raw{rawDrain(seq), rawHello(seq + 1)} }},
	}
	for _, typ := range []ipc.Type{0, 1, 16, 18, 100, 101, 103, 200, 201, 202, 300, 302, 304, 0x7fff, 0x8000, 0xffff, 3, 5, 7, 9, 13, 15, 258} {
		all = append(all, one(fmt.Sprintf("type %d", typ), fmt.Sprintf("unknown type %d", typ), func(seq uint32) raw { return header(typ, final, seq).u64(1).u64(1) }))
	}
	return all
}

// handleCrimes: handles that were never given.
func handleCrimes() []crime {
	all := []crime{
		one("kind 0 of job", "no kind of job", func(seq uint32) raw { return rawStart(seq, 1, 0, 0) }),
		one("unknown kind of job", "unknown value", func(seq uint32) raw { return rawStart(seq, 1, byte(ipc.NumJobKinds), 0) }),
		one("kind 255 of job", "unknown value", func(seq uint32) raw { return rawStart(seq, 1, 255, 0) }),
	}
	for _, id := range []uint16{0, 2, 3, 255, 256, 257, 0x8001, 0xffff} {
		all = append(all,
			one(fmt.Sprintf("Stat of root %d", id), "", func(seq uint32) raw { return header(ipc.TypeStat, final, seq).u16(id).blobs("file") }),
			one(fmt.Sprintf("Watch of root %d", id), "", func(seq uint32) raw { return header(ipc.TypeWatch, final, seq).u16(id).u8(1, 1).u64(0).blobs("") }))
	}
	for _, id := range []uint16{0, 3, 255, 257, 0x8001, 0xffff} {
		all = append(all, one(fmt.Sprintf("Start on target %d", id), "", func(seq uint32) raw { return rawStart(seq, id, 1, 0) }))
	}
	for _, job := range []uint64{0, 1, 2, 1 << 31, 1 << 32, 1 << 63, 1<<64 - 1} {
		all = append(all, one(fmt.Sprintf("Stop of job %d", job), "", func(seq uint32) raw { return rawStop(seq, job) }))
	}
	return all
}

// lengthCrimes: each length field, false in each way.
func lengthCrimes() []crime {
	fields := []struct {
		name   string
		head   func(seq uint32) raw
		most   uint32
		before bool
	}{
		{"the build of Hello", func(seq uint32) raw { return header(ipc.TypeHello, final, seq).u32(ipc.Version) }, 64, true},
		{"the paths of Stat", statHead, ipc.MaxRels, false},
		{"the paths of Watch", watchHead, ipc.MaxRels, false},
		{"a path of Stat", func(seq uint32) raw { return statHead(seq).u32(1) }, ipc.MaxRel, false},
		{"a path of Watch", func(seq uint32) raw { return watchHead(seq).u32(1) }, ipc.MaxRel, false},
	}
	var all []crime
	for _, f := range fields {
		for _, n := range []uint32{1, f.most, f.most + 1, 1 << 16, 1<<31 - 1, 1 << 31, 1<<31 + 1, 1<<32 - 1} {
			why := "cut short"
			if n > f.most {
				why = "too long"
			}
			c := one(fmt.Sprintf("%s: %d and no more", f.name, n), why, func(seq uint32) raw { return f.head(seq).u32(n) })
			c.early = f.before
			all = append(all, c)
		}
		// What is there, and one too many to be allowed: of paths too many for a packet as well.
		c := one(f.name+": one too many, all there", "too long", func(seq uint32) raw {
			return f.head(seq).u32(f.most + 1).u8(make(raw, (f.most+1)*4)...)
		})
		c.early = f.before
		all = append(all, c)
	}
	for _, n := range []uint32{ipc.MaxList + 1, 1 << 31, 1<<32 - 1} {
		all = append(all, one(fmt.Sprintf("a list of %d", n), "list too long", func(seq uint32) raw { return rawStart(seq, 1, 3, n) }))
	}
	for _, n := range []uint32{0, 2, ipc.MaxPacket, ipc.MaxPacket + 1, 1 << 31, 1<<32 - 1} {
		all = append(all, crime{name: fmt.Sprintf("Data of %d where there is 1", n), why: "request Data: ", packets: func(seq uint32) []raw {
			return []raw{rawStart(seq, 1, 3, 100), header(ipc.TypeData, final, seq+1).u32(n).u8('.')}
		}})
	}
	return append(all,
		crime{name: "more Data than was announced", why: "more than was announced", packets: func(seq uint32) []raw {
			return []raw{rawStart(seq, 1, 3, 4), rawData(seq+1, "./a\x00."), rawData(seq+2, "\x00")}
		}},
		crime{name: "more than was announced, later", why: "more than was announced", packets: func(seq uint32) []raw {
			return []raw{rawStart(seq, 1, 3, 4), rawData(seq+1, "./a"), rawData(seq+2, "\x00.\x00")}
		}})
}

// nameCrimes: what is no path below a root.
func nameCrimes() []crime {
	var all []crime
	for _, rel := range []string{".", "..", "/", "//", "/etc", "../outside", "a/..", "a/../b", "../..", "a/.", "./a", "a//b", "a/", "\x00", "a\x00", "\x00a", "dir/\x00/x", "swap/../../outside/secret",
		strings.Repeat("a", ipc.MaxRel+1), strings.Repeat("../", 300), strings.Repeat("a/", 2047) + "..", "dir/sub/../../../outside"} {
		for _, c := range []crime{one("Stat", "", func(seq uint32) raw { return rawStat(seq, rel) }), one("Watch", "", func(seq uint32) raw { return rawWatch(seq, rel) }),
			one("the last of Stat", "", func(seq uint32) raw { return rawStat(seq, "file", "dir", rel) })} {
			if c.name = fmt.Sprintf("%s of %.20q", c.name, rel); len(rel) <= ipc.MaxRel {
				c.why = "not a path below a root"
			}
			all = append(all, c)
		}
	}
	return all
}

// listCrimes: lists that a command must never see.
func listCrimes() []crime {
	var all []crime
	for _, c := range []struct {
		kind ipc.JobKind
		list string
	}{
		{ipc.JobList, "a\x00"}, {ipc.JobList, "./a"}, {ipc.JobList, "./../a\x00"}, {ipc.JobList, "./a/./b\x00"}, {ipc.JobList, "./a/../../b\x00"}, {ipc.JobWide, "./..\x00"},
		{ipc.JobList, "./\x00"}, {ipc.JobList, ".//etc\x00"}, {ipc.JobList, "/etc/shadow\x00"}, {ipc.JobList, "\x00"}, {ipc.JobList, "./a\x00\x00"}, {ipc.JobAttr, "#a\x00"}, {ipc.JobAttr, ";a\x00"},
		{ipc.JobList, "-e sh\x00"}, {ipc.JobList, "--rsh=sh\x00"}, {ipc.JobAttr, "\x1b[2J\x00"}, {ipc.JobWide, "\na\x00"}, {ipc.JobKnock, "\xff\x00"},
		{ipc.JobList, "./" + strings.Repeat("a", ipc.MaxRel+1) + "\x00"},
		{ipc.JobAttr, "- /a\x00"}, {ipc.JobInitial, "./a\x00"}, {ipc.JobInitial, ". /etc/shadow\x00"}, {ipc.JobInitial, ": /a\x00"}, {ipc.JobContent, "merge /etc/shadow\x00"},
		{ipc.JobInitial, "merge /etc/shadow\x00"}, {ipc.JobPrune, "+ ../a\x00"}, {ipc.JobPrune, "!\x00"}, {ipc.JobPrune, "- /a/../b\x00"}, {ipc.JobPrune, "-! /a\x00"}, {ipc.JobPrune, "- /\x00"}, {ipc.JobPrune, "- /a"},
	} {
		all = append(all, crime{name: fmt.Sprintf("list of kind %d: %.20q", c.kind, c.list), why: "not an entry of a list", packets: func(seq uint32) []raw {
			return []raw{rawStart(seq, 1, byte(c.kind), uint32(len(c.list))), rawData(seq+1, c.list)}
		}})
	}
	return all
}

// TestEachViolationEndsTheHelper: each on a fresh helper, which ends as is
// documented, says why in one line, has told no runner anything, and has taken
// nothing out of the root on the way.
func TestEachViolationEndsTheHelper(t *testing.T) {
	all := crimes()
	every := scaled(6, 1)
	from := int(seed(t) % uint64(every))
	s := newStage(t)
	tried := 0
	for i, c := range all {
		if i%every != from {
			continue
		}
		tried++
		t.Run(c.name, func(t *testing.T) { s.commit(t, c) })
	}
	t.Logf("%d of %d violations, each on a helper of its own: each ended it with %d, and by its own word", tried, len(all), exitViolation)
}

func (s *stage) commit(t *testing.T, c crime) {
	h := s.start(t, -1)
	seq := uint32(1)
	runner := h.runner(1)
	defer unix.Close(runner)
	if !c.early {
		h.hello()
		seq = 2
	}
	for _, pkt := range c.packets(seq) {
		h.send(pkt)
	}
	h.violated(c.why)
	if n, _, err := unix.Recvfrom(runner, make([]byte, 16), unix.MSG_DONTWAIT); !c.runs && (n > 0 || err == unix.EAGAIN) {
		t.Errorf("the runner was sent %d bytes (%v)", n, err)
	}
	h.noneWatched()
}

// TestStrayDescriptorsOnTheWire: descriptors, as many as the kernel passes on in a
// packet, end the helper, and none of them stays anywhere.
func TestStrayDescriptorsOnTheWire(t *testing.T) {
	s := newStage(t)
	for _, c := range []struct {
		n   int
		why string
	}{{1, "a descriptor where none belongs"}, {2, "2 descriptors in one packet"}, {10, "packet was cut"}, {253, "packet was cut"}} {
		t.Run(fmt.Sprint(c.n), func(t *testing.T) {
			h := s.start(t, -1)
			h.hello()
			rd, wr, err := os.Pipe()
			must(t, err)
			fds := make([]int, c.n)
			for i := range fds {
				fds[i] = int(wr.Fd())
			}
			must(t, unix.Sendmsg(h.worker, rawStat(2, "file"), unix.UnixRights(fds...), nil, 0))
			h.violated(c.why)
			must(t, wr.Close())
			if n, err := rd.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Errorf("somebody has the writing end yet: %d, %v", n, err)
			}
			must(t, rd.Close())
		})
	}
}

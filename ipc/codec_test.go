package ipc

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"lockstep/ipc/wire"
)

// kinds names every message's decoder, for tables and fuzz targets.
func kinds() map[string]func([]byte) (Message, error) {
	return map[string]func([]byte) (Message, error){
		"Hello":       dec[Hello],
		"HelloAnswer": dec[HelloAnswer],
		"Watch":       dec[Watch],
		"WatchAnswer": dec[WatchAnswer],
		"Stat":        dec[Stat],
		"StatAnswer":  dec[StatAnswer],
		"Start":       dec[Start],
		"StartAnswer": dec[StartAnswer],
		"Data":        dec[Data],
		"Stop":        dec[Stop],
		"StopAnswer":  dec[StopAnswer],
		"Drain":       dec[Drain],
		"DrainAnswer": dec[DrainAnswer],
		"Exited":      dec[Exited],
		"Shutdown":    dec[Shutdown],
		"RunStart":    dec[RunStart],
		"RunStop":     dec[RunStop],
		"CtlWorker":   dec[CtlWorker],
		"CtlRunner":   dec[CtlRunner],
		"CtlShutdown": dec[CtlShutdown],
	}
}

func dec[T any, P interface {
	*T
	Message
}](b []byte) (Message, error) {
	m, err := wire.Decode[T, P](b)
	return P(&m), err
}

func full() []Message {
	long := strings.Repeat("d/", 2047) + "xx"
	return []Message{
		&Hello{Version: 1, Build: strings.Repeat("b", 64)},
		&HelloAnswer{Roots: []Root{{1, "r"}, {2, ""}}, Targets: []Target{{3, 1, "t"}}, Config: []byte{0, 1}},
		&Watch{Root: 1, Watch: true, Rels: []string{"", "a", "a/b", long}},
		&Watch{Root: 0xffff, All: true},
		&WatchAnswer{Dirs: []Dir{
			{Index: 255, Status: StatusTimeout, WD: -1},
			{Index: 1, More: true, WD: 7, Ctime: 1 << 63, Entries: []Entry{
				{KindFile, 1, 2, 1 << 62, 1 << 61, 1 << 60, "name"}, {KindNone, 0, 0, 0, 0, 0, strings.Repeat("\xff", 255)}}},
		}},
		&Stat{Root: 2, Rels: []string{"x", ""}},
		&StatAnswer{Stats: []PathStat{{Status: 1023}, {OK, KindBlock, 3, 4, 5}}},
		&Start{Target: 1, Kind: JobAttr, Size: MaxList},
		&StartAnswer{Status: OK, Job: 1 << 40},
		&StartAnswer{Status: StatusGone},
		&Data{Bytes: bytes.Repeat([]byte{1}, MaxPacket-12)},
		&Stop{Job: 1}, &StopAnswer{Status: StatusGone},
		&Drain{}, &DrainAnswer{}, &Shutdown{}, &CtlShutdown{},
		&Exited{1, EndHeldMany, 255, 2, 3, 4, 5, 6, bytes.Repeat([]byte{0}, MaxTail)},
		&RunStart{Job: 1, Kind: JobInitial}, &RunStop{Job: 2},
		&CtlWorker{PID: 1, UID: 0}, &CtlRunner{Target: 4},
	}
}

func name(m Message) string { return strings.TrimPrefix(fmt.Sprintf("%T", m), "*ipc.") }

func TestRoundTrip(t *testing.T) {
	for _, m := range full() {
		pkt, err := Append([]byte("before"), 7, m)
		if err != nil {
			t.Fatalf("%s: %v", name(m), err)
		}
		h, payload, err := ParseHeader(pkt[len("before"):])
		if err != nil || h != (Header{m.Type(), true, 7}) {
			t.Fatalf("%s: %+v, %v", name(m), h, err)
		}
		decode := kinds()[name(m)]
		got, err := decode(payload)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Fatalf("%s: %+v, %v; want %+v", name(m), got, err, m)
		}
		// The result is the receiver's own.
		clear(pkt)
		if !reflect.DeepEqual(got, m) {
			t.Errorf("%s shares memory with its packet", name(m))
		}
	}
}

// TestEveryByteCounts: a packet that is shorter or longer by a byte is an error.
func TestEveryByteCounts(t *testing.T) {
	for _, m := range full() {
		pkt, err := Append(nil, 0, m)
		if err != nil {
			t.Fatal(err)
		}
		payload, decode := pkt[headerSize:], kinds()[name(m)]
		for n := range payload {
			if len(payload) > 500 && n%97 != 0 && n < len(payload)-1 {
				continue
			}
			if got, err := decode(payload[:n]); err == nil {
				t.Fatalf("%s of %d bytes: %d were enough: %+v", name(m), len(payload), n, got)
			}
		}
		if _, err := decode(append(bytes.Clone(payload), 0)); err == nil {
			t.Errorf("%s: a trailing byte was taken", name(m))
		}
	}
}

func TestRunEndIsExitedUnderAnotherType(t *testing.T) {
	pkt, err := Append(nil, 0, &RunEnd{Exited{Job: 5, End: EndExited, Code: 3}})
	if err != nil {
		t.Fatal(err)
	}
	h, payload, err := ParseHeader(pkt)
	if err != nil || h.Type != TypeRunExited {
		t.Fatal(h, err)
	}
	if x, err := wire.Decode[RunExited](payload); err != nil || x.Job != 5 || x.Code != 3 {
		t.Error(x, err)
	}
}

// TestRefused: what a decoder would refuse cannot be sent either.
func TestRefused(t *testing.T) {
	rels := make([]string, MaxRels+1)
	for _, m := range []Message{
		&Hello{Build: strings.Repeat("b", 65)},
		&HelloAnswer{Roots: []Root{{0, "r"}}},
		&HelloAnswer{Targets: []Target{{1, 0, "r"}}},
		&HelloAnswer{Roots: []Root{{1, strings.Repeat("n", 256)}}},
		&HelloAnswer{Config: make([]byte, MaxPacket)},
		&Watch{Root: 0}, &Watch{Root: 1, Rels: rels}, &Watch{Root: 1, Rels: []string{"/a"}},
		&Stat{Root: 0}, &Stat{Root: 1, Rels: rels}, &Stat{Root: 1, Rels: []string{"a", ".."}},
		&WatchAnswer{Dirs: []Dir{{Index: MaxRels}}},
		&WatchAnswer{Dirs: []Dir{{Status: StatusGone + 1}}},
		&WatchAnswer{Dirs: []Dir{{Entries: []Entry{{Name: ""}}}}},
		&WatchAnswer{Dirs: []Dir{{Entries: []Entry{{Name: "."}}}}},
		&WatchAnswer{Dirs: []Dir{{Entries: []Entry{{Name: ".."}}}}},
		&WatchAnswer{Dirs: []Dir{{Entries: []Entry{{Name: "a/b"}}}}},
		&WatchAnswer{Dirs: []Dir{{Entries: []Entry{{Name: "a\x00"}}}}},
		&WatchAnswer{Dirs: []Dir{{Entries: []Entry{{Name: strings.Repeat("n", 256)}}}}},
		&WatchAnswer{Dirs: []Dir{{Entries: []Entry{{Name: "a", Kind: KindBlock + 1}}}}},
		&StatAnswer{Stats: []PathStat{{Kind: KindBlock + 1}}},
		&StatAnswer{Stats: []PathStat{{Status: StatusGone + 1}}},
		&Start{Target: 0, Kind: JobList}, &Start{Target: 1}, &Start{Target: 1, Kind: NumJobKinds},
		&Start{Target: 1, Kind: JobList, Size: MaxList + 1},
		&StartAnswer{}, &StartAnswer{Status: StatusBusy, Job: 1},
		&Data{}, &Data{Bytes: make([]byte, MaxPacket)},
		&Stop{}, &RunStop{}, &RunStart{Kind: JobList}, &RunStart{Job: 1},
		&Exited{Job: 1}, &Exited{End: EndExited}, &Exited{Job: 1, End: EndHeldMany + 1},
		&Exited{Job: 1, End: EndExited, Tail: make([]byte, MaxTail+1)},
		&CtlWorker{}, &CtlRunner{},
	} {
		if pkt, err := Append(nil, 1, m); err == nil {
			t.Errorf("%s: %+v was sent as %d bytes", name(m), m, len(pkt))
		}
	}
}

func TestHeader(t *testing.T) {
	good, err := Append(nil, 9, &Drain{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{nil, good[:7], make([]byte, MaxPacket+1)} {
		if _, _, err := ParseHeader(b); err == nil {
			t.Errorf("a packet of %d bytes was taken", len(b))
		}
	}
	for flags := 2; flags < 1<<16; flags <<= 1 {
		b := bytes.Clone(good)
		b[2], b[3] = b[2]|byte(flags), byte(flags>>8)
		if _, _, err := ParseHeader(b); err == nil {
			t.Errorf("flags %#x were taken", flags)
		}
	}
	good[2] = 0
	if h, _, err := ParseHeader(good); err != nil || h.Final {
		t.Errorf("%+v %v", h, err)
	}
}

// TestFalseLengths: a length that the rest cannot hold is refused before
// anything is made of it.
func TestFalseLengths(t *testing.T) {
	b := []byte{1, 0, 0, 0, 255, 0, 0, 0}
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := wire.Decode[Watch](b); err == nil {
			t.Error("taken")
		}
	})
	if allocs > 10 {
		t.Errorf("%v allocations", allocs)
	}
}

func helperConfig() HelperConfig {
	return HelperConfig{
		Build:    "id",
		Roots:    []HelperRoot{{Root{1, "r"}, 9, true}, {Root: Root{2, "s"}, FD: 10}},
		Targets:  []Target{{1, 1, "t"}},
		Deadline: time.Second,
		Worker:   []byte{1, 2},
	}
}

func TestHelperConfig(t *testing.T) {
	h := helperConfig()
	b, err := wire.Append(nil, &h)
	if got, e := wire.Decode[HelperConfig](b); err != nil || e != nil || !reflect.DeepEqual(got, h) {
		t.Errorf("%v %v %+v", err, e, got)
	}
	if _, e := wire.Decode[HelperConfig](append(b, 0)); e == nil {
		t.Error("a trailing byte was taken")
	}
	h.Deadline = -1
	if _, err := wire.Append(nil, &h); err == nil {
		t.Error("a negative deadline was written")
	}
	for _, fd := range []int{-1, 2} {
		h = helperConfig()
		h.Roots[0].FD = fd
		if _, err := wire.Append(nil, &h); err == nil {
			t.Errorf("descriptor %d was donated", fd)
		}
	}
}

// TestDirPacker: whatever goes in comes out, in packets that are not too large.
func TestDirPacker(t *testing.T) {
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		want := make([]Dir, 1+rnd.IntN(MaxRels))
		for i := range want {
			want[i] = Dir{Index: uint16(i), WD: rnd.Int32(), Ctime: rnd.Uint64(), Status: Status(rnd.IntN(2))}
			n := rnd.IntN(4)
			if rnd.IntN(20) == 0 {
				n = rnd.IntN(3000)
			}
			for range n {
				name := bytes.Repeat([]byte{byte(1 + rnd.IntN(46))}, 1+rnd.IntN(255))
				want[i].Entries = append(want[i].Entries, Entry{Kind(rnd.IntN(8)), rnd.Uint32(), rnd.Uint64(), rnd.Uint64(), rnd.Uint64(), rnd.Uint64(), string(name) + ""})
			}
			for j := range want[i].Entries {
				if s := want[i].Entries[j].Name; strings.Trim(s, ".") == "" {
					want[i].Entries[j].Name = "x" + s[1:]
				}
			}
		}
		got, packets := pack(t, want, uint32(seed))
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: %d packets, not what went in", seed, packets)
		}
	}
}

func pack(t *testing.T, dirs []Dir, seq uint32) (got []Dir, packets int) {
	t.Helper()
	final := false
	p := DirPacker{Send: func(pkt []byte) error {
		packets++
		h, payload, err := ParseHeader(pkt)
		if err != nil || h.Type != TypeWatchAnswer || h.Seq != seq || final {
			t.Fatalf("%+v %v", h, err)
		}
		final = h.Final
		a, err := wire.Decode[WatchAnswer](payload)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range a.Dirs {
			if n := len(got); n > 0 && got[n-1].More {
				if got[n-1].Index != d.Index || got[n-1].WD != d.WD || got[n-1].Ctime != d.Ctime {
					t.Fatalf("a part of another directory: %+v", d)
				}
				d.Entries = append(got[n-1].Entries, d.Entries...)
				got = got[:n-1]
			}
			got = append(got, d)
		}
		return nil
	}}
	p.Reset(seq)
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range dirs {
		check(p.Open(d))
		for _, e := range d.Entries {
			check(p.Add(e, []byte(e.Name)))
		}
		p.Close(d.Status)
	}
	check(p.Finish())
	if !final {
		t.Fatal("no last packet")
	}
	return got, packets
}

func TestDirPackerDoesNotAllocate(t *testing.T) {
	p := DirPacker{Send: func([]byte) error { return nil }}
	name := []byte("some-file-name")
	p.Reset(1)
	allocs := testing.AllocsPerRun(10, func() {
		p.Reset(1)
		for i := range 200 {
			if p.Open(Dir{Index: uint16(i)}) != nil || p.Add(Entry{Kind: KindFile}, name) != nil {
				t.Fatal("not taken")
			}
			p.Close(OK)
		}
		if p.Finish() != nil {
			t.Fatal("not taken")
		}
	})
	if allocs > 0 {
		t.Errorf("%v allocations in 200 directories", allocs)
	}
}

//go:build unsplit

// Lockstep-decode measures the product's decoders of events, for bench/monitors,
// which shares no code with the product: how long they take for many events, and
// what they allocate. It is no part of the product, and built only with the tag
// unsplit.
//
// Trust: none is claimed; run by the benchmark, on directories of its own.
package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/monitor"
	"lockstep/worker/track"
)

// batch is how many events are caused before they are read: fewer than the
// kernel's queue holds.
const batch = 8000

// path is one way of events, from the kernel to an end.
type path struct {
	name  string
	about string
	make  func(dir string) (*run, error)
}

// run is a path that has been set up.
type run struct {
	cause func() error        // a batch of events
	read  func() (int, error) // all that was caused; how many events that was
	after func() error        // nil: nothing is to be put away after a batch
}

func paths() []path {
	return []path{
		{"inotify", "read(2) and monitor.Decode", inotifyDecoded},
		{"inotify-tracked", "the same, and the tree: each event becomes a marked path", inotifyTracked},
		{"fanotify", "read(2) and monitor.DecodeChanges", fanotifyDecoded},
		{"resolver-hot", "the resolver, its packets and monitor.DecodePaths, in one directory", resolvedHot},
		{"resolver-cold", "the same, each event in a directory of which nothing is known", resolvedCold},
		{"records", "recv(2) of the resolver's packets and monitor.DecodePaths", records},
	}
}

func main() {
	i := -1
	if len(os.Args) == 4 {
		i = slices.IndexFunc(paths(), func(p path) bool { return p.name == os.Args[1] })
	}
	if i < 0 {
		fmt.Fprintln(os.Stderr, "usage: lockstep-decode PATH DIR EVENTS, where PATH is one of:")
		for _, p := range paths() {
			fmt.Fprintf(os.Stderr, "  %-16s %s\n", p.name, p.about)
		}
		os.Exit(2)
	}
	if err := measure(paths()[i], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintf(os.Stderr, "lockstep-decode: %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

// measure prints "pumped EVENTS NSEC ALLOCATIONS": of the reading, without that
// of the causing. The first batches are for caches that fill.
func measure(p path, dir, count string) error {
	want, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	r, err := p.make(dir)
	if err != nil {
		return err
	}
	var events int
	var spent time.Duration
	var allocated uint64
	var before, after runtime.MemStats
	for warm := 3; events < want; warm-- {
		if err := r.cause(); err != nil {
			return err
		}
		runtime.ReadMemStats(&before)
		begin := time.Now()
		n, err := r.read()
		took := time.Since(begin)
		runtime.ReadMemStats(&after)
		if err == nil && r.after != nil {
			err = r.after()
		}
		if err != nil {
			return err
		}
		if warm <= 0 {
			events += n
			spent += took
			allocated += after.Mallocs - before.Mallocs
		}
	}
	fmt.Printf("pumped %d %d %d\n", events, spent.Nanoseconds(), allocated)
	return nil
}

// kernel is an inotify instance that watches one directory with two files.
type kernel struct {
	queue, wd int
	files     [2]int
	buf       []byte
}

func newKernel(dir string) (k *kernel, err error) {
	k = &kernel{buf: make([]byte, 1<<16)}
	if k.queue, err = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err != nil {
		return nil, err
	}
	for i, name := range []string{"/some-file-1", "/some-file-12"} {
		if k.files[i], err = unix.Open(dir+name, unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600); err != nil {
			return nil, err
		}
	}
	k.wd, err = unix.InotifyAddWatch(k.queue, dir, monitor.InotifyMask)
	return k, err
}

// cause changes the files in turn: the kernel merges equal neighbours.
func (k *kernel) cause() error {
	for i := range batch {
		if err := unix.Fchmod(k.files[i&1], 0o600); err != nil {
			return err
		}
	}
	return nil
}

// empty reads until the queue is empty.
func (k *kernel) empty(emit func(monitor.Event)) error {
	for {
		n, err := unix.Read(k.queue, k.buf)
		if err == unix.EAGAIN {
			return nil
		}
		if err != nil {
			return err
		}
		if err := monitor.Decode(k.buf[:n], emit); err != nil {
			return err
		}
	}
}

func inotifyDecoded(dir string) (*run, error) {
	k, err := newKernel(dir)
	if err != nil {
		return nil, err
	}
	var events, lost int
	emit := func(e monitor.Event) {
		events++
		if e.Mask.Has(monitor.Overflow) {
			lost++
		}
	}
	return &run{cause: k.cause, read: func() (int, error) {
		events = 0
		if err := k.empty(emit); err != nil || lost > 0 {
			return 0, fmt.Errorf("%d overflows, %v", lost, err)
		}
		return events, nil
	}}, nil
}

// marks counts what a tracker marks; of the rest it needs nothing.
type marks struct {
	track.Sink
	dirty int
	walks []track.Walk
}

func (m *marks) Dirty(string, track.Change, *track.Entry) { m.dirty++ }
func (m *marks) Seen(string, track.Entry, bool)           {}
func (m *marks) Walk(w track.Walk)                        { m.walks = append(m.walks, w) }

func inotifyTracked(dir string) (*run, error) {
	k, err := newKernel(dir)
	if err != nil {
		return nil, err
	}
	m := &marks{}
	t, now := track.New(track.Config{}, m), time.Now()
	t.Start(false, 0)
	for _, w := range m.walks {
		t.Listing(track.Listing{Serial: w.Serial, WD: int32(k.wd)}, now)
	}
	events := 0
	emit := func(e monitor.Event) {
		events++
		t.Event(e, now)
	}
	return &run{cause: k.cause, read: func() (int, error) {
		events, m.dirty = 0, 0
		err := k.empty(emit)
		if err == nil && m.dirty != events {
			err = fmt.Errorf("%d events, %d marks", events, m.dirty)
		}
		return events, err
	}}, nil
}

// records come through a socket as from the resolver.
func records(string) (*run, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	var packet []byte
	each := 0
	for len(packet) < 32<<10 {
		packet = monitor.AppendPath(packet, monitor.PathEvent{Root: 1, Mask: monitor.Attrib, PID: 1, Dir: []byte("some/directory"), Name: []byte("some-file-1")})
		each++
	}
	const packets = 4 // what the socket's buffer holds for certain
	buf, events := make([]byte, 1<<16), 0
	emit := func(monitor.PathEvent) { events++ }
	cause := func() error {
		for range packets {
			if _, err := unix.Write(fds[0], packet); err != nil {
				return err
			}
		}
		return nil
	}
	return &run{cause: cause, read: func() (int, error) {
		events = 0
		for range packets {
			n, err := unix.Read(fds[1], buf)
			if err != nil {
				return 0, err
			}
			if err := monitor.DecodePaths(buf[:n], emit); err != nil {
				return 0, err
			}
		}
		if events != packets*each {
			return 0, fmt.Errorf("%d events of %d", events, packets*each)
		}
		return events, nil
	}}, nil
}

package resolver

import (
	"fmt"
	"os"
	"testing"

	"lockstep/internal/testenv"
	"lockstep/monitor"
	"lockstep/resolver/outbox"

	"golang.org/x/sys/unix"
)

// BenchmarkResolve: records of a full read through decoder, cache and packets;
// hot: the places are known; cold: each is asked for.
func BenchmarkResolve(b *testing.B) {
	testenv.NeedRoot(b)
	base := b.TempDir()
	var buf []byte
	for i := range 500 {
		dir := fmt.Sprintf("%s/d%d/below", base, i)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, dir, 0)
		if err != nil {
			testenv.Lacks(b, err.Error())
		}
		handle := monitor.NewHandle(h.Type(), h.Bytes())
		buf = monitor.AppendChange(buf, monitor.Change{Mask: monitor.Modify, Dir: handle, Name: []byte("name.txt"), Target: handle})
	}
	root, err := unix.Open(base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		for _, fd := range []int{root, pair[0], pair[1]} {
			_ = unix.Close(fd)
		}
	}()
	places, err := newPlaces(root)
	if err != nil {
		b.Fatal(err)
	}
	r := &Resolver{places: places, box: outbox.New(pair[1], 1)}
	sink := make([]byte, 64<<10)
	for _, hot := range []bool{true, false} {
		b.Run(map[bool]string{true: "hot", false: "cold"}[hot], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !hot {
					r.places.forget()
				}
				if err := r.changes(buf); err != nil {
					b.Fatal(err)
				}
				if err := r.box.Flush(); err != nil || !r.box.Empty() {
					b.Fatal("held", err)
				}
				if _, err := unix.Read(pair[0], sink); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/event")
		})
	}
	_ = os.Chdir("/")
}

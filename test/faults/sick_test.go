//go:build faults

package faults

import (
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv/sickfs"
)

// disk is a source behind FUSE: what lockstep sees is at base/sick, what is compared is
// the directory behind it.
type disk struct {
	*sickfs.FS
	failed atomic.Int64 // requests that ended with an error, or wait
	free   sync.Once
	gate   chan struct{}
}

// sick has the source on a disk that can fail; there changes are found by comparing.
func onDisk(s *scene) {
	s.t.Helper()
	at := s.base + "/sick"
	must(s.t, os.Mkdir(at, 0o755))
	s.state = &disk{FS: sickfs.Mount(s.t, s.src, at), gate: make(chan struct{})}
	s.words = append(s.words, "--poll-every", "300ms", "--monitor", "poll", at, s.dst)
	s.src = at
}

func (s *scene) disk() *disk { return s.state.(*disk) }

// fails has requests about a path, and below it, end with an error.
func (s *scene) fails(rel string, err syscall.Errno, ops ...sickfs.Op) {
	d := s.disk()
	d.Set(func(op sickfs.Op, at string) syscall.Errno {
		for _, o := range ops {
			if op == o && (at == rel || strings.HasPrefix(at, rel+"/")) {
				d.failed.Add(1)
				return err
			}
		}
		return 0
	})
}

// hit waits until the kernel has had an error from the disk, or waits for it.
func (s *scene) hit(what string) string {
	s.t.Helper()
	s.until("request that "+what, func() bool { return s.disk().failed.Load() > 0 })
	return "a request " + what
}

func well(s *scene) {
	d := s.disk()
	d.Set(nil)
	d.free.Do(func() { close(d.gate) })
}

// sick: disks that answer with errors, or not at all.
func sick() []fault {
	return []fault{
		{name: "EIO when a file is read", prepare: onDisk, mend: well,
			happen: func(s *scene) string {
				s.fails("bad", syscall.EIO, sickfs.Read)
				s.put("bad", "unreadable")
				s.put("good", "x")
				s.hit("got EIO")
				shown := s.said(0, "partial", "input/output", "Input/output")
				s.arrives("good", "x")
				if s.there("bad") {
					s.t.Error("what could not be read is on the target")
				}
				return shown
			}},
		{name: "EIO when a directory is listed", prepare: onDisk, mend: well,
			happen: func(s *scene) string {
				s.fails("d02", syscall.EIO, sickfs.List, sickfs.Open)
				must(s.t, s.cmd.Process.Signal(unix.SIGUSR2)) // a whole pass, which deletes
				s.hit("got EIO")
				s.put("d00/good", "x")
				s.arrives("d00/good", "x")
				return "a request got EIO, with a whole pass asked for"
			}},
		{name: "EIO when entries are looked at", prepare: onDisk, mend: well,
			happen: func(s *scene) string {
				s.fails("d03", syscall.EIO, sickfs.Lookup, sickfs.Getattr)
				must(s.t, s.cmd.Process.Signal(unix.SIGUSR2))
				s.hit("got EIO")
				s.put("d00/good", "x")
				s.arrives("d00/good", "x")
				return "a request got EIO, with a whole pass asked for"
			}},
		{name: "a disk that hangs in a read", long: true, prepare: onDisk, mend: well,
			happen: func(s *scene) string {
				d := s.disk()
				d.Set(func(op sickfs.Op, rel string) syscall.Errno {
					if op == sickfs.Read && rel == "bad" {
						d.failed.Add(1)
						<-d.gate
					}
					return 0
				})
				s.put("bad", "late")
				shown := s.hit("is not answered")
				s.report() // who supervises does not wait
				return shown
			}},
		{name: "a disk that hangs altogether", prepare: onDisk, mend: well, long: true,
			happen: func(s *scene) string {
				d, at := s.disk(), s.Mark()
				d.Set(func(sickfs.Op, string) syscall.Errno {
					d.failed.Add(1)
					<-d.gate
					return 0
				})
				s.put("late", "x")
				s.hit("is not answered")
				return s.said(at, "does not answer", "did not answer")
			}},
	}
}

package privileged

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/sys"
	"lockstep/ipc"
)

// BenchmarkStat is the cost of one path in batches of MaxRels, with as many
// requests on their way as fit the sockets.
func BenchmarkStat(b *testing.B) {
	r := newRig(b)
	var rels []string
	must(b, os.MkdirAll(filepath.Join(r.dir, "some/where"), 0o700))
	for i := range ipc.MaxRels {
		rel := fmt.Sprintf("some/where/%d", i)
		must(b, os.WriteFile(filepath.Join(r.dir, rel), nil, 0o600))
		rels = append(rels, rel)
	}
	r.connect()
	r.hello()
	b.ReportAllocs()
	b.ResetTimer()
	under := 0
	for n := 0; n < b.N || under > 0; {
		for n < b.N && under < 4 {
			r.ask(&ipc.Stat{Root: theRoot, Rels: rels})
			n += len(rels)
			under++
		}
		r.next()
		under--
	}
}

const dirs = 20_000

func directories(b *testing.B, root string) []string {
	all := make([]string, dirs)
	for i := range all {
		all[i] = fmt.Sprintf("%d/%d", i/200, i%200)
		must(b, os.MkdirAll(filepath.Join(root, all[i]), 0o700))
		must(b, os.WriteFile(filepath.Join(root, all[i], "file"), nil, 0o600))
	}
	return all
}

// BenchmarkWatchDirect is the same as BenchmarkWatch without any boundary, by
// path, as an unsplit program does it.
func BenchmarkWatchDirect(b *testing.B) {
	root := b.TempDir()
	all := directories(b, root)
	inotify, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	must(b, err)
	defer closeFD(b, inotify)
	paths := make([][]byte, len(all))
	for i, rel := range all {
		paths[i] = append([]byte(filepath.Join(root, rel)), 0)
	}
	buf := make([]byte, 32<<10)
	var st unix.Statx_t
	fail := func(e unix.Errno) {
		if e != 0 {
			b.Fatal(e)
		}
	}
	b.ResetTimer()
	for n := range b.N {
		path := paths[n%dirs]
		_, e := sys.InotifyAddWatch(inotify, path, ipc.InotifyMask)
		fail(e)
		fd, e := sys.Openat2(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		fail(e)
		for {
			n, e := sys.Getdents(fd, buf)
			fail(e)
			if n == 0 {
				break
			}
			for name := range sys.Dirents(buf[:n]) {
				fail(sys.Statx(fd, name, unix.AT_SYMLINK_NOFOLLOW, wanted, &st))
			}
		}
		must(b, unix.Close(fd))
	}
}

// BenchmarkWatch is the cost of watching and listing one directory that holds
// one file, in batches.
func BenchmarkWatch(b *testing.B) {
	r := newRig(b)
	all := directories(b, r.dir)
	r.connect()
	r.hello()
	b.ReportAllocs()
	b.ResetTimer()
	under := 0
	for n := 0; n < b.N || under > 0; {
		for n < b.N && under < 4 {
			at := n % dirs / ipc.MaxRels * ipc.MaxRels
			rels := all[at:min(at+ipc.MaxRels, dirs)]
			r.ask(&ipc.Watch{Root: theRoot, Watch: true, All: true, Rels: rels})
			n += len(rels)
			under++
		}
		if r.next().Header.Final {
			under--
		}
	}
}

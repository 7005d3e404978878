// Package sickfs shows a directory by FUSE, read-only, as a disk that can be made to
// fail: by an error of any request, by one that is not answered, or as a whole.
//
// Trust: linked into tests only; it speaks the kernel's protocol by itself, of which
// it knows what reading needs.
//
// Invariant: whoever serves never waits for the mount itself, so that the process must
// not look at what is mounted: it has the directory behind.
package sickfs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Op is a request of the kernel's.
type Op uint32

// What a Rule may look at; the others are answered as they are.
const (
	Lookup  Op = 1
	Getattr Op = 3
	Open    Op = 14
	Read    Op = 15
	List    Op = 28
)

const (
	forget      Op = 2
	readlink    Op = 5
	statfs      Op = 17
	release     Op = 18
	listxattr   Op = 23
	getxattr    Op = 22
	flush       Op = 25
	initialise  Op = 26
	opendir     Op = 27
	releasedir  Op = 29
	access      Op = 34
	interrupt   Op = 36
	batchForget Op = 42

	headerIn, headerOut = 40, 16
	rootNode            = 1
)

// Rule says how a request about a path ends: 0, or an error. It may wait; others go on
// meanwhile.
type Rule func(op Op, rel string) syscall.Errno

// FS is a mount.
type FS struct {
	dir  string
	rule atomic.Pointer[Rule]
	stop chan struct{} // closed by Die
	wake int           // an eventfd that Die writes
	once sync.Once

	writing sync.Mutex // for who writes, and who closes
	fd      int        // guarded by writing; -1: dead

	mu    sync.Mutex
	paths map[uint64]string // guarded by mu; of a node, "" is the root
	nodes map[string]uint64 // guarded by mu
}

// Mount shows dir at a directory until the test's end.
func Mount(t testing.TB, dir, at string) *FS {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("/dev/fuse: %v", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	fs := &FS{dir: dir, fd: fd, wake: wake, stop: make(chan struct{}), paths: map[uint64]string{rootNode: ""}, nodes: map[string]uint64{"": rootNode}}
	data := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", fd)
	if err := unix.Mount("sickfs", at, "fuse", unix.MS_NOSUID|unix.MS_NODEV, data); err != nil {
		t.Fatalf("mount of FUSE: %v", err)
	}
	go fs.serve(fd)
	t.Cleanup(func() {
		fs.Set(nil)
		fs.Die()
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", at, err)
		}
	})
	return fs
}

// Set has requests end as a rule says; nil: all is well.
func (fs *FS) Set(rule Rule) {
	if rule == nil {
		fs.rule.Store(nil)
		return
	}
	fs.rule.Store(&rule)
}

// Die ends it as a server that crashes: whoever asks for anything gets ENOTCONN.
func (fs *FS) Die() {
	fs.once.Do(func() {
		select {
		case <-fs.stop: // it was unmounted
			return
		default:
		}
		_, _ = unix.Write(fs.wake, []byte{1, 1, 1, 1, 1, 1, 1, 0})
		<-fs.stop
	})
}

// serve takes requests until it is unmounted, or dies.
func (fs *FS) serve(fd int) {
	defer close(fs.stop)
	buf := make([]byte, 256<<10)
	for {
		both := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(fs.wake), Events: unix.POLLIN}}
		if _, err := unix.Poll(both, -1); err == unix.EINTR {
			continue
		}
		if both[1].Revents != 0 {
			break
		}
		n, err := unix.Read(fd, buf)
		if err == unix.EINTR || err == unix.ENOENT || err == unix.EAGAIN {
			continue
		}
		if err != nil || n < headerIn {
			break
		}
		go fs.answer(bytes.Clone(buf[:n]))
	}
	fs.writing.Lock()
	defer fs.writing.Unlock()
	fs.fd = -1
	_ = unix.Close(fd) // the last one: the kernel ends all that waits
	_ = unix.Close(fs.wake)
}

func (fs *FS) answer(msg []byte) {
	op := Op(binary.NativeEndian.Uint32(msg[4:]))
	unique := binary.NativeEndian.Uint64(msg[8:])
	node := binary.NativeEndian.Uint64(msg[16:])
	if op == forget || op == batchForget || op == interrupt {
		return
	}
	fs.mu.Lock()
	rel := fs.paths[node]
	fs.mu.Unlock()
	body, err := fs.do(op, rel, msg[headerIn:])
	out := make([]byte, headerOut, headerOut+len(body))
	if err != 0 {
		body = nil
	}
	binary.NativeEndian.PutUint32(out, uint32(headerOut+len(body)))
	binary.NativeEndian.PutUint32(out[4:], uint32(-int32(err)))
	binary.NativeEndian.PutUint64(out[8:], unique)
	fs.writing.Lock()
	defer fs.writing.Unlock()
	if fs.fd >= 0 {
		_, _ = unix.Write(fs.fd, append(out, body...)) // who asked may have gone
	}
}

// do does what one request asks for, unless the rule says otherwise.
func (fs *FS) do(op Op, rel string, in []byte) ([]byte, syscall.Errno) {
	if op == Lookup {
		rel = filepath.Join(rel, string(bytes.TrimRight(in, "\x00")))
	}
	if rule := fs.rule.Load(); rule != nil && op != initialise {
		if err := (*rule)(op, rel); err != 0 {
			return nil, err
		}
	}
	switch op {
	case initialise:
		const minor, most = 31, 64 << 10
		return words(7, minor, most, 0, 0, most, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0
	case Lookup:
		return fs.entry(rel)
	case Getattr:
		attr, err := fs.attr(rel)
		return append(make([]byte, 16), attr...), err
	case readlink:
		link, err := os.Readlink(fs.path(rel))
		return []byte(link), errno(err)
	case Open, opendir:
		return make([]byte, 16), 0
	case Read:
		return fs.read(rel, in)
	case List:
		return fs.list(rel, in)
	case statfs:
		return make([]byte, 80), 0
	case release, releasedir, flush, access:
		return nil, 0
	case getxattr, listxattr:
		return nil, syscall.ENOSYS
	}
	return nil, syscall.ENOSYS
}

func words(all ...uint32) []byte {
	var b []byte
	for _, w := range all {
		b = binary.NativeEndian.AppendUint32(b, w)
	}
	return b
}

func (fs *FS) path(rel string) string { return filepath.Join(fs.dir, rel) }

func errno(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	var e syscall.Errno
	if pe, ok := err.(*os.PathError); ok {
		e, _ = pe.Err.(syscall.Errno)
	}
	if e == 0 {
		e = syscall.EIO
	}
	return e
}

// attr is struct fuse_attr.
func (fs *FS) attr(rel string) ([]byte, syscall.Errno) {
	var st unix.Stat_t
	if err := unix.Lstat(fs.path(rel), &st); err != nil {
		return nil, err.(syscall.Errno)
	}
	var b []byte
	for _, v := range []uint64{st.Ino, uint64(st.Size), uint64(st.Blocks), uint64(st.Atim.Sec), uint64(st.Mtim.Sec), uint64(st.Ctim.Sec)} {
		b = binary.NativeEndian.AppendUint64(b, v)
	}
	return append(b, words(uint32(st.Atim.Nsec), uint32(st.Mtim.Nsec), uint32(st.Ctim.Nsec), st.Mode, uint32(st.Nlink), st.Uid, st.Gid,
		uint32(st.Rdev), uint32(st.Blksize), 0)...), 0
}

// entry is struct fuse_entry_out: nothing is kept by the kernel.
func (fs *FS) entry(rel string) ([]byte, syscall.Errno) {
	attr, err := fs.attr(rel)
	if err != 0 {
		return nil, err
	}
	fs.mu.Lock()
	node := fs.nodes[rel]
	if node == 0 {
		node = uint64(len(fs.nodes)) + rootNode
		fs.nodes[rel], fs.paths[node] = node, rel
	}
	fs.mu.Unlock()
	b := binary.NativeEndian.AppendUint64(nil, node)
	return append(append(b, make([]byte, 32)...), attr...), 0
}

func (fs *FS) read(rel string, in []byte) ([]byte, syscall.Errno) {
	f, err := os.Open(fs.path(rel))
	if err != nil {
		return nil, errno(err)
	}
	defer f.Close()
	b := make([]byte, binary.NativeEndian.Uint32(in[16:]))
	n, err := f.ReadAt(b, int64(binary.NativeEndian.Uint64(in[8:])))
	if err == io.EOF {
		err = nil
	}
	return b[:n], errno(err)
}

// list is struct fuse_dirent, of as many as there is room for.
func (fs *FS) list(rel string, in []byte) ([]byte, syscall.Errno) {
	offset, size := binary.NativeEndian.Uint64(in[8:]), int(binary.NativeEndian.Uint32(in[16:]))
	all, err := os.ReadDir(fs.path(rel))
	if err != nil {
		return nil, errno(err)
	}
	var out []byte
	for i, e := range all {
		if uint64(i) < offset {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // it has gone
		}
		st := info.Sys().(*syscall.Stat_t)
		b := binary.NativeEndian.AppendUint64(nil, st.Ino)
		b = binary.NativeEndian.AppendUint64(b, uint64(i+1))
		b = append(b, words(uint32(len(e.Name())), st.Mode>>12)...)
		b = append(b, e.Name()...)
		b = append(b, strings.Repeat("\x00", (8-len(b)%8)%8)...)
		if len(out)+len(b) > size {
			break
		}
		out = append(out, b...)
	}
	return out, 0
}

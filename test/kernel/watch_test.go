// Package kernel shows what this kernel tells of a change, and what not, through
// each of the interfaces that lockstep has a monitor for. docs/monitors.md has
// what it printed.
//
// Trust: tests only.
package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/monitor"
)

// own runs f on a thread with a mount namespace of its own, which ends with it:
// what is mounted there nobody else sees, and nothing is left. (Never the first
// thread: signals to that one are the process's.)
func own(t *testing.T, f func()) {
	t.Helper()
	testenv.NeedRoot(t)
	result := make(chan error, 1)
	var start func()
	start = func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			done := make(chan struct{})
			go func() { defer close(done); start() }()
			<-done
			runtime.UnlockOSThread()
			return
		}
		err := unix.Unshare(unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			defer func() {
				if r := recover(); r != nil {
					result <- fmt.Errorf("%v", r)
				}
			}()
			f()
		}
		result <- err
	}
	go start()
	if err := <-result; err != nil {
		t.Fatal(err)
	}
}

// check has a test thread of own end: t.Fatal belongs to the test's goroutine.
func check(errs ...error) {
	for _, err := range errs {
		if err != nil {
			panic(err)
		}
	}
}

// watcher is one interface, watching one directory.
type watcher interface {
	// seen is what it has told since the last call, "" for nothing. Only names
	// with the prefix count: a file system has other users.
	seen(prefix string) string
	close()
}

// words of what came, each once, sorted.
func words(all []string) string {
	slices.Sort(all)
	return strings.Join(slices.Compact(all), " ")
}

type inotify struct{ fd int }

func newInotify(dir string) watcher {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	check(err)
	_, err = unix.InotifyAddWatch(fd, dir, monitor.InotifyMask)
	check(err)
	return inotify{fd}
}

func (w inotify) seen(prefix string) string {
	var all []string
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(w.fd, buf)
		if err != nil {
			return words(all)
		}
		check(monitor.Decode(buf[:n], func(e monitor.Event) {
			if len(e.Name) == 0 || strings.HasPrefix(string(e.Name), prefix) {
				all = append(all, (e.Mask &^ monitor.IsDir).String())
			}
		}))
	}
}

func (w inotify) close() { check(unix.Close(w.fd)) }

// fanotify marks the whole file system of dir.
type fanotify struct{ fd int }

const fanotifyMask = unix.FAN_CREATE | unix.FAN_DELETE | unix.FAN_MOVED_FROM | unix.FAN_MOVED_TO | unix.FAN_ATTRIB |
	unix.FAN_CLOSE_WRITE | unix.FAN_MODIFY | unix.FAN_DELETE_SELF | unix.FAN_MOVE_SELF | unix.FAN_ONDIR

func newFanotify(dir string) watcher {
	const reportTarget = 0x1000
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK|
		unix.FAN_REPORT_DFID_NAME|unix.FAN_REPORT_FID|reportTarget, unix.O_RDONLY)
	check(err, unix.FanotifyMark(fd, unix.FAN_MARK_ADD|unix.FAN_MARK_FILESYSTEM, fanotifyMask, unix.AT_FDCWD, dir))
	return fanotify{fd}
}

func (w fanotify) seen(prefix string) string {
	var all []string
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(w.fd, buf)
		if err != nil {
			return words(all)
		}
		for b := buf[:n]; len(b) >= 24; {
			length := binary.NativeEndian.Uint32(b)
			mask := binary.NativeEndian.Uint64(b[8:])
			if name := fanotifyName(b[24:length]); strings.HasPrefix(name, prefix) {
				all = append(all, name+":"+(monitor.Op(mask)&^monitor.IsDir).String())
			} else if mask&unix.FAN_Q_OVERFLOW != 0 {
				all = append(all, "Q_OVERFLOW")
			}
			b = b[length:]
		}
	}
}

// fanotifyName is the name in the first record of a directory and a name.
func fanotifyName(info []byte) string {
	for len(info) >= 20 {
		kind, length := info[0], binary.NativeEndian.Uint16(info[2:])
		handle := binary.NativeEndian.Uint32(info[12:])
		if kind == unix.FAN_EVENT_INFO_TYPE_DFID_NAME {
			name, _, _ := bytes.Cut(info[20+handle:length], []byte{0})
			return string(name)
		}
		info = info[length:]
	}
	return "?"
}

func (w fanotify) close() { check(unix.Close(w.fd)) }

// dnotify counts signals of one directory, on the thread that it was made on.
type dnotify struct{ dir, signals int }

const (
	signal      = 41
	dnotifyMask = 0x02 | 0x04 | 0x08 | 0x10 | 0x20 | 0x80000000 // modify create delete rename attrib multishot
)

func newDnotify(dir string) watcher {
	set := &unix.Sigset_t{}
	set.Val[0] = 1<<(signal-1) | 1<<(unix.SIGIO-1)
	check(unix.PthreadSigmask(unix.SIG_BLOCK, set, nil))
	fd := dnotifyAdd(dir)
	s, err := unix.Signalfd(-1, set, unix.SFD_CLOEXEC|unix.SFD_NONBLOCK)
	check(err)
	return dnotify{fd, s}
}

func (w dnotify) seen(string) string {
	var all []string
	buf := make([]byte, 128*512)
	for {
		n, err := unix.Read(w.signals, buf)
		if err != nil {
			return words(all)
		}
		for b := buf[:n]; len(b) >= 128; b = b[128:] {
			if binary.NativeEndian.Uint32(b) == signal {
				all = append(all, "changed")
			} else {
				all = append(all, "SIGIO")
			}
		}
	}
}

func (w dnotify) close() { check(unix.Close(w.dir), unix.Close(w.signals)) }

// poll compares listings.
type poll struct {
	dir    string
	before map[string]unix.Stat_t
}

func newPoll(dir string) watcher { return &poll{dir, listing(dir)} }

func listing(dir string) map[string]unix.Stat_t {
	all := map[string]unix.Stat_t{}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	check(err)
	for _, e := range entries {
		var st unix.Stat_t
		check(unix.Lstat(dir+"/"+e.Name(), &st))
		all[e.Name()] = st
	}
	return all
}

func (w *poll) seen(string) string {
	now, differ := listing(w.dir), []string{}
	if now == nil {
		return "gone"
	}
	for name, st := range now {
		was, there := w.before[name]
		switch {
		case !there:
			differ = append(differ, "new")
		case was.Ino != st.Ino, was.Size != st.Size, was.Mtim != st.Mtim, was.Ctim != st.Ctim, was.Mode != st.Mode:
			differ = append(differ, "differs")
		}
	}
	for name := range w.before {
		if _, there := now[name]; !there {
			differ = append(differ, "gone")
		}
	}
	w.before = now
	return words(differ)
}

func (w *poll) close() {}

package dnotify

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"

	"golang.org/x/sys/unix"

	"lockstep/internal/sys"
	"lockstep/monitor"
)

// notifySignal is what the kernel sends for a change: of a real-time signal
// each one is queued, with its descriptor. 32 to 34 are the C library's.
const notifySignal = 40

// What a directory is watched for (linux/fcntl.h; x/sys lacks them): all but
// reading. Multishot: until the descriptor is closed, not once.
const (
	dnModify    = 0x02
	dnCreate    = 0x04
	dnDelete    = 0x08
	dnRename    = 0x10
	dnAttrib    = 0x20
	dnMultishot = 0x80000000

	notifyMask = dnModify | dnCreate | dnDelete | dnRename | dnAttrib | dnMultishot
)

// Where in struct signalfd_siginfo.
const (
	infoSize = 128
	atSigno  = 0
	atCode   = 8
	atFD     = 20

	infosPerRead = monitor.ReadSize / infoSize
)

// signals are the process's queued signals of dnotify. They are sent to one
// thread, and only that thread can read them.
type signals struct {
	fd  int
	buf []byte
	// reads is after how many reads everything has been seen that was queued
	// before the first: the queue holds no more than RLIMIT_SIGPENDING.
	reads int
}

func newSignals() (*signals, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_SIGPENDING, &limit); err != nil {
		return nil, fmt.Errorf("dnotify: the limit of queued signals: %w", err)
	}
	fd, err := unix.Signalfd(-1, signalSet(), unix.SFD_CLOEXEC|unix.SFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("dnotify: signalfd: %w", err)
	}
	return &signals{
		fd: fd, buf: make([]byte, infosPerRead*infoSize),
		reads: int(min(limit.Cur, math.MaxInt32)/infosPerRead) + 2,
	}, nil
}

func signalSet() *unix.Sigset_t {
	set := &unix.Sigset_t{}
	for _, s := range []int{notifySignal, int(unix.SIGIO)} {
		// A word has 64 bits on every platform that lockstep is built for.
		set.Val[0] |= 1 << (s - 1)
	}
	return set
}

// read empties the queue: touched is called with the descriptor of each signal.
// lost says that there were more than the kernel could queue.
func (s *signals) read(touched func(fd int)) (lost bool, err error) {
	for range s.reads {
		n, err := unix.Read(s.fd, s.buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return lost, nil
		case err != nil:
			return lost, fmt.Errorf("dnotify: reading signals: %w", err)
		}
		for info := s.buf[:n]; len(info) >= infoSize; info = info[infoSize:] {
			switch {
			case binary.NativeEndian.Uint32(info[atSigno:]) != notifySignal:
				lost = true // SIGIO takes the place of what does not fit
			case int32(binary.NativeEndian.Uint32(info[atCode:])) > 0: // the kernel's; a process can only send others
				touched(int(int32(binary.NativeEndian.Uint32(info[atFD:]))))
			}
		}
		if n < len(s.buf) {
			return lost, nil
		}
	}
	return lost, nil
}

// watch has changes in the open directory fd signalled to the thread tid.
func watch(fd, tid int) error {
	if e := sys.SetOwnerThread(fd, tid); e != 0 {
		return fmt.Errorf("F_SETOWN_EX: %w", e)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETSIG, notifySignal); err != nil {
		return fmt.Errorf("F_SETSIG: %w", err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_NOTIFY, notifyMask); err != nil {
		return fmt.Errorf("F_NOTIFY: %w", err)
	}
	return nil
}

// onOwnThread calls f on a thread that does nothing else, has the signals
// blocked, and ends with it. It is never the process's first one: a signal to
// that one is a signal to the process for parts of the kernel's interface.
func onOwnThread(f func(tid int) error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		tid := unix.Gettid()
		if tid == unix.Getpid() {
			// While this goroutine keeps it, no other one can get it.
			result <- onOwnThread(f)
			runtime.UnlockOSThread()
			return
		}
		if err := unix.PthreadSigmask(unix.SIG_BLOCK, signalSet(), nil); err != nil {
			result <- fmt.Errorf("dnotify: blocking signals: %w", err)
			return
		}
		result <- f(tid)
	}()
	return <-result
}

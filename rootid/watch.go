package rootid

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Watcher tells when the mount table of this process has changed.
type Watcher struct {
	// Changed has one value when there was a change since the last one was
	// taken. It is closed when the watcher ends; Err then says why.
	Changed <-chan struct{}

	wake *os.File
	done chan struct{}
	err  error
}

// Watch starts a watcher.
func Watch() (*Watcher, error) {
	// Not os.Open: the runtime's poller would take the file too, and the
	// kernel tells each change to the first of an open file's pollers only.
	mounts, err := unix.Open("/proc/self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("the mount table cannot be watched: %w", err)
	}
	efd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("eventfd: %w", err), unix.Close(mounts))
	}
	changed := make(chan struct{}, 1)
	w := &Watcher{Changed: changed, wake: os.NewFile(uintptr(efd), "wake"), done: make(chan struct{})}
	go w.loop(mounts, efd, changed)
	return w, nil
}

// loop polls. A change of the mount table shows as POLLPRI|POLLERR on an open
// mountinfo file, once for each time it is asked (proc_pid_mountinfo(5)); the
// runtime's poller cannot wait for that.
func (w *Watcher) loop(mounts, efd int, changed chan<- struct{}) {
	defer close(w.done)
	defer close(changed)
	defer func() { w.err = errors.Join(w.err, unix.Close(mounts)) }()
	fds := []unix.PollFd{
		{Fd: int32(mounts), Events: unix.POLLPRI},
		{Fd: int32(efd), Events: unix.POLLIN},
	}
	for {
		if _, err := unix.Poll(fds, -1); err != nil {
			if errors.Is(err, unix.EINTR) {
				continue
			}
			w.err = fmt.Errorf("waiting for the mount table: %w", err)
			return
		}
		if fds[1].Revents != 0 {
			return
		}
		if fds[0].Revents&(unix.POLLPRI|unix.POLLERR) == 0 {
			continue
		}
		select {
		case changed <- struct{}{}:
		default: // one is waiting already
		}
	}
}

// Close ends the watcher and returns what went wrong in it.
func (w *Watcher) Close() error {
	_, err := w.wake.Write(binary.NativeEndian.AppendUint64(nil, 1))
	if err == nil {
		<-w.done
	}
	return errors.Join(err, w.wake.Close(), w.Err())
}

// Err says why the watcher ended; to be asked after Changed was closed.
func (w *Watcher) Err() error {
	select {
	case <-w.done:
		return w.err
	default:
		return nil
	}
}

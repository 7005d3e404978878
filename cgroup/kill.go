package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// killTime bounds the wait for killed processes to be gone. One that hangs in
// the kernel (a dead network mount) cannot be waited for.
const killTime = 10 * time.Second

// Kill kills every process in the leaf and returns when it is empty. A process
// of Start that has not joined its groups yet is not in them: where it was not
// born into one, the caller kills that one itself, too.
func (l *Leaf) Kill() error {
	for i, path := range l.paths {
		var err error
		if i == 0 && l.unified {
			err = killV2(path, l.kills)
		} else {
			err = killV1(path)
		}
		if err != nil {
			return fmt.Errorf("kill control group %s: %w", path, err)
		}
	}
	return nil
}

// killV2 kills what is in the group at dir and below it. Without cgroup.kill
// processes are signalled one by one, again until none is left: they may fork.
func killV2(dir string, atOnce bool) error {
	events, err := os.Open(filepath.Join(dir, eventsFile))
	if err != nil {
		return err
	}
	defer events.Close()
	if atOnce {
		if err := writeFile(filepath.Join(dir, killFile), "1"); err != nil {
			return err
		}
		return waitEmpty(events, killTime)
	}
	for end := time.Now().Add(killTime); ; {
		err := signalTree(dir)
		if err != nil {
			return err
		}
		err = waitEmpty(events, 50*time.Millisecond)
		if err == nil || !errors.Is(err, errBusy) || time.Now().After(end) {
			return err
		}
	}
}

var errBusy = errors.New("processes are still there after SIGKILL")

// waitEmpty waits for "populated 0" in cgroup.events, whose change shows as
// POLLPRI (cgroups(7), "cgroup.events").
func waitEmpty(events *os.File, limit time.Duration) error {
	end := time.Now().Add(limit)
	buf := make([]byte, 256)
	for {
		n, err := unix.Pread(int(events.Fd()), buf, 0)
		if err != nil {
			return err
		}
		if bytes.Contains(buf[:n], []byte("populated 0\n")) {
			return nil
		}
		left := time.Until(end)
		if left <= 0 {
			return errBusy
		}
		fds := []unix.PollFd{{Fd: int32(events.Fd()), Events: unix.POLLPRI}}
		if _, err := unix.Poll(fds, int(left.Milliseconds())+1); err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// signalTree signals every process in the group at dir and below it.
func signalTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		procs, err := readProcs(path)
		for _, pid := range procs {
			fd, kerr := kill(path, pid)
			err = errors.Join(err, kerr)
			if fd >= 0 {
				err = errors.Join(err, unix.Close(fd))
			}
		}
		return err
	})
}

// killV1 kills what is in the v1 group at dir. v1 tells nothing when a group is
// empty, so each process's end is awaited.
func killV1(dir string) error {
	end := time.Now().Add(killTime)
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		procs, err := readProcs(dir)
		if err != nil || len(procs) == 0 {
			return err
		}
		if time.Now().After(end) {
			return errBusy
		}
		waited, err := killAll(dir, procs, end)
		if err != nil {
			return err
		}
		if !waited {
			// All have ended, but the kernel has yet to take one off the list:
			// of that there is no event.
			time.Sleep(wait)
		}
	}
}

// killAll signals procs and waits for their end; false when none of them was
// alive.
func killAll(dir string, procs []int, end time.Time) (waited bool, err error) {
	var fds []int
	defer func() {
		for _, fd := range fds {
			err = errors.Join(err, unix.Close(fd))
		}
	}()
	for _, pid := range procs {
		fd, err := kill(dir, pid)
		if err != nil {
			return false, err
		}
		if fd >= 0 {
			fds = append(fds, fd)
		}
	}
	for _, fd := range fds {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, 0)
		if n == 0 && err == nil {
			waited = true
			_, err = unix.Poll(poll, max(0, int(time.Until(end).Milliseconds())))
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return false, err
		}
	}
	return waited, nil
}

// kill signals a process of the group at dir and returns its pidfd, or -1 when
// it is gone. Between the listing and the signal the number may have passed to
// another process; once the pidfd is held that cannot happen, so the listing is
// read again under it.
func kill(dir string, pid int) (int, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return -1, nil
	}
	if err != nil {
		return -1, fmt.Errorf("process %d: pidfd_open: %w", pid, err)
	}
	procs, err := readProcs(dir)
	if err == nil && slices.Contains(procs, pid) {
		if err = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); errors.Is(err, unix.ESRCH) {
			err = nil
		}
		if err == nil {
			return fd, nil
		}
	}
	if err != nil {
		err = fmt.Errorf("process %d: %w", pid, err)
	}
	return -1, errors.Join(err, unix.Close(fd))
}

// readProcs lists the processes in the group at dir, itself only.
func readProcs(dir string) ([]int, error) {
	data, err := os.ReadFile(filepath.Join(dir, procsFile))
	if err != nil {
		return nil, err
	}
	var procs []int
	for line := range strings.Lines(string(data)) {
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil || pid < 1 {
			// 0 is a process of another pid namespace: it cannot be named here.
			return nil, fmt.Errorf("%s: process %q cannot be killed from here", dir, strings.TrimSpace(line))
		}
		procs = append(procs, pid)
	}
	return procs, nil
}

// Sweep kills and removes what an instance that was killed has left, in all
// hierarchies. The caller knows that the instance is not running.
func (h *Host) Sweep(instance string) error {
	if err := checkName(instance); err != nil {
		return err
	}
	for i, root := range h.roots() {
		dir := filepath.Join(root, top, instance)
		there, err := has(dir)
		if err != nil {
			return err
		}
		if !there {
			continue
		}
		if err := sweep(dir, i == 0 && h.v2 != nil); err != nil {
			return fmt.Errorf("sweep control group %s: %w", dir, err)
		}
		if err := removeTop(root); err != nil {
			return err
		}
	}
	return nil
}

// sweep kills and removes the group at dir and all below it.
func sweep(dir string, unified bool) error {
	if unified {
		atOnce, err := has(filepath.Join(dir, killFile))
		if err != nil {
			return err
		}
		if err := killV2(dir, atOnce); err != nil {
			return err
		}
	}
	var dirs []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		dirs = append(dirs, path)
		if unified {
			return nil
		}
		return killV1(path)
	})
	if err != nil {
		return err
	}
	slices.Reverse(dirs) // children first
	for _, d := range dirs {
		if err := removeEmpty(d); err != nil {
			return err
		}
	}
	return nil
}

package adversary

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/ipc"
)

// forgerArg makes this binary a process that has got the worker's socket, number 3,
// and says that what it sends is another's: of the process named.
const forgerArg = "adversary-forger"

func forger() {
	var pid, uid int
	var pkt []byte
	if _, err := fmt.Fscanf(os.Stdin, "%d %d %x", &pid, &uid, &pkt); err != nil {
		fmt.Println("input:", err)
		os.Exit(3)
	}
	var oob []byte
	if pid > 0 {
		oob = unix.UnixCredentials(&unix.Ucred{Pid: int32(pid), Uid: uint32(uid)})
	}
	fmt.Println(unix.Sendmsg(3, pkt, oob, nil, unix.MSG_NOSIGNAL))
	os.Exit(0)
}

// forge has another process, of a uid of its own or root's, send a packet as the
// worker's, and gives what became of that.
func (h *helper) forge(uid uint32, asPID int, asUID int, pkt []byte) string {
	h.t.Helper()
	cmd := exec.Command("/proc/self/exe", forgerArg)
	f := os.NewFile(uintptr(dup(h.t, h.worker)), "worker")
	defer f.Close()
	cmd.ExtraFiles = []*os.File{f}
	cmd.Stdin = bytes.NewReader(fmt.Appendf(nil, "%d %d %x", asPID, asUID, pkt))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid, NoSetGroups: true}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		h.t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestForgedSenders: who has got hold of the worker's socket and is not the worker is
// found out by the kernel's word, whoever it says it is; and no worker can lie to the
// kernel about itself.
func TestForgedSenders(t *testing.T) {
	const nobody = 64999
	s := newStage(t)
	pkt := rawStat(2, "file")
	for name, c := range map[string]struct {
		uid          uint32
		asPID, asUID int
	}{
		"itself, root":       {0, 0, 0},
		"itself, no root":    {nobody, 0, 0},
		"root as process 1":  {0, 1, 0},
		"root as the parent": {0, os.Getpid(), nobody},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := s.begun(t)
			if said := h.forge(c.uid, c.asPID, c.asUID, pkt); said != "<nil>" {
				t.Fatal(said)
			}
			h.violated("packet from another process")
		})
	}
	t.Run("no root as the worker", func(t *testing.T) {
		h, _ := s.begun(t)
		for _, as := range []int{os.Getpid(), 1} {
			if said := h.forge(nobody, as, 0, pkt); said != unix.EPERM.Error() {
				t.Errorf("the kernel takes the word of a worker that it is process %d: %s", as, said)
			}
		}
		h.answer(h.ask(&ipc.Stat{Root: theRoot, Rels: []string{"file"}}), ipc.TypeStatAnswer)
		h.stop()
	})
}

// limitedInotify is an inotify instance whose watches are limited: it belongs to a
// user namespace, which has a limit of its own (user_namespaces(7)).
func limitedInotify(t *testing.T, limit int) int {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", inotifyArg, fmt.Sprint(limit))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}}}
	ours, theirs := pair(t)
	defer unix.Close(ours)
	f := os.NewFile(uintptr(theirs), "result")
	defer f.Close()
	cmd.ExtraFiles = []*os.File{f}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("an inotify instance of another user namespace: %v: %s", err, out)
	}
	p, err := ipc.Receive(ours, make([]byte, ipc.MaxPacket))
	must(t, err)
	return p.FD
}

const inotifyArg = "adversary-inotify"

// giveInotify makes an inotify instance under a limit, and passes it on.
func giveInotify(limit string) {
	err := os.WriteFile(filepath.Join("/proc/sys/user", "max_inotify_watches"), []byte(limit), 0)
	fd := -1
	if err == nil {
		fd, err = unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	}
	if err == nil {
		err = unix.Sendmsg(3, rawDrain(0), unix.UnixRights(fd), nil, 0)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
	os.Exit(0)
}

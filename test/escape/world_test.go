//go:build escape

package escape

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/test/escape/redteam"
)

// newWorld is what there is to attack on the host: a process of root's, servers,
// shared memory and a message queue.
func newWorld(t *testing.T) redteam.World {
	t.Helper()
	name := fmt.Sprintf("lockstep-escape-%d", os.Getpid())
	w := redteam.World{Dir: "/", Abstract: name, Queue: name, Socket: filepath.Join(t.TempDir(), "socket")}
	w.Victim, w.Addr = aVictim(t)
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { tcp.Close() })
	w.Port = tcp.Addr().(*net.TCPAddr).Port
	for _, at := range []string{w.Socket, "@" + w.Abstract} {
		l, err := net.Listen("unix", at)
		must(t, err)
		t.Cleanup(func() { l.Close() })
	}
	datagrams, err := net.ListenPacket("unixgram", "@"+w.Abstract+"-datagrams")
	must(t, err)
	t.Cleanup(func() { datagrams.Close() })
	w.Segment, err = unix.SysvShmGet(unix.IPC_PRIVATE, 4096, unix.IPC_CREAT|0o600)
	must(t, err)
	t.Cleanup(func() {
		_, err := unix.SysvShmCtl(w.Segment, unix.IPC_RMID, nil)
		must(t, err)
	})
	aQueue(t, w.Queue)
	return w
}

// aVictim is a process of root's, and the address of a page of its stack.
func aVictim(t *testing.T) (pid int, addr uint64) {
	t.Helper()
	cmd := exec.Command("sleep", "100000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", cmd.Process.Pid))
	must(t, err)
	for line := range strings.Lines(string(maps)) {
		_, rest, found := strings.Cut(line, "-")
		if end, _, _ := strings.Cut(rest, " "); found && strings.Contains(line, "[stack]") {
			addr, err = strconv.ParseUint(end, 16, 64)
			must(t, err)
			return cmd.Process.Pid, addr - 4096
		}
	}
	t.Fatalf("the victim has no stack:\n%s", maps)
	return 0, 0
}

//go:build e2e

package e2e

import (
	"runtime"
	"syscall"
	"testing"
)

// forbiddenCall has a process make socket(2), as code of an attacker in it
// would: a debugger's hand sets the registers.
func forbiddenCall(t *testing.T, pid int) {
	t.Helper()
	runtime.LockOSThread() // a tracer is a thread
	defer runtime.UnlockOSThread()
	if err := syscall.PtraceAttach(pid); err != nil {
		t.Fatal(err)
	}
	// On to the next call: the one that was interrupted begins again, too. The
	// filter looks after the debugger (seccomp(2), since Linux 4.8).
	var ws syscall.WaitStatus
	for {
		if _, err := syscall.Wait4(pid, &ws, syscall.WALL, nil); err != nil {
			t.Fatal(err)
		}
		signal := ws.StopSignal()
		switch signal {
		case syscall.SIGTRAP:
			makeItSocket(t, pid)
			return
		case syscall.SIGSTOP: // from the attaching
			signal = 0
		}
		if err := syscall.PtraceSyscall(pid, int(signal)); err != nil {
			t.Fatal(err)
		}
	}
}

// makeItSocket exchanges the number of the call that a thread is about to make.
func makeItSocket(t *testing.T, pid int) {
	t.Helper()
	var regs syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(pid, &regs); err != nil {
		t.Fatal(err)
	}
	regs.Orig_rax = syscall.SYS_SOCKET
	if err := syscall.PtraceSetRegs(pid, &regs); err != nil {
		t.Fatal(err)
	}
	if err := syscall.PtraceDetach(pid); err != nil {
		t.Fatal(err)
	}
}

package redteam

import (
	"encoding/binary"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func victim() late { return func(e *Env) any { return e.Victim } }
func addr() late   { return func(e *Env) any { return e.Addr } }

// aPidfd is a descriptor of the victim.
func aPidfd() func(*Env) error { return prepared(opened(unix.SYS_PIDFD_OPEN, victim(), 0)) }

// others are ways to another process.
func others() []Act {
	local, remote := data(zeros(16), uint64(16)), data(addr(), uint64(16))
	return []Act{
		{Name: "trace", Check: 17, Call: "ptrace", Do: call(unix.SYS_PTRACE, unix.PTRACE_SEIZE, victim(), 0, 0)},
		{Name: "attach", Check: 17, Call: "ptrace", Do: call(unix.SYS_PTRACE, unix.PTRACE_ATTACH, victim(), 0, 0)},
		{Name: "read another's memory", Check: 17, Call: "process_vm_readv", Do: call(unix.SYS_PROCESS_VM_READV, victim(), local, 1, remote, 1, 0)},
		{Name: "write another's memory", Check: 17, Call: "process_vm_writev", Do: call(unix.SYS_PROCESS_VM_WRITEV, victim(), local, 1, remote, 1, 0)},
		{Name: "compare with another", Check: 17, Call: "kcmp", Do: compared},
		{Name: "get hold of another", Check: 17, Call: "pidfd_open", Do: call(unix.SYS_PIDFD_OPEN, victim(), 0)},
		{Name: "take another's descriptor", Check: 17, Call: "pidfd_getfd", Prepare: aPidfd(), Do: call(unix.SYS_PIDFD_GETFD, fd(), 0, 0)},
		{Name: "page another's memory out", Check: 17, Call: "process_madvise", Prepare: aPidfd(),
			Do: call(unix.SYS_PROCESS_MADVISE, fd(), data(addr(), uint64(pageSize)), 1, unix.MADV_PAGEOUT, 0)},
		{Name: "find another's locks", Check: 17, Call: "get_robust_list", Do: call(unix.SYS_GET_ROBUST_LIST, victim(), zeros(8), zeros(8))},
		{Name: "signal another", Check: 19, Call: "kill", Do: call(unix.SYS_KILL, victim(), int(unix.SIGCONT))},
		{Name: "signal everybody", Check: 19, Call: "kill", Prepare: bystander, Do: call(unix.SYS_KILL, -1, int(unix.SIGCONT)), Alone: true},
		{Name: "signal another's thread", Check: 19, Call: "tgkill", Do: call(unix.SYS_TGKILL, victim(), victim(), int(unix.SIGCONT))},
		{Name: "signal another's thread by tkill", Check: 19, Call: "tkill", Do: call(unix.SYS_TKILL, victim(), int(unix.SIGCONT))},
		{Name: "signal another with a value", Check: 19, Call: "rt_sigqueueinfo", Do: call(unix.SYS_RT_SIGQUEUEINFO, victim(), int(unix.SIGCONT), queued())},
		{Name: "signal another by its descriptor", Check: 19, Call: "pidfd_send_signal", Prepare: aPidfd(), Do: call(unix.SYS_PIDFD_SEND_SIGNAL, fd(), int(unix.SIGCONT), 0, 0)},
	}
}

// queued is a siginfo of SI_QUEUE.
func queued() late {
	return func(*Env) any {
		b := make([]byte, 128)
		binary.NativeEndian.PutUint32(b, uint32(unix.SIGCONT))
		binary.NativeEndian.PutUint32(b[8:], 0xffff_ffff)
		return b
	}
}

// bystander is a process to be signalled with the rest, beside process 1:
// the twin is alone otherwise.
func bystander(e *Env) error {
	if !e.Twin {
		return nil // there it is the host that is meant
	}
	pid, _, errno := syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		return named{errno}
	}
	if pid == 0 {
		for {
			syscall.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
		}
	}
	return nil
}

// compared asks whether another has the same memory: 1 or 2 is an answer as well.
func compared(e *Env) syscall.Errno {
	_, errno := e.call(unix.SYS_KCMP, unix.Getpid(), e.Victim, 1, 0, 0)
	return errno
}

// limits are ways to take more, or to change what others have.
func limits() []Act {
	return []Act{
		{Name: "bind another to a processor", Check: 20, Call: "sched_setaffinity", Do: call(unix.SYS_SCHED_SETAFFINITY, victim(), 8, data(uint64(3)))},
		{Name: "run before all others", Check: 20, Call: "sched_setscheduler", Do: call(unix.SYS_SCHED_SETSCHEDULER, 0, 1, data(uint32(1)))},
		{Name: "change another's priority", Check: 20, Call: "setpriority", Do: call(unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, victim(), 19)},
		{Name: "raise its own priority", Check: 20, Call: "setpriority", Do: call(unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, 0, -10)},
		{Name: "change another's disk priority", Check: 20, Call: "ioprio_set", Do: call(unix.SYS_IOPRIO_SET, 1, victim(), 2<<13|4)},
		{Name: "change another's limits", Check: 20, Call: "prlimit64", Do: call(unix.SYS_PRLIMIT64, victim(), unix.RLIMIT_CORE, zeros(16), 0)},
	}
}

// benign is what a Go program does all day: it has to live under the filter.
func benign(*Env) syscall.Errno {
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		done := make(chan []byte)
		for range 8 {
			go func() {
				time.Sleep(time.Millisecond)
				done <- make([]byte, 1<<20)
			}()
		}
		for range 8 {
			<-done
		}
		runtime.GC()
	}
	return 0
}

// hoard takes memory and uses it.
func hoard(mebibytes uint64) func(*Env) syscall.Errno {
	return func(*Env) syscall.Errno {
		var all [][]byte
		for range mebibytes {
			piece := make([]byte, 1<<20)
			for i := 0; i < len(piece); i += pageSize {
				piece[i] = 1
			}
			all = append(all, piece)
		}
		runtime.KeepAlive(all)
		return 0
	}
}

// crowd makes threads that stay.
func crowd(threads uint64) func(*Env) syscall.Errno {
	return func(*Env) syscall.Errno {
		there := make(chan bool)
		for range threads {
			go func() {
				runtime.LockOSThread()
				there <- true
				select {}
			}()
			<-there
		}
		return 0
	}
}

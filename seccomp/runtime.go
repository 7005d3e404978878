package seccomp

import "golang.org/x/sys/unix"

// Flags with which the runtime of a pure Go program makes a thread
// (runtime/os_linux.go, cloneFlags): VM, FS, FILES, SIGHAND, SYSVSEM, THREAD.
// On amd64, runtime·clone adds SETTLS (runtime/sys_linux_amd64.s); on arm64 it
// does not. Both read in and, on amd64, measured with Go 1.26. A cgo program
// has other flags, so none of the confined programs is one.
const (
	goCloneARM64 = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES |
		unix.CLONE_SIGHAND | unix.CLONE_SYSVSEM | unix.CLONE_THREAD
	goCloneAMD64 = goCloneARM64 | unix.CLONE_SETTLS
)

// goRuntime is what any running pure Go program needs: memory, threads,
// timers, preemption, and reading and writing what it holds. It has to be
// checked anew at each change of the toolchain.
//
// The conditions of start-up are part of it: GODEBUG=updatemaxprocs=0,
// containermaxprocs=0,decoratemappings=0 and TZ=UTC in the environment (else
// sched_getaffinity, pread64, prctl and openat are called), and the poller in
// being before the filter (else epoll_create1 and eventfd2 are). A thread ends only
// with a goroutine that is locked to it (runtime/proc.go, mexit): exit(2) is of the
// tables of those that have one.
func goRuntime() Set {
	const (
		private = 128            // FUTEX_PRIVATE_FLAG
		anon    = 0x22           // MAP_PRIVATE|MAP_ANONYMOUS
		fixed   = unix.MAP_FIXED //
		prot    = unix.PROT_READ | unix.PROT_WRITE
		noFD    = 0xffff_ffff // -1 as a C int
	)
	return Set{"go", []Call{
		{Name: "futex", If: when(eq(1, private)), Who: "threads wait (FUTEX_WAIT_PRIVATE)"},
		{Name: "futex", If: when(eq(1, private|1)), Who: "threads wake each other (FUTEX_WAKE_PRIVATE)"},
		{Name: "epoll_pwait", Who: "the poller waits; runtime/netpoll_epoll.go"},
		{Name: "nanosleep", Who: "usleep of sysmon and of spinning threads"},
		{Name: "sched_yield", Who: "osyield of spinning threads"},
		{Name: "read", Who: "reads a donated descriptor; the poller empties its eventfd"},
		{Name: "write", Who: "writes a donated descriptor; the poller is woken by its eventfd"},
		{Name: "mmap", If: when(only(2, prot), but(3, anon, fixed), eq(4, noFD)), Who: "heap and stacks: private, anonymous, never executable"},
		{Name: "munmap", Who: "old tables of the heap and the collector's queues (mheap.go allspans, mgcmark_greenteagc.go)"},
		{Name: "madvise", If: when(eq(2, unix.MADV_DONTNEED)), Who: "the scavenger returns memory"},
		{Name: "madvise", If: when(eq(2, unix.MADV_HUGEPAGE)), Fallback: true, Who: "metadata of a heap above 1 GiB"},
		{Name: "madvise", If: when(eq(2, unix.MADV_NOHUGEPAGE)), Fallback: true, Who: "the same, when the heap has shrunk"},
		{Name: "clone", Arch: AMD64, If: when(eq64(0, goCloneAMD64)), Who: "a new thread, and nothing but a thread"},
		{Name: "clone", Arch: ARM64, If: when(eq64(0, goCloneARM64)), Who: "a new thread, and nothing but a thread"},
		{Name: "gettid", Who: "a new thread learns its id (minit)"},
		{Name: "sigaltstack", Who: "a new thread's signal stack (minitSignalStack)"},
		{Name: "rt_sigprocmask", Who: "signals are blocked around the making of a thread"},
		{Name: "rt_sigreturn", Who: "the end of each signal handler, so of each preemption"},
		{Name: "getpid", Who: "preemption: the first argument of tgkill (signalM)"},
		{Name: "exit_group", Who: "the program ends"},
		{Name: "restart_syscall", Who: "the kernel goes on with a sleep after SIGSTOP and SIGCONT"},
		{Name: "clock_gettime", Fallback: true, Who: "the vDSO falls back to it when the clock source cannot be read in user space"},
	}}
}

package seccomp

import "golang.org/x/sys/unix"

// worker is what the event engine needs beyond the runtime. It reads events
// and messages and writes messages by plain read and write on what it holds.
func worker() Set {
	return Set{"worker", []Call{
		{Name: "tgkill", If: when(eq(0, 1), eq(2, uint32(unix.SIGURG))), Who: "preemption of its own threads; it is process 1 of its namespace"},
		{Name: "inotify_rm_watch", Who: "gives up the watch of a directory that has left the tree"},
	}}
}

// userWorker is the same where lockstep was not started as root.
func userWorker() Set {
	return Set{"worker", []Call{
		{Name: "tgkill", If: when(eq(2, uint32(unix.SIGURG))), Who: "preemption of its own threads; it has no namespace, so its process id is not known beforehand, and SIGURG does no harm (Landlock keeps it within the process)"},
		{Name: "inotify_rm_watch", Who: "gives up the watch of a directory that has left the tree"},
	}}
}

// Package dnotify watches trees by dnotify (F_NOTIFY of fcntl(2)): it holds one
// descriptor a directory, the kernel sends a signal that names the descriptor
// in which something changed, and the worker is told the directory's path.
//
// Trust: a mode of lockstep-resolver, which lists directories with names that
// anyone chose and reads no content; it believes the worker nothing but the
// number of a mark.
//
// Dnotify tells which directory changed, and neither what nor in which order.
// So nothing here follows events: a directory that was signalled is listed,
// and what the list says is made true (watches on new subdirectories, none on
// those that went, the same node under another name or parent where the inode
// is known). What keeps it right:
//
//   - A directory is watched first, listed second, reported third: what happens
//     in it afterwards signals again.
//   - A report is sent after the change that it is about, by the path that the
//     tree knows at that moment. When a directory is found in another place, it
//     is reported there again with all below it: what was reported by its old
//     path reached nobody.
//   - A directory that is gone from its place is kept until all that was
//     signalled up to then has been looked at: the other half of its rename.
//   - The kernel's queue of signals is bounded (RLIMIT_SIGPENDING). Beyond it
//     comes one SIGIO, and everything is in doubt.
//   - A held descriptor pins its inode, so that device and inode number name
//     one directory for as long as it has a node.
//
// Memory is bounded by the number of directories: each has one place in the
// queue of reports, however long the worker takes to read.
package dnotify

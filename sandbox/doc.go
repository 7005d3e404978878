// Package sandbox starts a program inside a jail of its own: Launcher, in the
// supervisor, clones the process; StageOne, in the clone, builds the jail and
// becomes the program.
//
// Trust: linked into the supervisor's program only; runs as root before the
// jail closes. Its input (Spec, descriptors) comes from the supervisor.
//
// Invariants: a step that fails ends the process, never continues (exit 71; 75
// when a bound directory is no longer the one that was meant). Nothing but the
// descriptors that are donated by name, and 0 to 2, reaches the program. The
// second stage (package lock) is the program's own first act.
//
// # Descriptors
//
// Stage one is started with its descriptors at the numbers at which the program
// will find them, so that nothing is ever moved over a descriptor that the Go
// runtime has made for itself (its epoll instance, say):
//
//	0        /dev/null
//	1, 2     the pipe for messages
//	3 …      the donations, in the order in which Start got them
//	…        one place for each of Spec.Opens (until then /dev/null)
//	…        stage one's own: self, image, spec, parent, join0, join1 …
//
// LOCKSTEP_FDS names all of them to stage one, and the donations and the Opens
// to the program.
package sandbox

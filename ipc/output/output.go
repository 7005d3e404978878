// Package output says what the worker of a watch writes to the pipe on which
// the supervisor reads lines for people and programs.
//
// Trust: linked into supervisor and worker. A line is the worker's claim, and
// hostile: the supervisor passes it on through a filter (console.Output).
//
// Invariant: a line is one Class byte, printable UTF-8, and a newline.
package output

// Class is the first byte of a line: what it is.
type Class byte

// The classes.
const (
	Ready Class = 'r' // nothing else: every directory is watched, what follows is complete
	Event Class = 'e' // a change
	List  Class = 'l' // a directory of the tree
	Done  Class = 'd' // the end of a list, with its length
	Trace Class = 't' // what the engine saw or did
)

// MaxLine is the longest line, its class and newline included: two paths of
// 4,095 bytes, each of which JSON may write as six.
const MaxLine = 64 << 10

// Package host loads a module and calls its functions: the one place where code
// of others runs in a process of lockstep's.
//
// Trust: linked into lockstep-plugin only, which runs as a command does, in a
// runner's jail. A module shares all of the process, so that nothing here is
// safe from it; what is checked keeps honest modules from harm: a child that
// returns in place of its parent, a process that is left behind.
//
// Invariants: a module's functions are called by one thread, one at a time; what
// a module is given as a string ends with a NUL and stays as long as the header
// promises (include/clsync/clsync.h); a child never speaks to the runner.
package host

// Package seccomp holds the system call filters of the confined programs as
// data, and compiles them with libseccomp into what stage two installs.
//
// Trust: linked into the supervisor only, which compiles before distrust
// begins; no confined program links it. Its input is its own tables.
// Imports: the standard library, libseccomp-golang and x/sys only.
//
// Invariants: a compiled filter checks the architecture first, then refuses the
// x32 numbers of amd64, then compares numbers and arguments; what a worker or
// helper calls beyond its table ends its process; one line of a table is one
// rule, and says who needs it and why.
package seccomp

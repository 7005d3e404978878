// Package sys wraps the system calls that x/sys lacks, or makes costly.
//
// Trust: linked into the helper and the others. It decides nothing: it passes
// arguments on and returns the kernel's answer.
//
// Invariant: the only home of unsafe, with stage one and Landlock, which only
// the supervisor links.
package sys

// Package escape is the escape suite: an attacker inside each of the real programs,
// in the real jail, tries one forbidden act after the other (package redteam).
//
// Each act is made three times: unconfined, where it has to succeed; confined as the
// product confines, where the filter has to end the process, and the kernel's record
// has to name the call; and with the filter alone left out, where something else has
// to refuse it. Where nothing else does, a line says why one layer is enough. What
// came of it is docs/security/escape-matrix.md.
//
// Trust: tests only; its runs take the tag escape, and root.
package escape

// Package faults makes the machine fail under a real lockstep: disks that are full,
// sick or hang, limits that are reached, processes that are killed or stand still, a
// connection that breaks. After each one lockstep has to be alive, the trees equal, and
// nothing lost; a table says what was done and what came of it. docs/security/faults.md
// says what else proves it.
//
// Trust: tests only; its runs take the tag faults, and root.
//
// Invariants: each fault shows that it has happened, in lockstep's own words or by what
// the kernel says; what was made before it stays on the target through it.
package faults

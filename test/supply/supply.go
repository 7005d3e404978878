// Package supply holds tests of what the programs are made of: the bill of
// materials, docs/dependencies.md, and that the same source gives the same
// programs.
//
// Trust: tests only.
package supply

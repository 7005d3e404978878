// Package exit has the exit codes, the contract with users, and the error that
// knows its own.
//
// Trust: linked into the supervisor; pure.
package exit

import "errors"

// The codes.
const (
	Done     = 0
	Failed   = 1
	Usage    = 2
	Internal = 70
	Locked   = 78
)

// Error is an error that knows the exit code it asks for.
type Error struct {
	Code int
	Err  error
}

func (e Error) Error() string { return e.Err.Error() }
func (e Error) Unwrap() error { return e.Err }

// Refuse is an error of the configuration or the machine.
func Refuse(err error) error { return Error{Usage, err} }

// Code of an error: of none it is Done, of one that knows none Failed.
func Code(err error) int {
	var known Error
	switch {
	case err == nil:
		return Done
	case errors.As(err, &known):
		return known.Code
	}
	return Failed
}

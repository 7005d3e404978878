// Package clock tells by the file system's times what has changed since a
// moment, and whether they can be trusted.
//
// Trust: part of the worker, untrusted. Pure: time is an argument.
//
// Invariant: what changes after a moment has a time of status change of Since
// that moment or later, unless the clock has Stepped.
package clock

import "time"

// slack is how far a file's time may lie before the moment of its change: the
// kernel stamps with the time of its last tick, some file systems in whole
// seconds; and the clock may be slewed (adjtime(3)).
const slack = 2 * time.Second

// Since is the least time, in whole seconds since 1970, that a change after
// that moment can have.
func Since(at time.Time) uint64 { return uint64(max(at.Add(-slack).Unix(), 1)) }

// Stepped says whether the clock was set between two readings of time.Now: then
// it went otherwise than the monotonic one, which also stands still while the
// machine sleeps.
func Stepped(from, to time.Time) bool {
	return apart(to.Round(0).Sub(from.Round(0)), to.Sub(from))
}

func apart(wall, monotonic time.Duration) bool { return (wall - monotonic).Abs() > slack/2 }

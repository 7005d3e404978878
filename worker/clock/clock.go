// Package clock tells by the file system's times what has changed since a
// moment, and whether they can be trusted.
//
// Trust: part of the worker, untrusted. Pure: time is an argument.
//
// Invariant: what changes after a moment has a time of status change of Late
// by Since that moment, unless the clock has Stepped.
package clock

import "time"

// slack is how far a file's time may lie before the moment of its change: the
// kernel stamps with the time of its last tick, 10 ms ago at most. What changed in
// it before the moment is taken to have changed after.
const slack = 200 * time.Millisecond

// Since is the least time, in nanoseconds since 1970, that a change after that
// moment can have, on a file system that keeps them.
func Since(at time.Time) uint64 { return uint64(max(at.Add(-slack).UnixNano(), 1)) }

// Heard is a moment up to which every change has been heard of; zero: there is none.
type Heard time.Time

// lag is how far a change may lie before the moment at which it is told: a write(2)
// sets the file's times, copies the data, and then the kernel tells (ADR 0021).
const lag = 10 * time.Second

// Since is the least time that a change not heard of by now can have, also when the
// clock was set back since; 0: there is no such moment.
func (h Heard) Since(now time.Time) uint64 {
	if at := time.Time(h); !at.IsZero() {
		return since(at, now, now.Sub(at))
	}
	return 0
}

// since is Heard.Since, so much later by the monotonic clock.
func since(at, now time.Time, elapsed time.Duration) uint64 {
	return min(Since(at.Add(-lag)), Since(now.Add(-elapsed-lag))) // by the clock as it is now
}

// Earlier is the earlier of two times of which 0 is none.
func Earlier(a, b uint64) uint64 {
	if a == 0 || b == 0 {
		return a | b
	}
	return min(a, b)
}

const second = uint64(time.Second)

// Late says whether a file's time is not before since. A time of whole seconds
// may have been cut to them: ext4 keeps no more in inodes of 128 bytes.
func Late(ctime, since uint64) bool {
	return ctime >= since || ctime%second == 0 && ctime >= Least(since)
}

// Least is the least time that is Late.
func Least(since uint64) uint64 { return since - since%second }

// Stepped says whether the clock was set between two readings of time.Now: then
// it went otherwise than the monotonic one, which also stands still while the
// machine sleeps.
func Stepped(from, to time.Time) bool {
	return apart(to.Round(0).Sub(from.Round(0)), to.Sub(from))
}

func apart(wall, monotonic time.Duration) bool { return (wall - monotonic).Abs() > slack/2 }

package walks

import "time"

// Join lets something begin beside a walk: not before the walk has lasted for a while,
// and not before all is answered that was asked for without regard to it. The zero
// value lets nothing begin.
type Join struct {
	at       time.Time
	asked    bool
	before   uint64 // the last listing that was asked for without regard
	answered uint64 // the last one of which (part of) the answer has come
}

// Start lets it begin at a time.
func (j *Join) Start(at time.Time) { j.at = at }

// Answered says that (part of) a listing has come. They come in their order.
func (j *Join) Answered(serial uint64) { j.answered = serial }

// Due says, once, that it begins now. regard is called when it is time: it has all
// that is asked for from then on pay regard, and returns the serial number of the last
// listing that does not; 0: all do.
func (j *Join) Due(now time.Time, regard func() uint64) bool {
	if j.at.IsZero() || now.Before(j.at) {
		return false
	}
	if !j.asked {
		j.asked, j.before = true, regard()
	}
	if j.before > 0 && j.answered <= j.before {
		return false
	}
	j.at = time.Time{}
	return true
}

// Next is when Due is to be asked, besides after each answer; zero: not.
func (j *Join) Next() time.Time {
	if j.asked {
		return time.Time{}
	}
	return j.at
}

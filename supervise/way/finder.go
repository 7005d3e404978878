package way

import (
	"time"

	"lockstep/supervise/jail"
)

// Finder looks for the way to one target, again when there is reason to doubt
// it. It is not safe for concurrent use.
type Finder struct {
	Now     *jail.Remote // the way that is in use
	Trouble string       // what kept the last look from finding one

	looking       bool
	asked, toldAt time.Time
}

const (
	askAgain  = 5 * time.Second // between two looks because of a doubt
	tellAgain = time.Minute     // between two words about the same trouble
)

// Ask has a look begun, one at a time. It does not wait: answer is called by
// another goroutine, and its caller hands what it got to Answered.
func (f *Finder) Ask(g Goal, answer func(jail.Remote, error)) {
	if f.looking {
		return
	}
	f.looking, f.asked = true, time.Now()
	go func() { answer(g.Find()) }()
}

// Doubt is Ask because commands fail: a name may have another address by now, a
// person may have mended a key.
func (f *Finder) Doubt(g Goal, answer func(jail.Remote, error)) {
	if time.Since(f.asked) > askAgain {
		f.Ask(g, answer)
	}
}

// Answered ends a look, and says whether a person is to be told of its error.
func (f *Finder) Answered(err error) (tell bool) {
	f.looking = false
	if err == nil {
		f.Trouble = ""
		return false
	}
	if err.Error() == f.Trouble && time.Since(f.toldAt) < tellAgain {
		return false
	}
	f.Trouble, f.toldAt = err.Error(), time.Now()
	return true
}

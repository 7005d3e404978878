package rootid

import (
	"errors"
	"time"
)

// Looker looks at roots that may be dead: it waits so long and no longer.
type Looker struct {
	looking <-chan looked // a look that has not come to an end
}

// looked is the answer of one look.
type looked struct {
	roots Roots
	err   error
}

// lookLimit bounds the wait for a file system that does not answer.
const lookLimit = 5 * time.Second

// errDead is a file system that does not answer.
var errDead = errors.New("source or target does not answer (is its server or disk gone?)")

// Look is the function Look within the limit. One look is under way at a time:
// what hangs in the kernel cannot be called back, and must not pile up. As long
// as it hangs, the answer comes at once. A Looker is for one pair of roots: it
// would answer for one what is true of another.
func (l *Looker) Look(source, target string, crossMounts bool) (Roots, error) {
	if l.looking != nil {
		select {
		case <-l.looking: // to an earlier question, and of no use now
		default:
			return Roots{}, errDead
		}
	}
	limit := time.NewTimer(lookLimit)
	defer limit.Stop()
	answer := make(chan looked, 1)
	go func() {
		r, err := Look(source, target, crossMounts)
		answer <- looked{r, err}
	}()
	select {
	case got := <-answer:
		l.looking = nil
		return got.roots, got.err
	case <-limit.C:
		l.looking = answer
		return Roots{}, errDead
	}
}

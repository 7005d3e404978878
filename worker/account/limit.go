package account

import (
	"fmt"
	"time"
)

// Limit is what is done about directories for which the kernel gives no watch.
type Limit struct {
	Every time.Duration                       // compare the tree so often; 0: never
	Text  func(unwatched, dirs uint64) string // what is told of them

	due    time.Time
	said   uint64 // the number last told; 0: that there are none is known
	saidAt time.Time
	untold bool // there is another number, and it is too soon to tell it
}

// sayEvery is how often their number is told at most: it changes with each
// directory that is made in a tree that is short of watches.
const sayEvery = time.Minute

// Step takes note of the directories without a watch; quiet: no more is being
// found out about them. It says whether to compare the tree, and what is to be
// told, if anything.
func (l *Limit) Step(unwatched, dirs uint64, quiet, walking bool, now time.Time) (compare bool, told string) {
	l.untold = false
	if unwatched == 0 {
		l.due, l.said = time.Time{}, 0
		return false, ""
	}
	if quiet && unwatched != l.said {
		if l.untold = !l.saidAt.IsZero() && now.Before(l.saidAt.Add(sayEvery)); !l.untold {
			l.said, l.saidAt = unwatched, now
			told = l.Text(unwatched, dirs)
		}
	}
	if l.Every <= 0 {
		return false, told
	}
	if compare = !l.due.IsZero() && !now.Before(l.due) && !walking; compare || l.due.IsZero() {
		l.due = now.Add(l.Every)
	}
	return compare, told
}

// Next is when Step is to be called; zero: at no certain time.
func (l *Limit) Next() time.Time {
	if say := l.saidAt.Add(sayEvery); l.untold && (l.due.IsZero() || say.Before(l.due)) {
		return say
	}
	return l.due
}

// WatchLimit is the text of a mirror: that directories have no watch, what becomes
// of them, and which sysctl to set to which number. The limit is one of all
// processes of a user (inotify(7)): what the others have is part of what it was
// when it was reached.
func WatchLimit(limit uint64, every time.Duration) func(unwatched, dirs uint64) string {
	const sysctl = "fs.inotify.max_user_watches"
	fate := fmt.Sprintf("they are compared every %v", every)
	if every <= 0 {
		fate = "CHANGES IN THEM ARE NOT SEEN until the next whole comparison, because unwatched_every is 0"
	}
	return func(unwatched, dirs uint64) string {
		number := fmt.Sprintf("%d (it was %d)", limit+unwatched, limit)
		if limit == 0 {
			number = fmt.Sprintf("%d more than now", unwatched)
		}
		return fmt.Sprintf("watch limit reached: %d of %d directories are not watched; %s. Set sysctl %s to at least %s, or monitor = \"fanotify\", which needs none (lockstep check says whether it works here)",
			unwatched, dirs, fate, sysctl, number)
	}
}

// NotTold is the same of a root of which nothing is copied: the tree is not compared,
// and so often a person is told to look.
func NotTold(every time.Duration) func(unwatched, dirs uint64) string {
	return func(unwatched, dirs uint64) string {
		return fmt.Sprintf("watch limit reached: of %d of %d directories no change is told; a rescan line comes every %v. "+
			"Set sysctl fs.inotify.max_user_watches to at least %d more than now, or try --monitor fanotify, which needs none", unwatched, dirs, every, unwatched)
	}
}

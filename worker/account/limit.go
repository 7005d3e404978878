package account

import (
	"fmt"
	"time"
)

// Limit is what is done about directories for which the kernel gives no watch.
// Its zero value does nothing but tell.
type Limit struct {
	Every time.Duration // compare the tree so often; 0: never
	Watch uint64        // the kernel's limit; 0: unknown

	due  time.Time
	said uint64
}

// Step takes note of the directories without a watch; quiet: no more is being
// found out about them. It says whether to compare the tree, and what is to be
// told, if anything.
func (l *Limit) Step(unwatched, dirs uint64, quiet, walking bool, now time.Time) (compare bool, told string) {
	if unwatched == 0 {
		l.due, l.said = time.Time{}, 0
		return false, ""
	}
	if quiet && unwatched != l.said {
		l.said = unwatched
		told = watchLimit(unwatched, dirs, l.Watch, l.Every)
	}
	if l.Every <= 0 {
		return false, told
	}
	if compare = !l.due.IsZero() && !now.Before(l.due) && !walking; compare || l.due.IsZero() {
		l.due = now.Add(l.Every)
	}
	return compare, told
}

// Next is when the tree is to be compared; zero: never.
func (l *Limit) Next() time.Time { return l.due }

// watchLimit says that directories have no watch, what becomes of them, and which
// sysctl to set to which number. The limit is one of all processes of a user
// (inotify(7)): what the others have is part of what it was when it was reached.
func watchLimit(unwatched, dirs, limit uint64, every time.Duration) string {
	const sysctl = "fs.inotify.max_user_watches"
	fate := fmt.Sprintf("they are compared every %v", every)
	if every <= 0 {
		fate = "CHANGES IN THEM ARE NOT SEEN until the next whole comparison, because unwatched_every is 0"
	}
	number := fmt.Sprintf("%d (it was %d)", limit+unwatched, limit)
	if limit == 0 {
		number = fmt.Sprintf("%d more than now", unwatched)
	}
	return fmt.Sprintf("watch limit reached: %d of %d directories are not watched; %s. Set sysctl %s to at least %s",
		unwatched, dirs, fate, sysctl, number)
}

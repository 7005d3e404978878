package tree

import "time"

// lateHalves is how much is remembered of what was given up.
const lateHalves = 256

// given is a subtree that was given up: how it can be known again.
type given struct {
	cookie uint32
	wd     int32
	away   bool // it has not come again
}

// limbo is a detached subtree that waits for the other half of its rename.
type limbo struct {
	slot   int32
	cookie uint32
	wd     int32 // when it was detached
	since  time.Time
}

// forget takes a slot off the list of those in limbo.
func (t *Tree) forget(slot int32) {
	for i := range t.limbo {
		if t.limbo[i].slot == slot {
			if i > 0 { // mostly it is the last one, or the first
				copy(t.limbo[i:], t.limbo[i+1:])
				t.limbo = t.limbo[:len(t.limbo)-1]
			} else {
				t.limbo = t.limbo[1:]
			}
			return
		}
	}
}

// Detach puts the node, with all below it, into limbo: it was moved away from
// its place, and the event with the same cookie will say where to. It returns
// false for the root and a stale ID.
func (t *Tree) Detach(id ID, cookie uint32, now time.Time) bool {
	slot := t.slot(id)
	if slot == nilSlot || slot == rootSlot {
		return false
	}
	t.unlink(slot)
	t.limbo = append(t.limbo, limbo{slot: slot, cookie: cookie, wd: t.at(slot).wd, since: now})
	return true
}

// InLimbo is the node that was detached with the cookie, or None. Of several
// (the kernel's counter wraps) it is the latest.
func (t *Tree) InLimbo(cookie uint32) ID {
	for i := len(t.limbo) - 1; i >= 0; i-- {
		if t.limbo[i].cookie == cookie {
			return t.id(t.limbo[i].slot)
		}
	}
	return None
}

// Claim is InLimbo for a rename's second half that has come.
func (t *Tree) Claim(cookie uint32) ID {
	id := t.InLimbo(cookie)
	if id == None {
		t.again(func(g given) bool { return g.cookie == cookie })
	}
	return id
}

// Returned counts subtrees that Expire has given up, and that were within the root
// all the time: Claim was asked for their cookie later, or SetWD told their
// descriptor. So much is known of the last 256.
func (t *Tree) Returned() int { return t.returned }

// again counts what was given up and has come again.
func (t *Tree) again(is func(given) bool) {
	for i := range min(t.givenUp, len(t.given)) {
		if g := &t.given[i]; g.away && is(*g) {
			g.away = false
			t.returned++
			return
		}
	}
}

// Attach gives the node that was detached with the cookie its new place. It
// returns None when there is none, or when Move would refuse.
func (t *Tree) Attach(cookie uint32, parent ID, name string) ID {
	id := t.InLimbo(cookie)
	if id == None || !t.Move(id, parent, name) {
		return None
	}
	return id
}

// Expire removes what has been in limbo for wait or longer, calling gone as
// Remove does, and returns how many subtrees that were, without those whose top
// has lost its watch meanwhile (it was found elsewhere, and has it there) or had
// none yet (nothing was known of it).
func (t *Tree) Expire(now time.Time, wait time.Duration, gone func(wd int32, mark uint16)) int {
	n, none := 0, t.watched == 0 // when events come by path, nobody has a watch
	for len(t.limbo) > 0 && now.Sub(t.limbo[0].since) >= wait {
		top := t.id(t.limbo[0].slot)
		if l := t.limbo[0]; t.WD(top) == l.wd && (l.wd >= 0 || none) {
			t.given[t.givenUp%len(t.given)] = given{l.cookie, l.wd, true}
			t.givenUp++
			n++
		}
		t.Remove(top, gone)
	}
	return n
}

// Patience is how long Expire is to wait, given for how long at rest. While walks
// are under way, one of them may find what is in limbo where it is (its second
// half may have been told of a directory that was in limbo itself, or not known
// yet): then it may take longer, unless too much is in limbo.
func (t *Tree) Patience(wait time.Duration, rest bool) time.Duration {
	const longer, most = 20, 1024
	if rest || len(t.limbo) > most {
		return wait
	}
	return longer * wait
}

// Oldest is when the first of those in limbo was detached.
func (t *Tree) Oldest() (since time.Time, any bool) {
	if len(t.limbo) == 0 {
		return time.Time{}, false
	}
	return t.limbo[0].since, true
}

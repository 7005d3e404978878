package tree

import "time"

// lateHalves is how many cookies are remembered of what was given up.
const lateHalves = 256

// limbo is a detached subtree that waits for the other half of its rename.
type limbo struct {
	slot   int32
	cookie uint32
	since  time.Time
}

// forget takes a slot off the list of those in limbo.
func (t *Tree) forget(slot int32) {
	for i := range t.limbo {
		if t.limbo[i].slot == slot {
			t.limbo = append(t.limbo[:i], t.limbo[i+1:]...)
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
	t.forget(slot)
	t.limbo = append(t.limbo, limbo{slot: slot, cookie: cookie, since: now})
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

// Claim is InLimbo for a rename's second half that has come. Of a subtree that
// Expire has given up before that, Returned keeps count: it was within the root
// all the time.
func (t *Tree) Claim(cookie uint32) ID {
	id := t.InLimbo(cookie)
	for i := range min(t.givenUp, len(t.given)) {
		if id == None && t.given[i] == cookie && cookie != 0 {
			t.given[i] = 0
			t.returned++
			break
		}
	}
	return id
}

// Returned counts what Claim has found given up, as far back as 256 cookies are.
func (t *Tree) Returned() int { return t.returned }

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
// Remove does, and returns how many subtrees that were.
func (t *Tree) Expire(now time.Time, wait time.Duration, gone func(wd int32, mark uint16)) int {
	n := 0
	for len(t.limbo) > 0 && now.Sub(t.limbo[0].since) >= wait {
		top := t.id(t.limbo[0].slot)
		t.given[t.givenUp%len(t.given)] = t.limbo[0].cookie
		t.givenUp++
		t.limbo = t.limbo[1:]
		t.Remove(top, gone)
		n++
	}
	return n
}

// Oldest is when the first of those in limbo was detached.
func (t *Tree) Oldest() (since time.Time, any bool) {
	if len(t.limbo) == 0 {
		return time.Time{}, false
	}
	return t.limbo[0].since, true
}

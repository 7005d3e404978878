package poll

import (
	"slices"
	"time"

	"lockstep/worker/listing"
)

// stall is what a Poller knows of a server that does not answer, or cannot just now.
// A refusal of that kind says nothing of the directory: its last listing stays, and
// the next one is compared with it. If all of a tree were forgotten instead, all of
// it would be sent again because of a minute's pause.
//
// But it was not looked at: what waits (Mark, Counters.Rounds) waits until it has
// been, and whoever says what is in step asks Stalled. Others are listed meanwhile,
// and what is refused may be another one each time: so not a round has to be without
// a refusal, but each directory has to be listed in one of several (full).
type stall struct {
	dirs   map[string]missed
	window uint64    // the first round of which not all has been listed since
	again  time.Time // without rounds: when they are asked for again
	unsaid time.Time // until then no other one is told
}

// missed is a directory that was refused so, and not listed since.
type missed struct {
	since time.Time
	round uint64    // the first round without it
	asked time.Time // when it was asked for in vain, last
}

const (
	// patience is how long a directory may be refused so before nothing is known of
	// it any more, as after any other refusal: one that can never be read must not
	// have all wait for it.
	patience = 10 * time.Minute
	// askAgain is the pause between two requests where there are no rounds.
	askAgain = 5 * time.Second
	sayEvery = time.Minute
)

// passing says whether a refusal tells of the server alone; the numbers are those of
// soft mounts.
func passing(status uint16) bool {
	switch status {
	case listing.EINTR, listing.EIO, listing.ETIMEDOUT, listing.EHOSTDOWN:
		return true
	}
	return status >= listing.Own
}

// putOff says whether a refusal is one after which the last listing is kept.
func (p *Poller) putOff(rel string, status uint16, asked time.Time, own bool) bool {
	if p.dirs[rel] == nil || !passing(status) || p.cfg.Own {
		return false
	}
	if !own {
		return true // who has asked for it knows, and asks again
	}
	m, known := p.stall.dirs[rel]
	if !known {
		m = missed{since: p.now, round: max(p.number, 1)}
	}
	if p.now.Sub(m.since) >= patience {
		return false
	}
	if m.asked = asked; p.stall.dirs == nil {
		p.stall.dirs = map[string]missed{}
	}
	p.stall.dirs[rel] = m
	if p.cfg.Every == 0 {
		p.stall.again = p.now.Add(askAgain)
	}
	if p.cfg.Say != nil && !p.now.Before(p.stall.unsaid) {
		p.stall.unsaid = p.now.Add(sayEvery)
		p.cfg.Say(rel, status)
	}
	return true
}

// answers: a directory was listed. Who asked for it before may not see what this
// one's last request was to find.
func (p *Poller) answers(rel string, asked time.Time) {
	if m, known := p.stall.dirs[rel]; known && !asked.Before(m.asked) {
		delete(p.stall.dirs, rel)
	}
}

// Stalled says whether there are directories that cannot be listed just now, and are
// asked for again.
func (p *Poller) Stalled() bool { return p != nil && len(p.stall.dirs) > 0 }

// askStalled asks again, without rounds.
func (p *Poller) askStalled() {
	if p.stall.again.IsZero() || p.now.Before(p.stall.again) {
		return
	}
	p.stall.again = time.Time{}
	before := len(p.asked)
	for rel := range p.stall.dirs {
		p.Add(rel)
	}
	slices.Sort(p.asked[before:])
}

// full is the last round in or after which each directory was listed, when a round
// has ended.
func (p *Poller) full() uint64 {
	full := p.number
	for _, m := range p.stall.dirs {
		full = min(full, m.round-1)
	}
	if full >= p.stall.window {
		p.count.Rounds++
		p.stall.window = p.number + 1
	}
	return full
}

// over says, at the end of a round, whether the mark has waited for long enough:
// until all was listed, until all was listed once more, and until all that was late
// by then was listed when it was no longer.
func (m *mark) over(p *Poller, full uint64) bool {
	if m.late.IsZero() {
		if full < m.round {
			return false
		}
		if !m.once {
			m.once, m.round = true, p.number+1
			return false
		}
		if p.late.IsZero() {
			return true
		}
		m.late, m.round = p.late, p.number
	}
	if p.began.Before(m.late) {
		m.round = p.number + 1
	}
	return full >= m.round
}

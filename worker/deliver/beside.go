package deliver

import "lockstep/ipc"

// BeginBeside begins the target's pass together with its walk, by the rules
// that are known before it. Walked must follow.
func (t *Target) BeginBeside(rules []byte) {
	t.StartPass(rules, false)
	t.lanes[laneNormal].beside = true
}

// Skip has changes follow without a first pass, as if one had ended here.
func (t *Target) Skip() {
	t.live, t.fullAt = true, t.host.FullSync(t)
	t.host.PassBegins()
	t.host.PassEnded(t)
}

// Walked says that the walk of a pass that began beside it has ended. again:
// the pass must be made by these rules, because it has copied or deleted what
// they do not allow, or has not seen all that it should.
func (t *Target) Walked(rules []byte, over, again bool) {
	k := t.lanes[laneNormal]
	if k == nil || !k.beside {
		return // it has failed already
	}
	k.beside = false
	switch {
	case again:
		k.afresh = func() { t.StartPass(rules, over) }
		if k.ended {
			k.repeat()
		} else if k.phase == phaseRunning {
			k.stop()
		}
	case k.ended:
		k.passEnded(k.verdict)
	}
}

// repeat follows the end of a pass that is to be made again: how it ended means
// nothing.
func (k *Task) repeat() {
	k.leave()
	if k.t.host.Draining() {
		k.t.endPass(false)
		return
	}
	k.afresh()
}

// stop ends the task's job; Exited follows, as it does if it has ended by itself.
func (k *Task) stop() {
	k.t.host.Ask(&ipc.Stop{Job: k.job}, nil, func(ipc.Message, bool) error { return nil })
}

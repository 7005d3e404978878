package watch

import (
	"fmt"
	"strconv"
	"time"

	"lockstep/ipc"
	"lockstep/ipc/output"
	"lockstep/worker/deliver"
	"lockstep/worker/listing"
	"lockstep/worker/tell"
	"lockstep/worker/tree"
)

// outputEvery is how often a full output is looked at.
const outputEvery = 5 * time.Millisecond

// put writes a line, or begins to drop lines.
func (r *Root) put(class output.Class, text func([]byte) []byte) bool {
	if r.drops {
		return false
	}
	r.line = append(r.line[:0], byte(class))
	if text != nil {
		r.line = text(r.line)
	}
	r.line = append(r.line, '\n')
	if len(r.line) > output.MaxLine || !r.out.Put(r.line) {
		r.drops = true
	}
	return !r.drops
}

// write writes an event.
func (r *Root) write(e *tell.Event) {
	r.put(output.Event, func(b []byte) []byte { return e.AppendLine(b, r.cfg.JSON) })
}

// stepOutput writes the list that was asked for; and when lines had to be
// dropped and the reader has caught up, it says so.
func (r *Root) stepOutput() {
	if r.drops && r.out.Calm() {
		r.drops = false
		for _, o := range []tell.Op{tell.Overflow, tell.Rescan} {
			r.write(&tell.Event{Op: o, Kind: listing.KindDir, Cause: "the reader of these lines was too slow", At: r.host.Now()})
		}
		r.rescans++
	}
	if r.lists && r.ready && (r.track.Complete() || r.arrivals == nil) {
		r.lists = false
		t := r.track.Tree()
		t.Walk(t.Root(), func(id tree.ID) { r.list = append(r.list, id) })
	}
	for len(r.list) > 0 && r.out.Calm() {
		rel, attached := r.track.Tree().Path(r.list[0])
		r.list = r.list[1:]
		if attached {
			r.listed++
			r.put(output.List, func(b []byte) []byte { return append(b, tell.Show(rel)...) })
		}
		if len(r.list) == 0 {
			r.list = nil
			r.put(output.Done, func(b []byte) []byte { return strconv.AppendInt(b, int64(r.listed), 10) })
		}
	}
}

// tracef tells what the engine does, when a person has asked for it.
func (r *Root) tracef(format string, args ...any) {
	if r.trace {
		r.put(output.Trace, func(b []byte) []byte { return fmt.Appendf(b, format, args...) })
	}
}

// stepTypes lets events go, and asks for the types of those that wait.
func (r *Root) stepTypes() {
	r.types.Release(r.write)
	rels, events := r.types.Batch()
	if len(rels) == 0 {
		return
	}
	rels = rels[:deliver.FitRels(rels)]
	r.host.Ask(&ipc.Stat{Root: r.cfg.Root, Rels: rels}, func(m ipc.Message, _ bool) error {
		a, err := deliver.Answer[ipc.StatAnswer](m)
		if err != nil {
			return err
		}
		kinds := make(map[string]uint8, len(rels))
		for i, s := range a.Stats[:min(len(rels), len(a.Stats))] {
			kinds[rels[i]] = uint8(s.Kind)
		}
		r.host.Barrier(func() { r.types.Resolve(events, kinds) })
		return nil
	})
}

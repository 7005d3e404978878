package generation

import (
	"errors"
	"os"

	"lockstep/ipc"
	"lockstep/supervise/proc"
)

// Place hands the helper its end of the socket of a target's runner before
// there is one: what is sent to it waits there, until Runner starts it or Leave
// says that it will not come.
func (g *Generation) Place(id ipc.TargetID) error {
	if g.places[id] != nil {
		return nil
	}
	conn, theirs, err := proc.Pair("runner")
	if err != nil {
		return err
	}
	err = proc.Plain(conn)
	if err == nil {
		err = g.send(&ipc.CtlRunner{Target: id}, conn)
	}
	if err = errors.Join(err, conn.Close()); err != nil {
		return errors.Join(err, theirs.Close())
	}
	if g.places == nil {
		g.places = map[ipc.TargetID]*os.File{}
	}
	g.places[id] = theirs
	return nil
}

// Leave gives a place up, if there is one (and a generation): to the helper it is
// a runner that has gone.
func (g *Generation) Leave(id ipc.TargetID) error {
	if g == nil || g.places[id] == nil {
		return nil
	}
	place := g.places[id]
	delete(g.places, id)
	return place.Close()
}

package runner

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"lockstep/ipc"
	"lockstep/runner/cut"
	"lockstep/runner/fold"
	"lockstep/runner/pipes"
)

// part is one of several commands of a job that run side by side, each with a
// share of the list.
type part struct {
	command *child
	list    []byte
	inlet   *os.File // the writing end of its stdin
}

// wide runs the command of a list whose entries are independent of each other:
// as several, where it can be divided. rsync does one thing at a time, so that
// two use two processors.
func (j *job) wide(argv []string, show bool) ipc.RunExited {
	if err := j.rewind(); err != nil {
		return refused(j.id, err)
	}
	list, err := io.ReadAll(j.list)
	if err != nil {
		return refused(j.id, fmt.Errorf("read the list: %w", err))
	}
	lists := cut.List(list, int(j.r.cfg.Split))
	folded, err := j.fold(lists)
	if err != nil {
		return refused(j.id, err)
	}
	if len(lists) < 2 && !folded {
		return j.command(argv, show)
	}
	var parts []*part
	for _, l := range lists {
		p, err := j.beginPart(argv, show, l)
		if err != nil {
			// The others have read nothing yet, and so have done nothing.
			for _, p := range parts {
				err = errors.Join(err, j.kill(p.command), p.inlet.Close())
			}
			return refused(j.id, err)
		}
		parts = append(parts, p)
	}
	ends := make([]ipc.RunExited, len(parts))
	var wg sync.WaitGroup
	for i, p := range parts {
		wg.Go(func() { ends[i] = j.endPart(p) })
	}
	wg.Wait()
	return cut.Merge(ends)
}

// fold shortens lists, where nothing of the source is left out, and says whether
// any is shorter.
func (j *job) fold(lists [][]byte) (folded bool, err error) {
	if !j.r.cfg.Fold {
		return false, nil
	}
	tree, err := fold.Open(j.r.cfg.Source)
	if err != nil {
		return false, err
	}
	for i, l := range lists {
		lists[i] = tree.List(l)
		folded = folded || len(lists[i]) < len(l)
	}
	return folded, tree.Close()
}

// beginPart starts a command that waits for its list. That comes through a
// pipe: a part of a memfd cannot be handed over, and memfd_create(2) is denied to
// what shares its filter with rsync (docs/adr/0004).
func (j *job) beginPart(argv []string, show bool, list []byte) (*part, error) {
	ours, stdin, err := pipes.Inlet()
	if err != nil {
		return nil, err
	}
	c, err := j.begin(argv, show, stdin)
	if closed := syscall.Close(stdin); err == nil && closed != nil {
		err = errors.Join(closed, j.kill(c))
	}
	if err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	return &part{command: c, list: list, inlet: ours}, nil
}

// endPart hands the list over and waits for the end.
func (j *job) endPart(p *part) ipc.RunExited {
	fed := make(chan error, 1)
	go func() {
		fed <- cut.Feed(p.inlet, p.list)
		_ = p.inlet.Close() // the end of the list
	}()
	out := j.await(p.command)
	// What left the command's group may hold the other end; nobody waits for it.
	_ = p.inlet.Close()
	if err := <-fed; err != nil && out.End == ipc.EndExited && out.Code == 0 {
		return refused(j.id, fmt.Errorf("the command ended before it had its list: %w", err))
	}
	return out
}

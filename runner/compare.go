package runner

import (
	"fmt"
	"io"

	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/runner/narrow"
	"lockstep/runner/same"
	"lockstep/runner/survey"
)

// newCrew makes what compares the trees of a local target; nil: nothing does. It must
// be called before the filter is entered.
func (r *Runner) newCrew() *same.Crew {
	if r.cfg.Compare == settings.CompareNone || r.cfg.Target == "" || len(r.cfg.Probe) == 0 {
		return nil
	}
	c, err := same.NewCrew(survey.MaxWalkers)
	if err != nil {
		r.logf("<4>source and target will not be compared before a whole pass: %v", err)
		return nil
	}
	return c
}

// compare has a survey compare, where the runner can.
func (r *Runner) compare() *survey.Compare {
	if r.crew == nil {
		return nil
	}
	attrs := map[settings.Compare]same.Attrs{
		settings.CompareStat: same.AttrsNone, settings.CompareUser: same.AttrsUser, settings.CompareAll: same.AttrsAll}
	return &survey.Compare{Crew: r.crew, Attrs: attrs[r.cfg.Compare], Found: &narrow.Set{}}
}

// pass runs the command of a whole pass: not at all where the trees are the
// same, and where they differ little only there.
func (j *job) pass(argv []string, g guard) ipc.RunExited {
	show := j.r.cfg.ShowOutput
	if g.found == nil {
		return j.command(argv, show)
	}
	if g.found.Empty() {
		j.r.logf("<6>source and target were compared: %d directories and what is in them, nothing differs", g.alike)
		return ipc.RunExited{End: ipc.EndExited}
	}
	rules := g.found.Rules(g.alike)
	if len(rules) == 0 {
		return j.command(argv, show)
	}
	if err := j.rewind(); err != nil {
		return refused(j.id, err)
	}
	list, err := io.ReadAll(j.list)
	if err != nil {
		return refused(j.id, fmt.Errorf("read the rules: %w", err))
	}
	if n := len(list); n > 0 && list[n-1] != 0 {
		list = append(list, 0)
	}
	p, err := j.beginPart(argv, show, append(list, rules...))
	if err != nil {
		return refused(j.id, err)
	}
	j.r.logf("<6>source and target were compared: %d directories are the same, rsync looks at %d and what is new",
		g.alike, g.found.Dirs())
	return j.endPart(p)
}

package rootid

import (
	"errors"
	"slices"
)

// Roots are source and target of a mirror as they are at one moment.
type Roots struct {
	Source, Target Identity
	// InSource and InTarget are what is mounted inside. Of what is mounted
	// inside the source only the Rels are told, unless it is copied.
	InSource, InTarget []Inner
	CrossMounts        bool // what is mounted inside the source is copied
	// SourcePoint and TargetPoint say that something is mounted right there.
	SourcePoint, TargetPoint bool
	Tangle                   string // why nothing can be copied; see Mounts.Tangle
	Alone                    bool   // no target was looked at: it is on another host
}

// lookTimes is how often a look is begun again because mounts came or went
// under it.
const lookTimes = 5

// Look reads what source and target are now; without a target, the source.
func Look(source, target string, crossMounts bool) (Roots, error) {
	var r Roots
	before, err := ReadMounts()
	for range lookTimes {
		if err != nil {
			return r, err
		}
		if r, err = look(before, source, target, crossMounts); err != nil {
			return r, err
		}
		// Where a mount has gone since the table was read, the identity is
		// that of the directory below it.
		var after Mounts
		after, err = ReadMounts()
		if err == nil && slices.Equal(before.Inner(source), after.Inner(source)) &&
			(target == "" || slices.Equal(before.Inner(target), after.Inner(target))) {
			return r, nil
		}
		before = after
	}
	return Roots{}, errors.Join(err, errors.New("what is mounted inside source or target changes all the time"))
}

func look(mounts Mounts, source, target string, crossMounts bool) (Roots, error) {
	r := Roots{CrossMounts: crossMounts, Alone: target == ""}
	var err error
	if r.Source, err = Read(source); err != nil {
		return r, err
	}
	if crossMounts {
		r.InSource = mounts.identified(source)
	} else {
		// Not to be waited for, when its server is gone, nor to start afresh
		// for: it is only left out.
		for _, rel := range mounts.Inside(source) {
			r.InSource = append(r.InSource, Inner{Rel: rel})
		}
	}
	on, _ := mounts.Of(source)
	r.SourcePoint = on.Point == source
	if r.Alone {
		return r, nil
	}
	r.Tangle = mounts.Tangle(source, target, crossMounts)
	if r.Target, err = Read(target); err != nil {
		return r, err
	}
	r.InTarget = mounts.identified(target)
	on, _ = mounts.Of(target)
	r.TargetPoint = on.Point == target
	return r, nil
}

// SourceRels are the Rels of what is mounted inside the source.
func (r Roots) SourceRels() []string { return rels(r.InSource) }

// Same says that two looks saw the same mounts and directories.
func (r Roots) Same(o Roots) bool {
	return r.Source.Same(o.Source) && r.Target.Same(o.Target) &&
		slices.Equal(r.InSource, o.InSource) && slices.Equal(r.InTarget, o.InTarget)
}

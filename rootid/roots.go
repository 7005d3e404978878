package rootid

import "slices"

// Roots are source and target of a mirror as they are at one moment.
type Roots struct {
	Source, Target Identity
	InSource       []string // what is mounted inside, as Rels
	InTarget       []string
	// SourcePoint and TargetPoint say that something is mounted right there.
	SourcePoint, TargetPoint bool
}

// Look reads what source and target are now.
func Look(source, target string) (Roots, error) {
	var r Roots
	mounts, err := ReadMounts()
	if err != nil {
		return r, err
	}
	if r.Source, err = Read(source); err != nil {
		return r, err
	}
	if r.Target, err = Read(target); err != nil {
		return r, err
	}
	r.InSource = mounts.Inside(source)
	r.InTarget = mounts.Inside(target)
	on, _ := mounts.Of(source)
	r.SourcePoint = on.Point == source
	on, _ = mounts.Of(target)
	r.TargetPoint = on.Point == target
	return r, nil
}

// Same says that two looks saw the same mounts and directories.
func (r Roots) Same(o Roots) bool {
	return r.Source.Same(o.Source) && r.Target.Same(o.Target) &&
		slices.Equal(r.InSource, o.InSource) && slices.Equal(r.InTarget, o.InTarget)
}

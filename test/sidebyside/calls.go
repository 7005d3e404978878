package sidebyside

import (
	"fmt"
	"maps"
	"slices"
)

// Tells says that a directory is told that came.
func (f Facts) Tells(dir string) bool {
	_, told := f.Paths[dir]
	return told || f.Include["/"+dir+below]
}

// Whole says what is not told yet of all that clsync tells at its start.
func (s Step) Whole(mode string, f Facts) error {
	if mode == "rsyncshell" || mode == "rsyncso" {
		if len(f.Include) == 0 {
			return fmt.Errorf("no list yet")
		}
		return nil
	}
	x := &expecting{Step: s, mode: mode}
	for rel, dir := range s.After {
		_, told := f.Paths[x.spoken(rel)]
		if !told && !s.left(rel, dir) && (mode == "simple" || !hasNewline(rel)) {
			return fmt.Errorf("%q is not told", rel)
		}
	}
	return nil
}

// Calls compares what calls have of each other: the numbers of rounds, and which call
// has what. The error is lockstep's fault.
func Calls(clsync, lockstep Facts) (map[Row]bool, error) {
	rows := map[Row]bool{}
	if !slices.Equal(clsync.Iterations, lockstep.Iterations) {
		rows[Iteration] = true
	}
	for i, n := range lockstep.Iterations {
		if i > 0 && n != lockstep.Iterations[i-1]+1 {
			return rows, fmt.Errorf("CLSYNC_ITERATION is %v: it counts jobs", lockstep.Iterations)
		}
	}
	if lockstep.divided() {
		return rows, fmt.Errorf("exclude lists of one batch differ: %+v", lockstep.Excludes)
	}
	if len(clsync.Parts) > 1 && len(clsync.Parts[0]) > 1 && len(clsync.Iterations) == 1 {
		if len(clsync.Parts) != len(lockstep.Parts) || !maps.Equal(set(clsync.Parts[0]), set(lockstep.Parts[0])) {
			rows[Parts] = true
		}
		for i, part := range lockstep.Parts {
			if len(part) > 254 || i > 0 && len(lockstep.Parts[i-1]) > 0 && len(part) > 0 && lockstep.Parts[i-1][len(lockstep.Parts[i-1])-1] >= part[0] {
				return rows, fmt.Errorf("call %d has %d names, and begins with %q", i, len(part), part[0])
			}
		}
	}
	return rows, nil
}

func set(names []string) map[string]bool {
	out := map[string]bool{}
	for _, n := range names {
		out[n] = true
	}
	return out
}

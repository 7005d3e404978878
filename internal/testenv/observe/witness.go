package observe

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Witness remembers what a lockstep had, to tell later that it is gone.
type Witness struct {
	Groups map[string]bool // cgroup directories
	procs  map[string]Proc // by pid and start
	mounts []string        // of the test's own namespace, before
}

// NewWitness has seen nothing yet but the mounts that are there.
func NewWitness() *Witness {
	return &Witness{procs: map[string]Proc{}, Groups: map[string]bool{}, mounts: Mounts()}
}

// Look takes down the processes and cgroups below a supervisor.
func (w *Witness) Look(pid int) {
	for _, p := range Family(pid) {
		w.procs[p.key()] = p
		for _, dir := range Cgroups(p.PID) {
			if strings.Contains(dir, "lockstep") {
				w.Groups[dir] = true
			}
		}
	}
}

func (p Proc) key() string { return fmt.Sprint(p.PID, " ", p.Start) }

// Alive lists the processes that it saw and that are still there.
func (w *Witness) Alive() (out []Proc) {
	for _, p := range Procs() {
		if _, ok := w.procs[p.key()]; ok {
			out = append(out, p)
		}
	}
	return out
}

// Left lists what is still there of what the witness saw; run is the runtime
// directory.
func (w *Witness) Left(run string) []string {
	var out []string
	for _, p := range w.Alive() {
		out = append(out, fmt.Sprintf("process %d %s", p.PID, p.Role))
	}
	for dir := range w.Groups {
		if _, err := os.Stat(dir); err == nil {
			out = append(out, "cgroup "+dir)
		}
	}
	if names, err := os.ReadDir(run); err == nil && len(names) > 0 {
		out = append(out, fmt.Sprintf("runtime directory %v", names))
	}
	for _, m := range Mounts() {
		if !slices.Contains(w.mounts, m) && strings.Contains(m, "lockstep") {
			out = append(out, "mount "+m)
		}
	}
	return out
}

// Remove takes away the control groups of a supervisor that was killed and is
// not started again.
func (w *Witness) Remove() {
	for dir := range w.Groups {
		_ = os.Remove(dir)
	}
	for dir := range w.Groups {
		_ = os.Remove(filepath.Dir(dir)) // the instance's
	}
}

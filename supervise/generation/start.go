package generation

import (
	"fmt"
	"os"

	"lockstep/cgroup"
	"lockstep/sandbox"
	"lockstep/supervise/jail"
	"lockstep/supervise/proc"
)

// start starts a program that is given nothing but what the table of descriptors
// has for its role.
func (m *Maker) start(spec sandbox.Spec, label string, image *os.File, fds []sandbox.Donation, limits cgroup.Limits) (*proc.Process, error) {
	names := make([]string, len(fds))
	for i, d := range fds {
		names[i] = d.Name
	}
	for _, o := range spec.Opens {
		names = append(names, o.Name)
	}
	if err := jail.Donates(spec.Role, names...); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	return m.Starter.Start(spec, label, image, fds, limits)
}

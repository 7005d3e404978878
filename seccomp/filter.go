package seccomp

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"lockstep/seccomp/role"
)

// Role selects a table; the roles themselves stand where no cgo is needed to
// name them.
type Role = role.Role

// The roles that have a filter.
const (
	Helper     = role.Helper
	Worker     = role.Worker
	Runner     = role.Runner
	Remote     = role.Remote
	Handler    = role.Handler
	Resolver   = role.Resolver
	Dnotify    = role.Dnotify
	Gate       = role.Gate
	UserWorker = role.UserWorker

	HandlerNetwork = role.HandlerNetwork
)

// Architectures that have tables, by their Go names.
const (
	AMD64 = "amd64"
	ARM64 = "arm64"
)

// Action is what happens at a call.
type Action uint8

const (
	// Kill ends the whole process with SIGSYS. (Ending one thread would leave
	// a Go program hanging for ever.)
	Kill Action = iota
	// Allow lets the kernel do the call.
	Allow
	// NoSys answers ENOSYS, as a kernel without the call does: C libraries
	// then fall back to an older call.
	NoSys
)

// Cond is a condition on one argument: argument Arg (from 0), masked, equals
// Value; with Not it differs from Value, and Mask is not used.
type Cond struct {
	Arg   uint
	Mask  uint64
	Value uint64
	Not   bool
}

// Call is one rule: a call whose arguments meet all conditions. Several rules
// of one name are alternatives.
type Call struct {
	Name string
	If   []Cond
	// Who needs it (or, in a list of denials, whom it would serve), and why.
	Who string
	// Fallback: needed on other kernels or C libraries, or in states that no
	// test can reach. Not counted.
	Fallback bool
	// Arch limits the rule to one architecture; "" is all.
	Arch string
}

// Set is a group of rules that belong together.
type Set struct {
	Name  string
	Calls []Call
}

// Filter is the whole table of one role on one architecture.
type Filter struct {
	Role    Role
	Arch    string
	Default Action // of what is in neither list
	Allow   []Call
	Deny    []Call // Kill, where Default is milder
}

// int32Mask is the part of an argument that the kernel reads as a C int; the
// upper half may hold anything.
const int32Mask = 0xffff_ffff

// eq: a C int argument equals v.
func eq(arg uint, v uint32) Cond { return Cond{Arg: arg, Mask: int32Mask, Value: uint64(v)} }

// eq64: a whole argument equals v.
func eq64(arg uint, v uint64) Cond { return Cond{Arg: arg, Mask: ^uint64(0), Value: v} }

// only: a whole argument has no bits but those of v.
func only(arg uint, v uint64) Cond { return Cond{Arg: arg, Mask: ^v} }

// all: an argument has all bits of v.
func all(arg uint, v uint64) Cond { return Cond{Arg: arg, Mask: v, Value: v} }

// but: a whole argument, the bits of free left out, equals v.
func but(arg uint, v, free uint64) Cond { return Cond{Arg: arg, Mask: ^free, Value: v} }

// stream: a C int is SOCK_STREAM, with whatever flags.
func stream(arg uint) Cond {
	return Cond{Arg: arg, Mask: int32Mask &^ (unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK), Value: unix.SOCK_STREAM}
}

// datagram: a C int is SOCK_DGRAM, with whatever flags.
func datagram(arg uint) Cond {
	return Cond{Arg: arg, Mask: int32Mask &^ (unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK), Value: unix.SOCK_DGRAM}
}

// none: an argument has none of the bits of v.
func none(arg uint, v uint64) Cond { return Cond{Arg: arg, Mask: v} }

// not: a whole argument differs from v.
func not(arg uint, v uint64) Cond { return Cond{Arg: arg, Value: v, Not: true} }

// when lists conditions that must all hold.
func when(c ...Cond) []Cond { return c }

// Roles are all roles that have a table.
func Roles() []Role {
	return []Role{Helper, Worker, Runner, Remote, Handler, HandlerNetwork, Resolver, Dnotify, Gate, UserWorker}
}

// Table returns the filter of a role. For an unknown role or architecture it
// has no rules, and Compile refuses it.
func Table(role Role, arch string) Filter {
	f := Filter{Role: role, Arch: arch, Default: Kill}
	if arch != AMD64 && arch != ARM64 {
		return f
	}
	switch role {
	case Worker:
		f.Allow = merge(arch, goRuntime(), worker())
	case UserWorker:
		f.Allow = merge(arch, goRuntime(), userWorker())
	case Helper:
		f.Allow = merge(arch, goRuntime(), helper())
	case Resolver:
		f.Allow = merge(arch, goRuntime(), resolver())
	case Dnotify:
		f.Allow = merge(arch, goRuntime(), dnotify())
	case Gate:
		f.Allow = merge(arch, goRuntime(), gate())
	case Runner:
		// The filter cannot change at execve: only a further, narrower one
		// could be added, by the command itself. So the runner may do what its
		// command may do and the reverse; the jail around both is what bounds
		// them. What no program of ours or rsync's ever calls is answered as
		// by an older kernel; what serves an attacker kills.
		f.Default = NoSys
		f.Allow = merge(arch, goRuntime(), runner(), command())
		f.Deny = merge(arch, denied())
	case Handler:
		f.Default = NoSys
		f.Allow = merge(arch, goRuntime(), runner(), command(), programs())
		f.Deny = merge(arch, denied())
	case HandlerNetwork:
		f.Default = NoSys
		f.Allow = merge(arch, goRuntime(), runner(), command(), programs(), reaching())
		f.Deny = merge(arch, deniedRemote())
	case Remote:
		f.Default = NoSys
		f.Allow = merge(arch, goRuntime(), runner(), command(), network())
		f.Deny = merge(arch, deniedRemote())
	}
	return f
}

// merge makes one list of several sets: rules of other architectures are left
// out, a rule that occurs twice is kept once, and a rule without conditions
// replaces those of the same name that have some. A kept rule is a fallback
// only when all that it replaces are.
func merge(arch string, sets ...Set) []Call {
	var calls []Call
	for _, set := range sets {
		for _, c := range set.Calls {
			if c.Arch == "" || c.Arch == arch {
				c.Who = set.Name + ": " + c.Who
				calls = append(calls, c)
			}
		}
	}
	slices.SortStableFunc(calls, func(a, b Call) int { return strings.Compare(a.Name, b.Name) })
	var out []Call
	for _, c := range calls {
		first := slices.IndexFunc(out, func(o Call) bool { return o.Name == c.Name })
		if first < 0 {
			out = append(out, c)
			continue
		}
		if same := slices.IndexFunc(out, func(o Call) bool { return o.covers(c) }); same >= 0 {
			out[same] = join(out[same], c)
			continue
		}
		if len(c.If) > 0 {
			out = append(out, c)
			continue
		}
		for _, o := range out[first:] {
			c = join(c, o)
		}
		out = append(out[:first], c)
	}
	return out
}

// covers: whatever call meets c meets o, as far as is plain to see.
func (o Call) covers(c Call) bool {
	return o.Name == c.Name && (len(o.If) == 0 || slices.Equal(o.If, c.If))
}

// join keeps rule a and remembers what rule b was for.
func join(a, b Call) Call {
	a.Fallback = a.Fallback && b.Fallback
	if !strings.Contains(a.Who, b.Who) {
		a.Who += "; " + b.Who
	}
	return a
}

// Count is the number of different calls that the filter allows, without those
// that are allowed as fallbacks only.
func (f Filter) Count() int {
	names := make(map[string]bool)
	for _, c := range f.Allow {
		if !c.Fallback {
			names[c.Name] = true
		}
	}
	return len(names)
}

// Describe writes the filter for a person: one rule a line. It fails when the
// writer does, or when a name is unknown to the installed libseccomp.
func (f Filter) Describe(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s on %s: %d calls allowed (fallbacks not counted); any other: %s\n",
		f.Role, f.Arch, f.Count(), f.Default)
	if err != nil {
		return err
	}
	for _, list := range []struct {
		action Action
		calls  []Call
	}{{Allow, f.Allow}, {Kill, f.Deny}} {
		for _, c := range list.calls {
			nr, err := number(c.Name, f.Arch)
			if err != nil {
				return err
			}
			note := ""
			if c.Fallback {
				note = " (fallback)"
			}
			if _, err := fmt.Fprintf(w, "%-5s %4d %s%s%s\n\t%s\n",
				list.action, nr, c.Name, describeConds(c.If), note, c.Who); err != nil {
				return err
			}
		}
	}
	return nil
}

// String names the action as filters of this build carry it out.
func (a Action) String() string {
	switch a {
	case Allow:
		return "allow"
	case NoSys:
		return "ENOSYS"
	default:
		return killName
	}
}

func describeConds(conds []Cond) string {
	var parts []string
	for _, c := range conds {
		switch {
		case c.Not:
			parts = append(parts, fmt.Sprintf("arg%d != %#x", c.Arg, c.Value))
		case c.Mask == ^uint64(0):
			parts = append(parts, fmt.Sprintf("arg%d == %#x", c.Arg, c.Value))
		default:
			parts = append(parts, fmt.Sprintf("arg%d & %#x == %#x", c.Arg, c.Mask, c.Value))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " if " + strings.Join(parts, " and ")
}

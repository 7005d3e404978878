package jail

import (
	"fmt"
	"slices"

	"lockstep/ipc"
	"lockstep/supervise/kept"
)

// Origin says how a process comes by a descriptor.
type Origin int

const (
	Given Origin = iota // the supervisor donates it, under its name
	Opens               // stage one opens it in the jail (Spec.Opens)
	Sent                // it comes by the control socket
	Made                // the program or its runtime makes it before the filter
	Used                // it is closed before the filter: the program never serves with it
)

// Descriptor is one row of the table of descriptors.
type Descriptor struct {
	Name   string
	Origin Origin
	// Kinds are what it can be, as /proc shows it: socket, pipe, memfd, inotify,
	// eventpoll and the like; file (of the jail; a directory as well); kept (of package kept, not
	// of the jail); or a device's path.
	Kinds     []string
	PerTarget int    // so many for each target; 0: one in all
	Any       bool   // as many as there is work
	When      string // only then (the When… below); "": always
	Instead   string // it takes the place of the one of this name
}

// When a process has a descriptor that others of its role lack.
const (
	WhenRules    = "rules"    // its sync has rules
	WhenWatch    = "watch"    // of lockstep watch
	WhenMirror   = "mirror"   // of any other command
	WhenModule   = "module"   // a module is called
	WhenKept     = "kept"     // lists of its handler are kept
	WhenFanotify = "fanotify" // what hears of changes
	WhenDnotify  = "dnotify"
)

// The kinds that are named in more than one place.
const (
	KindSocket = "socket"
	KindPipe   = "pipe"
	KindMemfd  = "memfd"
	KindFile   = "file"
	KindKept   = "kept"
	kindPoll   = "eventpoll"
	kindEvent  = "eventfd"
)

// Descriptors are all that a process of a role holds, by the role of its Spec. What
// a start donates must be in it (Donates), and what a running process holds is
// compared with it (lockstep audit self).
func Descriptors(role string) []Descriptor {
	every := []Descriptor{
		{Name: "0", Kinds: []string{"/dev/null"}},
		{Name: "1", Kinds: []string{KindPipe}},
		{Name: "2", Kinds: []string{KindPipe}},
		{Name: "filter", Origin: Used},
		{Name: "poller", Origin: Made, Kinds: []string{kindPoll}},
		{Name: "wake-up of the poller", Origin: Made, Kinds: []string{kindEvent}},
	}
	return slices.Concat(every, ofRole(role), lists(role))
}

// lists are what the runner of a handler keeps its lists in.
func lists(role string) []Descriptor {
	var all []Descriptor
	if role == "runner" {
		for _, name := range kept.Names() {
			all = append(all, Descriptor{Name: name, Kinds: []string{KindKept}, When: WhenKept})
		}
	}
	return all
}

func ofRole(role string) []Descriptor {
	return map[string][]Descriptor{
		"helper": {
			{Name: "control", Kinds: []string{KindSocket}},
			{Name: "config", Kinds: []string{KindMemfd}},
			{Name: "inotify", Kinds: []string{"inotify", kindEvent}},
			{Name: "root1", Origin: Opens, Kinds: []string{KindFile}},
			{Name: "worker", Origin: Sent, Kinds: []string{KindSocket}},
			{Name: "runner", Origin: Sent, Kinds: []string{KindSocket}, PerTarget: 1, When: WhenMirror},
			{Name: "lists", Origin: Made, Kinds: []string{KindMemfd}, PerTarget: ipc.MaxJobs, When: WhenMirror},
			{Name: "directories that are listed", Origin: Made, Kinds: []string{KindFile}, Any: true},
		},
		"worker": {
			{Name: "helper", Kinds: []string{KindSocket}},
			{Name: "status", Kinds: []string{KindSocket}},
			{Name: "inotify", Kinds: []string{"inotify", kindEvent}},
			{Name: "resolver", Kinds: []string{KindSocket}, Instead: "inotify"},
			{Name: "rules", Kinds: []string{KindMemfd}, When: WhenRules},
			{Name: "output", Kinds: []string{KindPipe}, When: WhenWatch},
			{Name: "poller of events", Origin: Made, Kinds: []string{kindPoll}},
			{Name: "wake-up of it", Origin: Made, Kinds: []string{kindEvent}},
		},
		"resolver": {
			{Name: "fanotify", Kinds: []string{"fanotify"}, When: WhenFanotify},
			{Name: "worker", Kinds: []string{KindSocket}},
			{Name: "root1", Origin: Opens, Kinds: []string{KindFile}},
			{Name: "crossed1", Origin: Opens, Kinds: []string{KindFile}, Instead: "root1"},
			{Name: "poller of events and of room at the worker", Origin: Made, Kinds: []string{kindPoll}, When: WhenFanotify},
			{Name: "poller of events and marks", Origin: Made, Kinds: []string{kindPoll}, When: WhenFanotify},
			{Name: "signals", Origin: Made, Kinds: []string{"signalfd"}, When: WhenDnotify},
			{Name: "directories", Origin: Made, Kinds: []string{KindFile}, Any: true, When: WhenDnotify},
		},
		"gate": {
			{Name: "clients", Kinds: []string{KindSocket}},
			{Name: "supervisor", Kinds: []string{KindSocket}},
			{Name: "config", Kinds: []string{KindMemfd}},
			{Name: "those of clients", Origin: Made, Kinds: []string{KindSocket}, Any: true},
		},
		"runner": {
			{Name: "helper", Kinds: []string{KindSocket}},
			{Name: "config", Kinds: []string{KindMemfd}},
			{Name: "gate", Kinds: []string{KindSocket}},
			{Name: "lists", Origin: Sent, Kinds: []string{KindMemfd}, PerTarget: ipc.MaxJobs},
			{Name: "its end of a module's", Origin: Made, Kinds: []string{KindSocket}, PerTarget: 2, When: WhenModule},
			{Name: "ends of the commands' pipes", Origin: Made, Kinds: []string{KindPipe}, Any: true},
			{Name: "what is compared", Origin: Made, Kinds: []string{KindFile}, Any: true},
		},
	}[role]
}

// Donates makes sure that a role is given nothing that the table does not have.
func Donates(role string, names ...string) error {
	known := map[string]bool{}
	for _, d := range Descriptors(role) {
		known[d.Name] = d.Origin == Given || d.Origin == Used || d.Origin == Opens
	}
	for _, n := range names {
		if !known[n] {
			return fmt.Errorf("the table of descriptors gives the %s no %q", role, n)
		}
	}
	return nil
}

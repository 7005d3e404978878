package plugin

import (
	"fmt"
	"syscall"

	"lockstep/internal/escape"
	"lockstep/plugin/frame"
)

// Failure is why a call has failed. It is one failed sync and never more: the
// next call starts afresh.
type Failure struct {
	Module string
	Why    Why
	What   string         // what was seen; hostile
	Signal syscall.Signal // of Crashed
}

// Why is the name of a failure.
type Why uint8

const (
	NotStarted  Why = iota + 1 // there is no host
	NotSent                    // a request beyond the limits; nothing has happened
	Refused                    // the shared object could be another's
	NotLoadable                // the loader refuses it
	NoFunction                 // it lacks the function of its mode
	InitFailed                 // clsyncapi_init refused
	Timeout                    // no answer in time
	Stopped                    // the caller ended it
	Crashed                    // the host was ended by a signal
	Exited                     // the host ended by itself
	Garbage                    // an answer that is none
	Unfinished                 // the module returned before its processes had ended
	numWhys
)

// String is the failure's name, which is a fixed word.
func (w Why) String() string {
	if w == 0 || w >= numWhys {
		return "unknown"
	}
	return words()[w].name
}

type word struct{ name, do string }

func words() [numWhys]word {
	return [numWhys]word{
		NotStarted:  {"not started", "check that lockstep-plugin is installed beside lockstep"},
		NotSent:     {"not sent", "the list is too long, or a name in it is: divide it"},
		Refused:     {"refused", "see above, then start again"},
		NotLoadable: {"not loadable", "check with ldd that it is a shared object of this machine whose libraries are there, and compile it against clsync/clsync.h"},
		NoFunction:  {"function missing", "define it, or choose the other one of the modes so and rsyncso"},
		InitFailed:  {"init failed", "see what the module printed"},
		Timeout:     {"timeout", "see what the module waits for, or allow it more time"},
		Stopped:     {"stopped", "its paths are tried again"},
		Crashed:     {"crashed", "the module has a fault; its paths are tried again"},
		Exited:      {"exited", "a module must return, and not end the process that it runs in"},
		Garbage:     {"garbage", "a module must not write to descriptors that it has not opened, besides 1 and 2, nor close them"},
		Unfinished:  {"unfinished", "a module must wait for its processes before it returns"},
	}
}

func (f *Failure) Error() string {
	text := "module " + escape.Name(f.Module) + ": " + f.Why.String()
	if f.What != "" {
		text += ": " + escape.Name(f.What)
	}
	if f.Why == 0 || f.Why >= numWhys {
		return text
	}
	return text + "; " + words()[f.Why].do
}

// told is the failure that a host tells of.
func told(m *frame.Fault) *Failure {
	switch m.Why {
	case frame.Refused:
		return &Failure{Why: Refused, What: m.Text}
	case frame.NotLoadable:
		return &Failure{Why: NotLoadable, What: m.Text}
	case frame.NoFunction:
		return &Failure{Why: NoFunction, What: m.Text}
	}
	return &Failure{Why: Garbage, What: fmt.Sprintf("it says that our request is none: %s", m.Text)}
}

// Package redteam is an attacker inside a confined program: it waits until the
// program has confined itself, and then makes one forbidden act.
//
// Trust: tests only. A program of the product gets it by a build in which the end of
// lock.Enter calls it (package escape), so that the process around it is the real
// one: its jail, its descriptors, its threads and its filter. The unconfined twin is
// command body.
//
// Invariants: an act has valid arguments: unconfined, it does what it is for. What
// it needs is made before the filter. Nothing counts as an attempt that was not
// marked after the filter was in force.
package redteam

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Variables of the environment that tell the attacker what to do, and what there
// is to attack.
const (
	varAct   = "LOCKSTEP_ACT"
	varWorld = "LOCKSTEP_WORLD"
	// VarBecome names a program that is executed under the filter, as the runner's
	// command, and makes the act there.
	VarBecome = "LOCKSTEP_BECOME"
)

// World is what there is to attack.
type World struct {
	Victim   int    // a process of root's on the host
	Addr     uint64 // of writable memory in it
	Dir      string // where files can be made, or are tried to be
	Port     int    // of a TCP server on the host
	Abstract string // name of an abstract socket on the host, without its NUL
	Socket   string // path of a socket on the host
	Segment  int    // System V shared memory of the host
	Queue    string // POSIX message queue of the host
	Peer     int    // a socket that the program holds; 0: none
	Source   string // the tree that is read, in a jail that has it
	Target   string // the tree that is written
	Twin     bool   // nothing confines
}

// Environ is the environment that tells of an act and of the world.
func (w World) Environ(act string) []string {
	return []string{varAct + "=" + act, varWorld + "=" + strings.Join([]string{
		strconv.Itoa(w.Victim), strconv.FormatUint(w.Addr, 10), w.Dir, strconv.Itoa(w.Port), w.Abstract, w.Socket,
		strconv.Itoa(w.Segment), w.Queue, strconv.Itoa(w.Peer), w.Source, w.Target, strconv.FormatBool(w.Twin),
	}, "|")}
}

func world() (w World, err error) {
	words := strings.Split(os.Getenv(varWorld), "|")
	if len(words) != 12 {
		return w, fmt.Errorf("%s has %d words", varWorld, len(words))
	}
	for i, n := range map[int]*int{0: &w.Victim, 3: &w.Port, 6: &w.Segment, 8: &w.Peer} {
		if *n, err = strconv.Atoi(words[i]); err != nil {
			return w, err
		}
	}
	if w.Addr, err = strconv.ParseUint(words[1], 10, 64); err != nil {
		return w, err
	}
	w.Dir, w.Abstract, w.Socket, w.Queue, w.Source, w.Target = words[2], words[4], words[5], words[7], words[9], words[10]
	w.Twin, err = strconv.ParseBool(words[11])
	return w, err
}

// Env is what an act works with.
type Env struct {
	World
	FD   int     // of what was prepared; -1: nothing
	FD2  int     // a second one
	Page uintptr // a page of private memory
	keep []any   // what the kernel has an address of
}

// Act is one thing that nobody confined may do.
type Act struct {
	Name  string
	Check int    // of the list of checks that the suite is built by
	Call  string // the system call that the kernel's record has to name
	// Prepare makes what the act needs; it runs before the filter, in the jail.
	Prepare func(*Env) error
	Do      func(*Env) syscall.Errno
	// Twin is what the unconfined twin must see: "" is success. An error is one
	// that the kernel gives to who may, where the deed itself would harm the host.
	Twin string
	// Optional: where the kernel was built without it, or root has not all rights,
	// nobody can see the twin succeed, and the act does not count.
	Optional bool
	// Alone: the twin is process 1 of its own pid namespace.
	Alone bool
}

// marked is said after the filter and before the act.
const marked = "ATTEMPT"

// Before is called before the filter. It returns nil where there is no act.
func Before() func() {
	name := os.Getenv(varAct)
	if name == "" {
		return nil
	}
	if program := os.Getenv(VarBecome); program != "" {
		return func() { become(program) }
	}
	runtime.LockOSThread()
	act, ok := find(name)
	if !ok {
		say("NO SUCH ACT")
		os.Exit(3)
	}
	w, err := world()
	if err != nil {
		say("BAD WORLD: " + err.Error())
		os.Exit(3)
	}
	e := &Env{World: w, FD: -1, FD2: -1}
	ready := "PREPARED ok"
	if act.Prepare != nil {
		if err := act.Prepare(e); err != nil {
			ready = "PREPARED " + err.Error()
		}
	}
	say(ready)
	return func() {
		say(marked)
		errno := act.Do(e)
		say("RETURNED " + Name(errno))
		os.Exit(0)
	}
}

// become executes the program in which the act is to be made.
func become(program string) {
	env := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, VarBecome+"=") })
	err := syscall.Exec(program, []string{program}, env)
	say("NOT EXECUTED " + err.Error())
	os.Exit(3)
}

// Name is how an error of the kernel is called here.
func Name(errno syscall.Errno) string {
	switch errno {
	case 0:
		return "ok"
	case notDone:
		return "not done"
	}
	if name := unix.ErrnoName(errno); name != "" {
		return name
	}
	return strconv.Itoa(int(errno))
}

// say goes past the runtime's poller and its locks.
func say(line string) {
	_, _ = unix.Write(2, []byte("<7>RED "+line+"\n"))
}

// Acts are those that ask for nothing of a jail.
func Acts() []Act {
	return slices.Concat(files(), nodes(), oldFiles(), programs(), memory(), sockets(), namespaces(), kernel(), machine(), ids(), others(), limits())
}

// All are all acts.
func All() []Act {
	return slices.Concat(Acts(), Trees(), Contents(), Targets(), Commands(), Remotely())
}

// find is the act of that name. "number 5", "i386 5" and "clone 0x100" are calls
// by number, without arguments, by i386's door, and clones with such flags; "memory 5" takes so many MiB, "threads 5"
// makes so many.
func find(name string) (Act, bool) {
	for _, a := range All() {
		if a.Name == name {
			return a, true
		}
	}
	kind, text, _ := strings.Cut(name, " ")
	n, err := strconv.ParseUint(text, 0, 64)
	a := Act{Name: name}
	switch {
	case name == "none":
		a.Do = benign
	case err != nil:
		return a, false
	case kind == "memory":
		a.Do = hoard(n)
	case kind == "threads":
		a.Do = crowd(n)
	case kind == "number":
		a.Do = call(uintptr(n))
	case kind == "i386":
		a.Do = func(*Env) syscall.Errno { return foreign(uintptr(n)) }
	case kind == "clone":
		a.Do = call(unix.SYS_CLONE, uintptr(n))
	default:
		return a, false
	}
	return a, true
}

// Unconfined is how the act has to end in the twin.
func (a Act) Unconfined() string {
	if a.Twin == "" {
		return "ok"
	}
	return a.Twin
}

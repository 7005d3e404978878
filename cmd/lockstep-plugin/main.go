// Command lockstep-plugin calls the functions of one module, a shared object,
// when its runner asks for it.
//
// Trust: none. It runs as a runner's command, in the runner's jail and under its
// filter, with the rights that the module is to have: the code of others runs in
// it.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"lockstep/internal/buildinfo"
	"lockstep/internal/escape"
	"lockstep/plugin/frame"
	"lockstep/plugin/host"
	"lockstep/plugin/object"
	"lockstep/plugin/serve"
)

func main() {
	if buildinfo.Told() {
		return
	}
	// A module may keep things in its thread, and the kernel does.
	runtime.LockOSThread()

	channel := flag.Int("channel", -1, "descriptor of the socket to the runner")
	fd := flag.Int("object", -1, "descriptor of the shared object")
	path := flag.String("path", "", "its path, where there is no /proc")
	owner := flag.Uint("owner", 0, "uid that may own it, besides root")
	forks := flag.Int("forks", 0, "processes that the module may have at a time")
	flag.Parse()
	if *channel < 3 || *fd < 3 || *channel == *fd || *forks < 0 || *forks > maxForks || *owner > 1<<32-2 || flag.NArg() != 0 {
		fmt.Fprintln(os.Stderr, "lockstep-plugin: wrong arguments: this program is started by lockstep only")
		os.Exit(2)
	}
	// What the module executes gets 0 to 2.
	if err := unix.CloseRange(3, 1<<32-1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		fail(fmt.Errorf("close_range: %w", err))
	}
	m := module{object: *fd, path: *path, owner: uint32(*owner), channel: *channel, forks: *forks}
	if err := serve.Serve(os.NewFile(uintptr(*channel), "runner"), &m); err != nil {
		fail(err)
	}
}

// maxForks bounds the list of children.
const maxForks = 1 << 16

// fail ends it. What it says goes where the module's words go, which have no level.
func fail(err error) {
	fmt.Fprintln(os.Stderr, "lockstep-plugin: "+escape.Name(err.Error()))
	os.Exit(1)
}

// module is a shared object that is checked before it is loaded.
type module struct {
	*host.Host
	object, channel, forks int
	path                   string
	owner                  uint32
}

func (m *module) Load(in frame.Init) *frame.Fault {
	if err := object.Check(m.object, m.owner); err != nil {
		return &frame.Fault{Why: frame.Refused, Text: err.Error()}
	}
	path, err := object.Path(m.object, m.path)
	if err != nil {
		return &frame.Fault{Why: frame.Refused, Text: err.Error()}
	}
	m.Host = host.New(path, m.object, m.channel, m.forks)
	return m.Host.Load(in)
}

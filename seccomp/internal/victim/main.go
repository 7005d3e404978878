// Command victim puts itself under a filter and then behaves well, or tries
// what it must not; with the tag twin it tries the same unconfined.
//
// Trust: tests only; it is pure Go, like the programs that it stands for.
package main

import (
	"fmt"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv/door"
	"lockstep/sandbox/lock"
)

// getpidI386 is i386's number of getpid; on amd64 it is writev's.
const getpidI386 = 20

// prepared is what must be made before the filter.
type prepared struct {
	inotify int
	dir     int
	sockets [2]int
	pipeR   *os.File
	pipeW   *os.File
	watches []uint32
	handle  unix.FileHandle // of dir

	listener int // with a client that waits at client
	client   int
}

func main() {
	if len(os.Args) < 2 {
		lock.Fail("arguments", fmt.Errorf("no mode"))
	}
	p, err := prepare()
	if err != nil {
		lock.Fail("prepare", err)
	}
	fds, err := lock.Donated()
	if err != nil {
		lock.Fail("descriptors", err)
	}
	if err := lock.Enter(fds["filter"]); err != nil {
		lock.Fail("enter", err)
	}
	switch os.Args[1] {
	case "benign":
		p.benign(os.Args[2])
	case "call":
		attempt(os.Args[2:])
	case "int80":
		say("ATTEMPT")
		say(fmt.Sprintf("RETURNED %d", int32(door.Int80(getpidI386))))
	case "exec":
		err := syscall.Exec(os.Args[2], os.Args[2:], []string{"LC_ALL=C"})
		lock.Fail("exec", err)
	}
	os.Exit(0)
}

func prepare() (*prepared, error) {
	p := &prepared{}
	if err := lock.Poller(); err != nil {
		return nil, err
	}
	var err error
	if p.inotify, err = unix.InotifyInit1(unix.IN_CLOEXEC); err != nil {
		return nil, err
	}
	for _, dir := range []string{"/", "/proc"} {
		wd, err := unix.InotifyAddWatch(p.inotify, dir, unix.IN_DELETE_SELF)
		if err != nil {
			return nil, err
		}
		p.watches = append(p.watches, uint32(wd))
	}
	if p.dir, err = unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, err
	}
	if p.handle, _, err = unix.NameToHandleAt(p.dir, "", unix.AT_EMPTY_PATH); err != nil {
		return nil, err
	}
	if p.sockets, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0); err != nil {
		return nil, err
	}
	if p.pipeR, p.pipeW, err = os.Pipe(); err != nil {
		return nil, err
	}
	return p, p.listen()
}

// listen makes a socket that somebody has connected to.
func (p *prepared) listen() (err error) {
	const flags = unix.SOCK_STREAM | unix.SOCK_CLOEXEC
	if p.listener, err = unix.Socket(unix.AF_UNIX, flags, 0); err != nil {
		return err
	}
	if p.client, err = unix.Socket(unix.AF_UNIX, flags, 0); err != nil {
		return err
	}
	if err := unix.Bind(p.listener, &unix.SockaddrUnix{}); err != nil { // any abstract name
		return err
	}
	if err := unix.Listen(p.listener, 1); err != nil {
		return err
	}
	at, err := unix.Getsockname(p.listener)
	if err != nil {
		return err
	}
	return unix.Connect(p.client, at)
}

// buffer does not move.
var buffer [64]byte

// attempt marks the attempt, so that a death before it does not count, and
// makes one raw call. The word buffer stands for the address of some memory.
func attempt(words []string) {
	var a [7]uintptr
	for i, w := range words {
		if w == "buffer" {
			a[i] = reflect.ValueOf(&buffer).Pointer()
			continue
		}
		n, err := strconv.ParseUint(w, 0, 64)
		if err != nil {
			lock.Fail("arguments", err)
		}
		a[i] = uintptr(n)
	}
	say("ATTEMPT")
	r, _, errno := syscall.RawSyscall6(a[0], a[1], a[2], a[3], a[4], a[5], a[6])
	say(fmt.Sprintf("RETURNED %d %d", r, int(errno)))
}

func say(s string) {
	if _, err := os.Stdout.WriteString(s + "\n"); err != nil {
		os.Exit(3)
	}
}

// benign is what a Go program does all day, as much of it as can be provoked:
// each allowed call of the runtime is made at least once.
func (p *prepared) benign(role string) {
	say("READY")
	idle()
	end := time.Now().Add(time.Second)
	for round := 0; round == 0 || time.Now().Before(end); round++ {
		var wg sync.WaitGroup
		wg.Go(p.poller)
		wg.Go(func() { threads(role == "helper" || role == "dnotify") })
		wg.Go(spin)
		wg.Go(sleepers)
		if round == 0 {
			wg.Go(heap)
		}
		wg.Wait()
	}
	faults()
	p.roleCalls(role)
	say("DONE")
}

// idle waits until the test closes its end, with nothing to run: the runtime's
// own threads come to their long sleeps.
func idle() {
	if _, err := syscall.Read(0, make([]byte, 1)); err != nil {
		lock.Fail("read", err)
	}
}

// poller reads from a pipe that is empty first, so that the poller waits.
func (p *prepared) poller() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1)
		for range 50 {
			if _, err := p.pipeR.Read(buf); err != nil {
				os.Exit(4)
			}
		}
	}()
	for range 50 {
		time.Sleep(time.Millisecond)
		if _, err := p.pipeW.Write([]byte("x")); err != nil {
			os.Exit(4)
		}
	}
	<-done
}

// threads makes threads, which end where the role has some that do.
func threads(end bool) {
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			runtime.LockOSThread() // one that is never unlocked ends its thread
			time.Sleep(time.Millisecond)
			if !end {
				runtime.UnlockOSThread()
			}
		})
	}
	wg.Wait()
}

// spin gives the scheduler something to preempt.
func spin() {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			n := 0
			for i := range 100_000_000 {
				n += i
			}
			runtime.KeepAlive(n)
		})
	}
	runtime.GC()
	wg.Wait()
}

func sleepers() {
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() { time.Sleep(time.Duration(i) * time.Microsecond * 100) })
	}
	wg.Wait()
}

// heap grows the heap until the runtime's tables are moved, and shrinks it.
func heap() {
	var keep [][]byte
	for range 24_000 {
		keep = append(keep, make([]byte, 8192))
	}
	runtime.KeepAlive(keep)
	keep = nil
	for range 3 {
		debug.FreeOSMemory()
	}
	big := make([]byte, 128<<20)
	big[len(big)-1] = 1
	runtime.KeepAlive(big)
}

// faults takes a fault as a panic, and recovers.
func faults() {
	defer func() {
		if recover() == nil {
			os.Exit(5)
		}
	}()
	var nowhere *prepared
	nowhere.inotify = 1
}

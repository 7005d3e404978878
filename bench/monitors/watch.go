package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"lockstep/bench/meter"
)

// floorOf names the C program that makes the same system calls as a monitor, and
// its mode. Of fanotify there is none, but the walk is the same.
func floorOf(monitor string) (name, mode, ready string) {
	switch monitor {
	case "dnotify":
		return floorName + ", dnotify", "dnotify", "watched"
	case "poll":
		return floorName + ", poll", "poll", "watched"
	}
	return floorName, "drain", "watched"
}

// watches has the same tree watched by each C program and by lockstep with each
// monitor, each until all of it is, and measures what that holds. One that fails
// leaves the others theirs.
func (b *bench) watches(ctx context.Context, memory string) (err error) {
	if b.dirs == 0 {
		return nil
	}
	src := filepath.Join(memory, "src")
	begin := time.Now()
	if err := makeTree(src, b.dirs); err != nil {
		return err
	}
	fmt.Printf("made %d directories in %v\n", b.dirs, time.Since(begin).Round(time.Millisecond))
	const watches = "fs.inotify.max_user_watches"
	if need := int64(2*b.dirs) + 100_000; meter.Sysctl(watches) < need {
		restore, err := meter.NewSysctls(lock).Raise(ctx, watches, need)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, restore()) }()
	}
	for _, monitor := range b.monitorNames() {
		if one := b.monitor(ctx, monitor, src); one != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", monitor, one))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return err
}

// monitor measures one monitor and, if that is not done yet, its floor.
func (b *bench) monitor(ctx context.Context, monitor, src string) error {
	on := tree{path: src, dirs: b.dirs}
	if monitor == "dnotify" {
		var err error
		if on, err = on.opened(); err != nil {
			return err
		}
	}
	name, mode, ready := floorOf(monitor)
	if !slices.ContainsFunc(b.results.Watched, func(w watched) bool { return w.Watcher == name }) {
		c, err := b.watch(ctx, watched{Watcher: name, Tree: on.dirs, Note: on.why}, []string{b.floorC, mode, on.path}, ready)
		if err != nil {
			return err
		}
		b.results.Watched = append(b.results.Watched, c)
	}
	return b.daemon(ctx, monitor, name, on)
}

// daemon is lockstep on the tree, after it has been measured on an empty one.
func (b *bench) daemon(ctx context.Context, monitor, floor string, on tree) error {
	empty := tree{path: on.path + "-empty"}
	if err := os.MkdirAll(empty.path, 0o755); err != nil {
		return err
	}
	var both [2]watched
	for i, from := range []tree{empty, on} {
		argv := []string{filepath.Join(b.bin, "lockstep"), "watch", "--format", "json", "--monitor", monitor}
		if monitor == "poll" {
			argv = append(argv, "--poll-every", pollEvery.String())
		}
		var err error
		both[i], err = b.watch(ctx, watched{Watcher: "lockstep, " + monitor, Floor: floor, Tree: from.dirs, Note: from.why},
			append(argv, from.path), `"op":"ready"`)
		if err != nil {
			return err
		}
	}
	base, w := both[0], both[1]
	w.EmptySeconds, w.Empty, w.User, w.Engine = base.Seconds, base.User, w.User-base.User, w.Engine-base.Engine
	b.results.Watched = append(b.results.Watched, w)
	return nil
}

// makeTree makes 100 directories in each, three levels deep.
func makeTree(top string, n int) error {
	for i := 0; n > 0; i++ {
		dir := filepath.Join(top, fmt.Sprintf("project-%03d", i/100), fmt.Sprintf("component-%03d", i%100))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		n--
		for k := 0; k < 99 && n > 0; k++ {
			if err := os.Mkdir(filepath.Join(dir, fmt.Sprintf("directory-%03d", k)), 0o755); err != nil {
				return err
			}
			n--
		}
	}
	return nil
}

// watch starts a program, waits for its word that all is watched, and looks at
// what that has cost.
func (b *bench) watch(ctx context.Context, w watched, argv []string, ready string) (watched, error) {
	before, err := meter.SlabNow()
	if err != nil {
		return w, err
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	in, err := cmd.StdinPipe()
	if err != nil {
		return w, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return w, err
	}
	cmd.Stderr = cmd.Stdout
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return w, err
	}
	lines := bufio.NewReader(out)
	said, err := await(lines, ready)
	w.Seconds = time.Since(begin).Seconds()
	if err != nil {
		_ = cmd.Process.Kill() // it is the failed one's last
		return w, errors.Join(fmt.Errorf("%q: %w: %s", argv, err, said), cmd.Wait())
	}
	w.Dirs = directories(said)
	err = w.measure(cmd.Process.Pid, before)
	if err == nil && w.Tree > 0 {
		err = w.comparison(ctx, cmd.Process.Pid, lines)
	}
	go io.Copy(io.Discard, lines) //nolint:errcheck // what else it says is not looked at
	err = errors.Join(err, in.Close(), end(cmd))
	fmt.Printf("%-20s %7d directories: %.2f s, %d kB of its processes, %d kB of the kernel\n", w.Watcher, w.Tree, w.Seconds, w.User>>10, w.Kernel>>10)
	return w, err
}

// measure looks at the processes and at the kernel.
func (w *watched) measure(pid int, before meter.Slab) error {
	for _, p := range meter.Family(pid) {
		w.CPU += p.CPU.Seconds()
		if m, err := meter.Own(p.PID); err == nil {
			w.User += m.PSS
			if strings.HasPrefix(p.Name, "lockstep-worker") || p.PID == pid && w.Floor == "" {
				w.Engine = m.PSS
			}
		}
	}
	after, err := meter.SlabNow()
	w.Kernel = after.Unreclaimable + after.Reclaimable - before.Unreclaimable - before.Reclaimable
	return err
}

// await reads until a line has the words.
func await(lines *bufio.Reader, words string) (string, error) {
	for last := ""; ; {
		line, err := lines.ReadString('\n')
		if strings.Contains(line, words) {
			return line, nil
		}
		if err != nil {
			return last, fmt.Errorf("it ended without %q: %w", words, err)
		}
		last = line
	}
}

// directories is what a line of readiness tells of them; 0: nothing.
func directories(line string) int64 {
	var r struct {
		Dirs int64 `json:"dirs"`
	}
	if json.Unmarshal([]byte(line), &r) != nil {
		_, _ = fmt.Sscanf(line, "watched %d", &r.Dirs)
	}
	return r.Dirs
}

// endTime is how long a program may take to end.
const endTime = time.Minute

// end ends a program as a person would, and waits for it.
func end(cmd *exec.Cmd) error {
	late := time.AfterFunc(endTime, func() { _ = cmd.Process.Kill() }) // Wait says that it was
	defer late.Stop()
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil // how a killed one ends is not what is measured
	}
	return err
}

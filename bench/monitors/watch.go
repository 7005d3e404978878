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
	"strings"
	"syscall"
	"time"

	"lockstep/bench/meter"
)

// watches has the same tree watched by the C program and by lockstep, each until
// all of it is, and measures what that holds.
func (b *bench) watches(ctx context.Context, memory string) (err error) {
	if b.dirs == 0 {
		return nil
	}
	src, dst := filepath.Join(memory, "src"), filepath.Join(memory, "dst")
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
	c, err := b.watch(ctx, floorName, []string{b.floorC, "drain", src}, "watched")
	if err != nil {
		return err
	}
	b.results.Watched = append(b.results.Watched, c)
	for _, monitor := range b.monitorNames() {
		if err := b.daemon(ctx, monitor, src, dst); err != nil {
			return err
		}
	}
	return nil
}

// daemon is lockstep on the tree, after it has been measured on an empty one.
func (b *bench) daemon(ctx context.Context, monitor, src, dst string) error {
	empty := src + "-empty"
	var both [2]watched
	for i, from := range []string{empty, src} {
		for _, dir := range []string{empty, dst} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		}
		argv, ready := b.lockstep(ctx, monitor, from, dst)
		var err error
		if both[i], err = b.watch(ctx, "lockstep, "+monitor, argv, ready); err != nil {
			return err
		}
		for _, dir := range []string{dst, filepath.Join(b.scratch, "state")} {
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
		}
	}
	base, w := both[0], both[1]
	w.EmptySeconds, w.Empty, w.User, w.Engine = base.Seconds, base.User, w.User-base.User, w.Engine-base.Engine
	b.results.Watched = append(b.results.Watched, w)
	return nil
}

// lockstep is the command line that watches, and what it says when all is watched.
// `lockstep watch`, where there is one, copies nothing meanwhile.
func (b *bench) lockstep(ctx context.Context, monitor, src, dst string) (argv []string, ready string) {
	program := filepath.Join(b.bin, "lockstep")
	if help, _ := exec.CommandContext(ctx, program, "help").CombinedOutput(); strings.Contains(string(help), "lockstep watch") {
		return []string{program, "watch", "--format", "json", "--monitor", monitor, src}, `"op":"ready"`
	}
	return []string{program, "mirror", "--log-format", "json", "--monitor", monitor, "--runtime-dir", filepath.Join(b.scratch, "run"),
		"--state-dir", filepath.Join(b.scratch, "state"), src, dst}, "ready: every directory is watched"
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
func (b *bench) watch(ctx context.Context, name string, argv []string, ready string) (w watched, err error) {
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
	said, err := await(out, ready)
	w = watched{Watcher: name, Seconds: time.Since(begin).Seconds()}
	if err != nil {
		_ = cmd.Process.Kill() // it is the failed one's last
		return w, errors.Join(fmt.Errorf("%q: %w: %s", argv, err, said), cmd.Wait())
	}
	w.Dirs = directories(said)
	err = w.measure(cmd.Process.Pid, before)
	go io.Copy(io.Discard, out) //nolint:errcheck // what else it says is not looked at
	err = errors.Join(err, in.Close(), end(cmd))
	fmt.Printf("%-18s %.2f s, %d kB of its processes, %d kB of the kernel\n", name, w.Seconds, w.User>>10, w.Kernel>>10)
	return w, err
}

// measure looks at the processes and at the kernel.
func (w *watched) measure(pid int, before meter.Slab) error {
	for _, p := range meter.Family(pid) {
		w.CPU += p.CPU.Seconds()
		if m, err := meter.Own(p.PID); err == nil {
			w.User += m.PSS
			if strings.HasPrefix(p.Name, "lockstep-worker") || p.PID == pid && w.Watcher == floorName {
				w.Engine = m.PSS
			}
		}
	}
	after, err := meter.SlabNow()
	w.Kernel = after.Unreclaimable + after.Reclaimable - before.Unreclaimable - before.Reclaimable
	return err
}

// await reads until a line has the words.
func await(r io.Reader, words string) (string, error) {
	lines := bufio.NewReader(r)
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

// end ends a program as a person would, and waits for it.
func end(cmd *exec.Cmd) error {
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

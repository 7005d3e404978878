package scenario

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// command runs a command to its end and says what it took. Its CPU includes
// that of its children.
func (e *Env) command(ctx context.Context, stdin string, words ...string) (copied, error) {
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	begin := time.Now()
	err := cmd.Run()
	took := time.Since(begin)
	if err != nil {
		return copied{}, fmt.Errorf("%q: %w: %s", words, err, bytes.TrimSpace(said.Bytes()))
	}
	return copied{took, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}, nil
}

// CompileFloor compiles the C program.
func CompileFloor(ctx context.Context, source, scratch string) (string, error) {
	c, out := filepath.Join(scratch, "floor.c"), filepath.Join(scratch, "floor")
	if err := os.WriteFile(c, []byte(source), 0o600); err != nil {
		return "", err
	}
	if said, err := exec.CommandContext(ctx, "gcc", "-O2", "-o", out, c).CombinedOutput(); err != nil {
		return "", fmt.Errorf("gcc: %w: %s", err, said)
	}
	return out, nil
}

// floors measures what the daemons on a tree of that size are compared with.
func (e *Env) floors(ctx context.Context, rep int, scenario string, dirs int) error {
	p, _, err := e.tree(ctx, dirs)
	if err != nil {
		return err
	}
	r := e.Results
	noop, err := e.command(ctx, "", "rsync", "-aH", "--delete", p.src+"/", p.dst+"/")
	if err != nil {
		return err
	}
	own, err := e.ownPass(ctx, p)
	if err != nil {
		return err
	}
	ours, err := e.command(ctx, "", own...)
	if err != nil {
		return err
	}
	for name, c := range map[string]copied{FloorNoop: noop, FloorOwn: ours} {
		r.Add(scenario, name, "ready", "ms", rep, millis(c.took))
		r.Add(scenario, name, "cpu", "s", rep, c.cpu.Seconds())
	}
	e.Say("floors, %s: no-op rsync %.0f ms, with lockstep's options %.0f ms", scenario, millis(noop.took), millis(ours.took))
	return nil
}

// ownPass is the command line of lockstep's whole pass, as lockstep itself says
// it. Its rules come from standard input, and there are none.
func (e *Env) ownPass(ctx context.Context, p pair) ([]string, error) {
	state := filepath.Join(e.Scratch, "check")
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, err
	}
	conf := filepath.Join(state, "lockstep.toml")
	text := fmt.Sprintf("[service]\nstate_dir = %q\n[[sync]]\nname = \"bench\"\nsource = %q\ntargets = [%q]\n", state, p.src, p.dst)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, filepath.Join(e.Launcher.Bin, "lockstep"), "check", "--json", "-c", conf).Output()
	if err != nil {
		return nil, fmt.Errorf("lockstep check: %w: %s", err, out)
	}
	return initialCommand(out)
}

// initialCommand finds the command in what `lockstep check --json` prints.
func initialCommand(text []byte) ([]string, error) {
	var said struct {
		Syncs []struct {
			Targets []struct {
				Commands struct {
					Initial []string `json:"initial"`
				} `json:"commands"`
			} `json:"targets"`
		} `json:"syncs"`
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return nil, err
	}
	if len(said.Syncs) == 0 || len(said.Syncs[0].Targets) == 0 || len(said.Syncs[0].Targets[0].Commands.Initial) == 0 {
		return nil, errors.New("lockstep check --json names no command for a whole pass")
	}
	return said.Syncs[0].Targets[0].Commands.Initial, nil
}

// drain reads the raw events of a burst by the C program: what it takes to see
// them at all.
func (e *Env) drain(ctx context.Context, rep int) (err error) {
	p, remove, err := e.fresh(ctx, "drain")
	defer func() { err = errors.Join(err, remove()) }()
	if err != nil {
		return err
	}
	b := e.burstOf(rep)
	if err := b.Prepare(p.src); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, e.FloorC, "drain", p.src)
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewReader(out)
	_, err = lines.ReadString('\n') // "watched"
	begin := time.Now()
	if err == nil {
		err = b.Run(p.src)
	}
	took := time.Since(begin)
	err = errors.Join(err, in.Close())
	line, err2 := lines.ReadString('\n')
	if err := errors.Join(err, err2, cmd.Wait()); err != nil {
		return err
	}
	return e.drained(rep, line, took)
}

func (e *Env) drained(rep int, line string, took time.Duration) error {
	var events, bytes, usec, overflows float64
	if _, err := fmt.Sscanf(line, "drained %f %f %f %f", &events, &bytes, &usec, &overflows); err != nil {
		return fmt.Errorf("the C program said %q: %w", line, err)
	}
	if events == 0 || overflows > 0 {
		return fmt.Errorf("the C program read %v events with %v overflows", events, overflows)
	}
	r := e.Results
	r.Add(Drain, FloorC, "events", "", rep, events)
	r.Add(Drain, FloorC, "rate", "events/s", rep, events/took.Seconds())
	r.Add(Drain, FloorC, "cpu", "µs/event", rep, usec/events)
	e.Say("floor, drain: %.0f events at %.0f a second, %.2f µs of CPU each", events, events/took.Seconds(), usec/events)
	return nil
}

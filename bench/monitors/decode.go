package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// decoder is a row: its program reads as many events as it is told, and says what
// that took.
type decoder struct {
	name, about string
	argv        func(b *bench, dir string) []string
}

const floorName = "C program"

func decoders() []decoder {
	product := func(name, about string) decoder {
		return decoder{name, about, func(b *bench, dir string) []string {
			return []string{filepath.Join(b.bin, "lockstep-decode"), name, dir, strconv.Itoa(b.events)}
		}}
	}
	return []decoder{
		{floorName, "read(2) of inotify and a loop over the events", func(b *bench, dir string) []string {
			return []string{b.floorC, "pump", dir, strconv.Itoa(b.events)}
		}},
		product("inotify", "the same, decoded"),
		product("inotify-tracked", "the same, and each becomes a marked path by way of the tree"),
		{floorName + ", fanotify", "read(2) of fanotify and a loop over the events", func(b *bench, dir string) []string {
			return []string{b.floorC, "listen", dir, strconv.Itoa(b.events)}
		}},
		product("fanotify", "the same, decoded"),
		product("resolver-hot", "fanotify by way of the resolver to the worker, decoded twice: one directory, whose place is known"),
		product("resolver-cold", "the same, each event in a directory whose place is asked for"),
		product("records", "packets of the resolver (fanotify, dnotify), decoded"),
	}
}

// decoders runs each in turns.
func (b *bench) decoders(ctx context.Context, dir string) error {
	if b.events == 0 {
		return nil
	}
	for rep := range b.n {
		for _, d := range decoders() {
			if err := os.Mkdir(dir, 0o755); err != nil {
				return err
			}
			words := d.argv(b, dir)
			cmd := exec.CommandContext(ctx, words[0], words[1:]...)
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			if err != nil {
				return fmt.Errorf("%q: %w", words, err)
			}
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
			one := decoded{Decoder: d.name, About: d.about, Rep: rep + 1}
			n, err := fmt.Sscanf(string(out), "pumped %d %d %d", &one.Events, &one.Nanos, &one.Allocations)
			if n < 2 || one.Events < int64(b.events) {
				return fmt.Errorf("%q said %q: %w", words, out, err)
			}
			fmt.Printf("%-16s %d events, %.0f a second\n", d.name, one.Events, one.rate())
			b.results.Decoded = append(b.results.Decoded, one)
		}
	}
	return nil
}

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lockstep/bench/meter"
)

// decoded is one decoder's run.
type decoded struct {
	Decoder     string `json:"decoder"`
	About       string `json:"about"`
	Rep         int    `json:"rep"`
	Events      int64  `json:"events"`
	Nanos       int64  `json:"nanos"`
	Allocations int64  `json:"allocations"`
}

func (d decoded) rate() float64 { return float64(d.Events) / (float64(d.Nanos) / 1e9) }

// watched is one program that watched a tree.
type watched struct {
	Watcher string  `json:"watcher"`
	Dirs    int64   `json:"dirs"` // as it says itself; 0: it does not
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu"` // of all its processes
	// EmptySeconds is the time with nothing to watch: as long as Seconds where
	// readiness does not depend on the tree (lockstep with fanotify).
	EmptySeconds float64 `json:"empty_seconds"`

	Empty  int64 `json:"empty"`  // bytes, of all its processes with nothing to watch
	User   int64 `json:"user"`   // of all its processes
	Engine int64 `json:"engine"` // of the one that knows the tree
	Kernel int64 `json:"kernel"` // slab, more than before
}

type results struct {
	Date    string        `json:"date"`
	Commit  string        `json:"commit"`
	Machine meter.Machine `json:"machine"`
	Events  int           `json:"events"`
	Dirs    int           `json:"dirs"`
	Decoded []decoded     `json:"decoded"`
	Watched []watched     `json:"watched"`
}

// write makes monitors.json and monitors.md, and prints the second.
func (r *results) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "monitors.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	table := r.table()
	fmt.Print("\n", table)
	return os.WriteFile(filepath.Join(dir, "monitors.md"), []byte(table), 0o644)
}

func (r *results) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# What monitors cost\n\n%s, %s; %d × %s, %d MiB, Linux %s, %s, %s.\n", r.Date, r.Commit,
		r.Machine.Cores, r.Machine.CPU, r.Machine.MemoryMiB, r.Machine.Kernel, r.Machine.FileSystem, r.Machine.Go)
	if len(r.Decoded) > 0 {
		fmt.Fprintf(&b, "\n## Decoders\n\n%d events each, from the kernel's queue to the last call; the best of the repetitions, and against the C program's best.\n\n", r.Events)
		b.WriteString("| decoder | | events a second | ns an event | × C | allocations an event |\n|---|---|---|---|---|---|\n")
		best := r.best()
		for _, d := range best {
			ns := float64(d.Nanos) / float64(d.Events)
			floor := float64(best[0].Nanos) / float64(best[0].Events)
			fmt.Fprintf(&b, "| %s | %s | %.0f | %.0f | %.2f | %.6f |\n", d.Decoder, d.About, d.rate(), ns, ns/floor, float64(d.Allocations)/float64(d.Events))
		}
	}
	if len(r.Watched) > 0 {
		fmt.Fprintf(&b, "\n## Watching\n\n%d directories on tmpfs, one after the other. Memory is proportional (Pss), above that with an empty tree; that of the kernel is how much its slab grew, with lockstep's copy as far as it was made by then.\n\n", r.Dirs)
		b.WriteString("| | time, s | × C | CPU, s | empty, MB | more, bytes a directory | of them the engine | kernel, bytes a directory |\n|---|---|---|---|---|---|---|---|\n")
		for _, w := range r.Watched {
			per := func(bytes int64) float64 { return float64(bytes) / float64(r.Dirs) }
			fmt.Fprintf(&b, "| %s | %.2f | %.2f | %.2f | %.1f | %.0f | %.0f | %.0f |\n", w.Watcher, w.Seconds, w.Seconds/r.Watched[0].Seconds, w.CPU, float64(w.Empty)/1e6, per(w.User), per(w.Engine), per(w.Kernel))
		}
		b.WriteString("\nReady with an empty tree:")
		for _, w := range r.Watched[1:] {
			fmt.Fprintf(&b, " %s after %.2f s;", w.Watcher, w.EmptySeconds)
		}
		b.WriteString(" what is above that grows with the tree.\n")
	}
	return b.String()
}

// best is each decoder's fastest run, in the order of the table.
func (r *results) best() []decoded {
	var out []decoded
	for _, d := range r.Decoded {
		i := slices.IndexFunc(out, func(o decoded) bool { return o.Decoder == d.Decoder })
		switch {
		case i < 0:
			out = append(out, d)
		case d.rate() > out[i].rate():
			out[i] = d
		}
	}
	return out
}

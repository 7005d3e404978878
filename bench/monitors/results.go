package main

import (
	"encoding/json"
	"fmt"
	"math"
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
	Floor   string  `json:"floor,omitempty"` // the C program that does the same; "": it is one
	Dirs    int64   `json:"dirs"`            // as it says itself; 0: it does not
	Tree    int     `json:"tree"`            // as many were made
	Note    string  `json:"note,omitempty"`  // why it is another number
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu"` // of all its processes
	// EmptySeconds is the time with nothing to watch: as long as Seconds where
	// readiness does not depend on the tree (lockstep with fanotify).
	EmptySeconds float64 `json:"empty_seconds"`

	Empty  int64 `json:"empty"`  // bytes, of all its processes with nothing to watch
	User   int64 `json:"user"`   // of all its processes
	Engine int64 `json:"engine"` // of the one that knows the tree
	Kernel int64 `json:"kernel"` // slab, more than before

	// One comparison of all, where changes are found so; else 0.
	Compare    float64 `json:"compare_seconds,omitempty"`
	CompareCPU float64 `json:"compare_cpu,omitempty"`
}

// each is what the watching took for each directory, in seconds.
func (w *watched) each() float64 { return w.Seconds / float64(w.Tree) }

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
		fmt.Fprintf(&b, "\n## Decoders\n\n%d events each, from the kernel's queue to the last call; the best of the repetitions, and against the best of the C program above it (packets come from no kernel; the C program makes no path of an event).\n\n", r.Events)
		b.WriteString("| decoder | | events a second | ns an event | × C | allocations an event |\n|---|---|---|---|---|---|\n")
		best := r.best()
		var floor float64
		for _, d := range best {
			ns := float64(d.Nanos) / float64(d.Events)
			if strings.HasPrefix(d.Decoder, floorName) {
				floor = ns
			}
			fmt.Fprintf(&b, "| %s | %s | %.0f | %.0f | %.2f | %.6f |\n", d.Decoder, d.About, d.rate(), ns, ns/floor, float64(d.Allocations)/float64(d.Events))
		}
	}
	if len(r.Watched) > 0 {
		b.WriteString("\n## Watching\n\nDirectories on tmpfs, watched by one program after the other until it says that all are; × C: for each directory, against the C program of the same system calls in the same run. Memory is proportional (Pss), above that with an empty tree; that of the kernel is how much its slab grew.\n\n")
		b.WriteString("| | directories | time, s | µs a directory | × C | CPU, s | empty, MB | more, bytes a directory | of them the engine | kernel, bytes a directory |\n|---|---|---|---|---|---|---|---|---|---|\n")
		for _, w := range r.Watched {
			per := func(bytes int64) int64 { return int64(math.Round(float64(bytes) / float64(w.Tree))) }
			fmt.Fprintf(&b, "| %s | %d | %.2f | %.2f | %s | %.2f | %.1f | %d | %d | %d |\n", w.Watcher, w.Tree, w.Seconds, w.each()*1e6,
				r.ratio(w, (*watched).each), w.CPU, float64(w.Empty)/1e6, per(w.User), per(w.Engine), per(w.Kernel))
		}
		for _, w := range r.Watched {
			if w.Note != "" {
				fmt.Fprintf(&b, "\n%s: %s.\n", w.Watcher, w.Note)
			}
		}
		b.WriteString("\nReady with an empty tree:")
		for _, w := range r.Watched {
			if w.Floor != "" {
				fmt.Fprintf(&b, " %s after %.2f s;", w.Watcher, w.EmptySeconds)
			}
		}
		b.WriteString(" what is above that grows with the tree.\n")
		r.comparisons(&b)
	}
	return b.String()
}

// comparisons is the table of those that look at everything again.
func (r *results) comparisons(b *strings.Builder) {
	head := "\n## One comparison\n\nNothing has changed, and everything is listed and looked at once more. lockstep's is seen from outside, in steps of " + step.String() + ".\n\n| | directories | time, s | × C | CPU, s |\n|---|---|---|---|---|\n"
	for _, w := range r.Watched {
		if w.Compare > 0 {
			fmt.Fprintf(b, "%s| %s | %d | %.2f | %s | %.2f |\n", head, w.Watcher, w.Tree, w.Compare,
				r.ratio(w, func(w *watched) float64 { return w.Compare / float64(w.Tree) }), w.CompareCPU)
			head = ""
		}
	}
}

// ratio is a row's number against that of its floor.
func (r *results) ratio(w watched, of func(*watched) float64) string {
	for i := range r.Watched {
		if floor := &r.Watched[i]; floor.Watcher == w.Floor || w.Floor == "" && floor.Watcher == w.Watcher {
			return fmt.Sprintf("%.2f", of(&w)/of(floor))
		}
	}
	return "–"
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

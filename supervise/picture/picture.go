// Package picture shows a service to programs: where each sync and target stands,
// and what they are told, as JSON.
//
// Trust: linked into the supervisor; pure. Its input is numbers, words of the
// supervisor's, and what root wrote.
//
// Invariant: what is made is one line of JSON, and printable.
package picture

import (
	"bytes"
	"encoding/json"
	"fmt"

	"lockstep/config"
	"lockstep/config/keys"
	"lockstep/console"
	"lockstep/internal/buildinfo"
	"lockstep/internal/escape"
	"lockstep/ipc/status"
	"lockstep/supervise/words"
)

// Status is where the syncs stand. Its names are stable; numbers may be added.
type Status struct {
	Syncs []Sync `json:"syncs"`
}

// Sync is where one stands.
type Sync struct {
	Name    string            `json:"name"`
	State   string            `json:"state"`
	Why     string            `json:"why"` // nothing runs; "": it does
	Ready   bool              `json:"ready"`
	Paused  bool              `json:"paused"`
	Ended   bool              `json:"ended"`
	Numbers map[string]uint64 `json:"numbers"`
	Targets []Target          `json:"targets"`
}

// Target is where one of its targets stands.
type Target struct {
	Target  string            `json:"target"`
	State   string            `json:"state"`
	Why     string            `json:"why"` // nothing is written to it; "": it may be
	Numbers map[string]uint64 `json:"numbers"`
}

// Syncs are where parts stand.
func Syncs(parts []console.Part) Status {
	s := Status{Syncs: []Sync{}}
	for _, p := range parts {
		one := Sync{Name: p.Name, State: state(p), Why: escape.Name(p.Why), Ready: p.Ready, Paused: p.Paused, Ended: p.Ended,
			Numbers: Numbers(p.Report), Targets: []Target{}}
		for _, t := range p.Targets {
			to := Target{Target: escape.Name(t.Name), State: console.StateName(t.Report.State), Why: escape.Name(t.Why), Numbers: Numbers(t.Report)}
			if t.Why != "" || p.Ended {
				to.State = one.State
			}
			if t.Why != "" && !p.Ended {
				to.State = console.StateName(status.StateHeld)
			}
			one.Targets = append(one.Targets, to)
		}
		s.Syncs = append(s.Syncs, one)
	}
	return s
}

// state is a sync's in one word.
func state(p console.Part) string {
	switch {
	case p.Ended:
		return "ended"
	case p.Paused:
		return "paused"
	case p.Why != "":
		return console.StateName(status.StateHeld)
	}
	return console.StateName(p.Report.State)
}

// Numbers are those of a report, by the names that the log has for them.
func Numbers(r status.Report) map[string]uint64 {
	out := map[string]uint64{}
	pairs := words.Numbers(r)
	for i := 0; i+1 < len(pairs); i += 2 {
		name, _ := pairs[i].(string)
		n, _ := pairs[i+1].(uint64)
		if name != "state" && name != "target" { // said by words
			out[name] = n
		}
	}
	return out
}

// Version is what runs.
type Version struct {
	Version string `json:"version"`
	Build   string `json:"build"`
}

// Running is this program's.
func Running() Version { return Version{buildinfo.Version, buildinfo.ID} }

// Info is what a service was told.
type Info struct {
	Version
	PID     int            `json:"pid"`
	Label   string         `json:"label"` // the name of the one sync, or of the first
	Files   []config.File  `json:"files"`
	Service map[string]any `json:"service"`
	Syncs   []Told         `json:"syncs"`
}

// Told is what one sync was told.
type Told struct {
	Name     string         `json:"name"`
	Source   string         `json:"source"`
	Targets  []string       `json:"targets"`
	Settings map[string]any `json:"settings"`
}

// Of is what a set says, of the sync with a name, or of all.
func Of(set config.Set, pid int, only string) Info {
	i := Info{Version: Running(), PID: pid, Files: []config.File{}, Syncs: []Told{}}
	for _, f := range set.Files {
		i.Files = append(i.Files, config.File{Path: escape.Name(f.Path), SHA256: f.SHA256})
	}
	_, i.Service = keys.Settings(config.Config{Service: set.Service}, keys.ScopeService)
	for n := range set.Syncs {
		if only != "" && set.Syncs[n].Name != only {
			continue
		}
		cfg := set.Config(n)
		one := Told{Name: cfg.Name, Source: escape.Name(cfg.Source), Targets: []string{}}
		for _, t := range cfg.Targets {
			one.Targets = append(one.Targets, escape.Name(t.String()))
		}
		_, one.Settings = keys.Settings(cfg, keys.ScopeSync)
		i.Syncs = append(i.Syncs, one)
	}
	if len(i.Syncs) > 0 {
		i.Label = i.Syncs[0].Name
	}
	return i
}

// Line is a value as one line of JSON, without its end.
func Line(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("the answer: %w", err)
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

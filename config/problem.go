package config

import (
	"fmt"
	"slices"
	"strings"

	"lockstep/internal/escape"
)

// Section is a part of a configuration that keys stand in: a sync (from 0 on)
// or one of those below.
type Section int

// The sections that are no sync.
const (
	InService  Section = -1
	InDefaults Section = -2 // for all syncs that do not say otherwise
	InRun      Section = -3 // of the command line
)

// Spot is a key in a section; the key "" is the section's header.
type Spot struct {
	In  Section
	Key string
}

// Places are where keys are written.
type Places map[Spot]Pos

// Find is where a key of a section is written: there, in the defaults, or not
// at all; then it is where the section begins.
func (p Places) Find(in Section, key string) Pos {
	for _, s := range []Spot{{in, key}, {InDefaults, key}} {
		if at, ok := p[s]; ok {
			return at
		}
	}
	return p[Spot{in, ""}]
}

// Flag is the name of a key on the command line, without dashes before it.
func Flag(key string) string { return strings.NewReplacer("_", "-", ".", "-").Replace(key) }

// Say is how a person wrote a key: in the file at path, or on a command line.
func Say(path, key string) string {
	switch {
	case path != "":
		return key
	case key == "source":
		return "SRC"
	case key == "targets":
		return "DST"
	}
	return "--" + Flag(key)
}

// Pos is where in a file something is written; the zero Pos is a command line.
type Pos struct {
	File         string
	Line, Column int
}

func (p Pos) String() string { return fmt.Sprintf("%s:%d:%d", escape.Name(p.File), p.Line, p.Column) }

// Problem is one thing that is wrong.
type Problem struct {
	Pos    Pos
	Thing  string // the key or path
	Reason string
	Advice string // what a person can do
	// Denied says that this is all that can be found out without being root.
	Denied bool
}

func (p Problem) Error() string {
	text := p.Reason
	if p.Thing != "" {
		text = p.Thing + ": " + text
	}
	if p.Pos.File != "" {
		text = p.Pos.String() + ": " + text
	}
	if p.Advice != "" {
		text += "; " + p.Advice
	}
	return text
}

// Problems is all that is wrong, in the order of the table or of the files.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// OrNil makes an error of problems: nil when there are none.
func (p Problems) OrNil() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// Sort puts problems in the order of the files that they are in.
func (p Problems) Sort(files []File) {
	rank := func(path string) int {
		return slices.IndexFunc(files, func(f File) bool { return f.Path == path })
	}
	slices.SortStableFunc(p, func(x, y Problem) int {
		if d := rank(x.Pos.File) - rank(y.Pos.File); d != 0 {
			return d
		}
		if d := x.Pos.Line - y.Pos.Line; d != 0 {
			return d
		}
		return x.Pos.Column - y.Pos.Column
	})
}

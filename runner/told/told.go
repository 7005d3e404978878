// Package told turns the lists of a job into calls of a handler: the program of a
// person's that is told what has changed, in place of rsync.
//
// Trust: part of the runner, in its jail. Names in lists and in the source are
// hostile; they become words and lines of list files, by package handler, and are
// never looked into for anything else.
// Imports: handler, ipc's types and settings, what was told before, thin system calls.
//
// Invariants: a call's words, but for names, marks of what happened and the paths
// of list files, are those that the supervisor gave; the program is not chosen
// here; there is one call at a time, and a list file is there as long as its call
// alone; of a whole pass, what the rules leave out is in no call, or in its exclude
// list.
package told

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"lockstep/handler"
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/plugin/frame"
	"lockstep/runner/keep"
	"lockstep/runner/signature"
)

// Bounds of one call where names are words: clsync's of words; of bytes far less
// than execve(2) takes with the usual stack.
const (
	maxWords = 256
	maxBytes = 1 << 20
)

// maxList bounds the list of one call: lists are in memory, where the handler has
// its own files as well, and a deep path has a line for each directory above it.
const maxList = 4 << 20

// batchOf is how many paths of a whole pass are told in one call, at most.
const batchOf = 50_000

// What CLSYNC_STATUS says.
const (
	statusInitial = "initsync"
	statusRunning = "running"
)

// Call is one call of the handler: of a program by words, or of a function.
type Call struct {
	Argv, Env []string
	Function  *Function // nil: it is a program
}

// Function is what a function is called with.
type Function struct {
	Status    string // what CLSYNC_STATUS and CLSYNC_ITERATION say
	Iteration uint64
	Entries   []handler.Entry // mode so
	Names     []string        // how it is told of each entry's path

	Include, Exclude string // mode rsyncso: list files
}

// Options are what package handler makes of a configuration.
func Options(c settings.Handler, program, source string) (handler.Options, error) {
	mode, err := handler.ParseMode(c.Mode)
	return handler.Options{
		Mode: mode, Path: program, Arguments: c.Arguments, Label: c.Label, Watch: source, Destination: c.Destination, PID: int(c.PID), Excludes: c.Excludes,
		Recursive: c.ForWhole, Simplify: c.Simplify,
		MaxWords: maxWords, MaxBytes: maxBytes, MaxList: maxList, MaxPaths: frame.MaxEntries, MaxName: frame.MaxPath,
	}, err
}

// Teller makes calls, of one job at a time: Turn has room for it.
type Teller struct {
	Turn chan struct{}
	Kept *keep.Ring // where copies of lists stay; nil: nowhere. Precondition: set before the first job

	c      settings.Handler
	mode   handler.Mode
	source string
	maker  *handler.Maker
	round  uint64 // jobs so far: CLSYNC_ITERATION
	passed bool   // a whole pass was made
	files  uint64
	unkept error // of a list of which there is no copy; told once

	memory *signature.Memory // nil: all is told
	unsaid uint64            // paths that were not told, for what they look like
}

// New makes a Teller.
func New(c settings.Handler, program, source string) (*Teller, error) {
	o, err := Options(c, program, source)
	if err != nil {
		return nil, err
	}
	if len(o.Arguments) == 0 {
		o.Arguments = nil
	}
	if len(o.Recursive) == 0 {
		o.Recursive = nil
	}
	maker, err := handler.New(o)
	if err != nil {
		return nil, err
	}
	t := &Teller{Turn: make(chan struct{}, 1), c: c, mode: o.Mode, source: source, maker: maker}
	if len(c.Changes) > 0 {
		if t.memory, err = signature.Open(source, c.Changes); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// exitVanished is rsync(1)'s, of files that went while it ran: each has an event of
// its own. clsync takes it for success wherever lists are rsync's.
const exitVanished = 24

// Fine says that an exit code is no failure.
func (t *Teller) Fine(code uint8) bool {
	if code == 0 || t.mode.Rsync() && code == exitVanished {
		return true
	}
	for _, c := range []byte(t.c.Ignore) {
		if c == code {
			return true
		}
	}
	return false
}

// Function says that functions are called, and no program.
func (t *Teller) Function() bool { return t.mode.Function() }

// ErrEnded says that call wanted no more.
var ErrEnded = errors.New("ended")

// Caller does with calls what is to be done. An error ends the job.
type Caller interface {
	Call(Call) error
	Lost(error) error // a call, or a directory, that there cannot be
}

// Tell makes the calls of a job one after the other and returns what none of them
// has. An error of the caller, or of who makes them, ends it.
func (t *Teller) Tell(kind ipc.JobKind, list []byte, over func() bool, caller Caller) ([]handler.Left, error) {
	j := &telling{Teller: t, caller: caller, b: handler.Batch{Status: statusRunning}}
	switch kind {
	case ipc.JobKnock, ipc.JobContent:
		// It is there, for it is here; and a whole pass has told of all content.
		return nil, nil
	case ipc.JobInitial:
		j.b.Status = statusInitial
		if t.memory != nil {
			t.memory.Forget() // what is gone by now, nobody has told
		}
		err := j.whole(list, over)
		return j.left, err
	case ipc.JobList:
		told, err := handler.ReadTold(list)
		if err != nil {
			return nil, err
		}
		for _, one := range t.chosen(told) {
			j.b.Entries = append(j.b.Entries, one.Entry(t.mode))
		}
		if t.c.Recursive {
			j.b.Entries = wholes(j.b.Entries)
		}
		if err = j.flush(); err == nil && t.memory != nil {
			t.memory.Told()
		}
		return j.left, err
	}
	return nil, fmt.Errorf("there is no job of kind %d for a handler", kind)
}

// chosen are those of which a field has changed that the handler asked for. What is
// gone is always told.
func (t *Teller) chosen(told []handler.Told) []handler.Told {
	if t.memory == nil {
		return told
	}
	t.memory.Begin()
	gone := map[string]bool{}
	for _, one := range told {
		if one.Mask&handler.MaskDelete != 0 {
			gone[one.Path] = true
		}
	}
	t.memory.Gone(gone)
	return slices.DeleteFunc(told, func(one handler.Told) bool {
		if gone[one.Path] && one.Mask&handler.MaskCreate == 0 || t.memory.Passes(one.Path) {
			return false
		}
		t.unsaid++
		return true
	})
}

// telling is one job's.
type telling struct {
	*Teller
	b      handler.Batch
	caller Caller
	left   []handler.Left
	round  uint64

	gathered int // bytes of the paths in b
}

// whole tells of the whole source, but for what the rules leave out.
func (j *telling) whole(rules []byte, over func() bool) error {
	rejected, err := Rejected(rules)
	if err != nil {
		return err
	}
	if j.c.Recursive && !j.mode.Rsync() {
		// What is rejected are sockets and mounts, of which the jail shows nothing: the
		// supervisor refuses rules beside calls for whole directories.
		j.b.Entries = []handler.Entry{{Mask: handler.FoundDir, New: handler.Dir, Recursive: true}}
		return j.flush()
	}
	if j.mode.Rsync() {
		j.b.Rejected = rejected
		j.b.Entries = []handler.Entry{{Mask: handler.FoundDir, New: handler.Dir, Recursive: true}}
		return j.flush()
	}
	return Walk(j.source, rejected, over, j.found, j.caller.Lost, j.flush)
}

// wholes makes of each directory that came one entry for it and all that is below it,
// and takes out what it stands for.
func wholes(entries []handler.Entry) []handler.Entry {
	came := map[string]bool{}
	for i := range entries {
		if e := &entries[i]; e.New == handler.Dir && e.Mask&handler.MaskCreate != 0 {
			e.Recursive = true
			came[e.Path] = true
		}
	}
	return slices.DeleteFunc(entries, func(e handler.Entry) bool {
		for i, c := range []byte(e.Path) {
			if c == '/' && came[e.Path[:i]] {
				return true
			}
		}
		return false
	})
}

// found adds a path of a whole pass.
func (j *telling) found(rel string, isDir bool) error {
	e := handler.Entry{Path: rel, Mask: handler.FoundFile, New: handler.File}
	if isDir {
		e.Mask, e.New = handler.FoundDir, handler.Dir
	}
	j.gathered += len(rel)
	if j.b.Entries = append(j.b.Entries, e); len(j.b.Entries) < batchOf && j.gathered < maxList {
		return nil
	}
	return j.flush()
}

// flush makes the calls of what has been gathered.
func (j *telling) flush() error {
	if len(j.b.Entries) == 0 {
		return nil
	}
	if j.round == 0 {
		j.Teller.round++
		j.round = j.Teller.round
	}
	j.b.Iteration = j.round - 1 // clsync counts from 0
	left, err := j.maker.Each(j.b, j.one)
	j.b.Entries, j.gathered = j.b.Entries[:0], 0
	j.left = append(j.left, left...)
	return err
}

// one makes one call, with its files.
func (j *telling) one(r handler.Run) (err error) {
	paths := map[handler.ListName]string{}
	defer func() {
		for _, path := range paths {
			if gone := os.Remove(path); !errors.Is(gone, fs.ErrNotExist) { // it may have done so itself
				err = errors.Join(err, gone)
			}
		}
	}()
	for _, l := range r.Lists {
		path := filepath.Join(j.c.Lists, j.name(l.Content))
		if err := write(path, l.Content); err != nil {
			return j.caller.Lost(fmt.Errorf("a list for the handler: %w", err))
		}
		paths[l.Name] = path
	}
	c := Call{Argv: handler.Fill(r.Argv, func(n handler.ListName) string { return paths[n] }), Env: r.Env}
	if j.mode.Function() {
		c.Function = &Function{Status: j.b.Status, Iteration: j.b.Iteration, Include: paths[handler.Include], Exclude: paths[handler.Exclude]}
		if !j.mode.Rsync() {
			c.Function.Entries, c.Function.Names = r.Entries, r.Names
		}
	}
	return j.caller.Call(c)
}

// name is that of a list for one call, and of its copy where one is kept.
func (j *telling) name(content []byte) string {
	if j.Kept != nil {
		name, err := j.Kept.Put(content)
		if err != nil {
			j.unkept = err
		}
		return name
	}
	j.files++
	return "list-" + strconv.FormatUint(j.files, 10)
}

// write makes a file that was not there: a name that another put in its place is
// not followed.
func write(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err != nil {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

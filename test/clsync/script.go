// Package clsync holds what the real clsync 0.4.5 hands to its handlers: scripts,
// and recordings of what came of them, as text.
//
// Trust: tests only. Nothing here is linked into the product, and clsync is run
// only by this package's own test (build tag e2e).
//
// Invariant: a recording is a fact, written by clsync's run and by nobody's hand;
// what of it changes from run to run (process numbers, temporary names) has names
// of its own, and what clsync orders by hash is sorted.
package clsync

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Script is one run of clsync: testdata/NAME.script.
type Script struct {
	Name      string
	About     string
	Mode      string
	Options   []string // of the command line, but for mode, label, directories and delays
	Arguments []string // the handler's, after "--"; nil: clsync's own
	Rules     []string
	Unordered bool // clsync's calls of one step have no order of their own
	Tree      string
	Steps     []Step
}

// Step is a number of calls of the handler. Do is run while the handler holds
// clsync up in the last call of the step before, so that all that it does is
// one batch.
type Step struct {
	Do    string
	Calls int
	// What clsync has collected for these calls, told by hand.
	Entries  []Entry
	Rejected []string
}

// Entry is one path of a batch.
type Entry struct {
	Mask     uint32
	Old, New string // unknown, absent, file, dir
	Flag     string // "", recursive, content
	Path     string
}

// Function says that clsync calls a function of a module, not a program.
func (s *Script) Function() bool { return s.Mode == "so" || s.Mode == "rsyncso" }

// Word is the entry as the module of the recorder tells it.
func (e Entry) Word() string {
	kinds := []string{"unknown", "absent", "file", "dir"}
	flags := map[string]int{"recursive": 1, "content": 2}
	return fmt.Sprintf("%d %d %d %d %s", e.Mask, slices.Index(kinds, e.Old), slices.Index(kinds, e.New), flags[e.Flag], e.Path)
}

// Dir is where scripts and recordings are, seen from the test of a package at
// the given depth below the checkout.
func Dir(depth int) string {
	return filepath.Join(strings.Repeat("../", depth), "test", "clsync", "testdata")
}

// Names are the scripts in dir.
func Names(dir string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.script"))
	for i, p := range paths {
		paths[i] = strings.TrimSuffix(filepath.Base(p), ".script")
	}
	return paths, err
}

// Load reads a script.
func Load(dir, name string) (*Script, error) {
	f, err := os.Open(filepath.Join(dir, name+".script"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := &Script{Name: name}
	in, key, n := bufio.NewScanner(f), "", 0
	for in.Scan() {
		n++
		line := in.Text()
		if about, ok := strings.CutPrefix(line, "# "); ok {
			s.About += about + " "
			continue
		}
		body, indented := strings.CutPrefix(line, "\t")
		if !indented {
			key, body, _ = strings.Cut(line, " ")
		}
		if err := s.set(key, body, indented); err != nil {
			return nil, fmt.Errorf("%s.script:%d: %w", name, n, err)
		}
	}
	return s, in.Err()
}

// set takes one line: a key with its value, or an indented line below a key.
func (s *Script) set(key, body string, indented bool) error {
	if !indented && key == "do" {
		s.Steps = append(s.Steps, Step{})
	}
	if len(s.Steps) == 0 {
		s.Steps = []Step{{}}
	}
	step := &s.Steps[len(s.Steps)-1]
	var err error
	switch {
	case key == "":
	case key == "mode":
		s.Mode = body
	case key == "options":
		s.Options, err = words(body)
	case key == "arguments":
		s.Arguments, err = words(body)
	case key == "unordered":
		s.Unordered = true
	case key == "calls":
		step.Calls, err = strconv.Atoi(body)
	case key == "batch" && indented:
		err = step.entry(body)
	case key == "rules" && indented:
		s.Rules = append(s.Rules, body)
	case key == "tree" && indented:
		s.Tree += body + "\n"
	case key == "do" && indented:
		step.Do += body + "\n"
	case indented, key != "batch" && key != "rules" && key != "tree" && key != "do":
		return fmt.Errorf("%q is not known here", key)
	}
	return err
}

// entry reads `MASK OLD NEW "PATH" [FLAG]`, `reject "PATH"`, or one of them with
// a number of files: `each N …` puts 1 to N in the place of %d.
func (s *Step) entry(body string) error {
	if rest, ok := strings.CutPrefix(body, "each "); ok {
		count, rest, _ := strings.Cut(rest, " ")
		n, err := strconv.Atoi(count)
		for i := 1; i <= n && err == nil; i++ {
			err = s.entry(strings.ReplaceAll(rest, "%d", strconv.Itoa(i)))
		}
		return err
	}
	w, err := words(body)
	if err != nil {
		return err
	}
	if len(w) == 2 && w[0] == "reject" {
		s.Rejected = append(s.Rejected, w[1])
		return nil
	}
	if len(w) != 4 && len(w) != 5 {
		return fmt.Errorf("%q is no entry", body)
	}
	mask, err := strconv.ParseUint(w[0], 10, 32)
	e := Entry{Mask: uint32(mask), Old: w[1], New: w[2], Path: w[3]}
	if len(w) == 5 {
		e.Flag = w[4]
	}
	s.Entries = append(s.Entries, e)
	return err
}

// words splits at blanks; a word in double quotes is one of Go's.
func words(s string) ([]string, error) {
	out := []string{}
	for s = strings.TrimLeft(s, " "); s != ""; s = strings.TrimLeft(s, " ") {
		word, rest, _ := strings.Cut(s, " ")
		if s[0] == '"' {
			quoted, err := strconv.QuotedPrefix(s)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", s, err)
			}
			if word, err = strconv.Unquote(quoted); err != nil {
				return nil, err
			}
			rest = s[len(quoted):]
		}
		out, s = append(out, word), rest
	}
	return out, nil
}

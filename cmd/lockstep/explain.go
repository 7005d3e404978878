package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"lockstep/config"
	"lockstep/config/file"
	"lockstep/config/resolve"
	"lockstep/internal/escape"
	"lockstep/supervise/explain"
	"lockstep/supervise/outline"
)

const explainHelp = `lockstep explain [-c FILE] PATH…

Tells for each path, and each directory on the way to it, which exclude pattern or
rule of the configuration decides what becomes of it, with file and line. A path
that is not there is taken for a file; with a slash behind it, for a directory.

  -c, --config FILE       the file (default ` + defaultFile + `)

Ends with 2 when a path is below no source, or the file has a fault.
`

// explainPaths is `lockstep explain`.
func explainPaths(args []string, stdout, stderr io.Writer) int {
	flags, path := fileFlags("explain")
	if done, code := parseWords(flags, args, explainHelp, stdout, stderr); done {
		return code
	}
	if flags.NArg() == 0 {
		return usage(stderr, "explain: no path is given; see lockstep explain --help")
	}
	set, err := file.Read(*path, root)
	wrong, _ := outline.Split(err)
	set, err = resolve.Set(set)
	more, _ := outline.Split(err)
	if wrong = append(wrong, more...); len(wrong) > 0 {
		wrong.Sort(set.Files)
		return tellWrong(wrong, false, stdout, stderr)
	}
	code, deciders := exitDone, map[string]*explain.Decider{}
	for _, word := range flags.Args() {
		if err := explainOne(set, deciders, word, stdout); err != nil {
			code = usage(stderr, err.Error())
		}
	}
	return code
}

// explainOne tells of a path in each sync that has it below its source. deciders are
// those that have been made, by the name of their sync.
func explainOne(set config.Set, deciders map[string]*explain.Decider, word string, stdout io.Writer) error {
	abs, err := filepath.Abs(word)
	if err != nil {
		return err
	}
	if real, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil && abs != "/" { // the path itself may be a link
		abs = filepath.Join(real, filepath.Base(abs))
	}
	info, err := os.Lstat(abs)
	p := explain.Path{Dir: strings.HasSuffix(word, "/") || err == nil && info.IsDir()}
	found := false
	var sources []string
	for _, s := range set.Syncs {
		sources = append(sources, escape.Name(s.Source))
		rel, err := filepath.Rel(s.Source, abs)
		if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
			continue
		}
		if p.Rel = rel; rel == "." {
			p.Rel = ""
		}
		found = true
		if s.RulesFile != "" && s.Rules == nil {
			return fmt.Errorf("%s: %s cannot be read, and what it decides is not known; run it as root", escape.Name(s.Name), escape.Name(s.RulesFile))
		}
		d := deciders[s.Name]
		if d == nil {
			if d, err = explain.New(s); err != nil {
				return err
			}
			deciders[s.Name] = d
		}
		if err := d.Write(stdout, p); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("%s is below no source; name a path below %s", escape.Name(abs), strings.Join(sources, " or "))
	}
	return nil
}

package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"lockstep/config"
	"lockstep/config/file"
	"lockstep/config/resolve"
	"lockstep/supervise"
	"lockstep/supervise/outline"
	"lockstep/supervise/reload"
)

const (
	defaultFile = "/etc/lockstep/lockstep.toml"
	root        = 0 // whose files are obeyed
)

// runFile is `lockstep run`.
func runFile(args []string, stdout, stderr io.Writer) int {
	var opts config.Run
	flags, path := fileFlags("run")
	accept := flags.StringArray("accept-root", nil, "")
	flags.BoolVar(&opts.Once, "once", false, "")
	flags.BoolVar(&opts.DryRun, "dry-run", false, "")
	runtimeDir := flags.String("runtime-dir", "", "")
	if done, code := parseFlags(flags, args, runHelp, stdout, stderr); done {
		return code
	}
	set, err := file.Read(*path, root)
	if *runtimeDir != "" { // two runs on one host need two
		set.RuntimeDir = *runtimeDir
	}
	if err == nil {
		set, err = set.ForRun(opts, *accept)
	}
	if err != nil {
		print(stderr, err.Error()+"\n")
		return exitUsage
	}
	again := func([]string) (config.Set, config.Problems, error) {
		set, err := file.Read(*path, root) // a person's consent was to what there was at the start
		return set, nil, err
	}
	return supervise.Run(set, reload.Source{Read: again}, append([]string{"run"}, args...))
}

// check is `lockstep check`: all that is wrong, or what would be done.
func check(args []string, stdout, stderr io.Writer) int {
	flags, path := fileFlags("check")
	asJSON := flags.Bool("json", false, "")
	if done, code := parseFlags(flags, args, checkHelp, stdout, stderr); done {
		return code
	}
	set, err := file.Read(*path, root)
	wrong, _ := outline.Split(err)
	set, err = resolve.Set(set)
	more, unchecked := outline.Split(err)
	wrong = append(append(wrong, more...), outline.Programs(set)...)
	wrong.Sort(set.Files)
	if len(wrong) > 0 {
		return tellWrong(wrong, *asJSON, stdout, stderr)
	}
	machine := outline.Look(os.Geteuid())
	machine.Unchecked = append(unchecked, machine.Unchecked...)
	plan := outline.Make(set, machine)
	if *asJSON {
		err = writeJSON(stdout, plan)
	} else {
		err = plan.Write(stdout)
	}
	if err != nil {
		print(stderr, "lockstep: "+err.Error()+"\n")
		return exitFailed
	}
	return exitDone
}

// problemJSON is one problem; the names are stable.
type problemJSON struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Thing  string `json:"thing"`
	Reason string `json:"reason"`
	Advice string `json:"advice,omitempty"`
}

func tellWrong(wrong config.Problems, asJSON bool, stdout, stderr io.Writer) int {
	if !asJSON {
		print(stderr, wrong.Error()+"\n")
		return exitUsage
	}
	list := make([]problemJSON, len(wrong))
	for i, p := range wrong {
		list[i] = problemJSON{p.Pos.File, p.Pos.Line, p.Pos.Column, p.Thing, p.Reason, p.Advice}
	}
	if err := writeJSON(stdout, map[string]any{"problems": list}); err != nil {
		print(stderr, "lockstep: "+err.Error()+"\n")
	}
	return exitUsage
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// fileFlags are what run and check have in common.
func fileFlags(name string) (*pflag.FlagSet, *string) {
	flags := pflag.NewFlagSet(name, pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	return flags, flags.StringP("config", "c", defaultFile, "")
}

// parseWords says whether that was all, and the exit code.
func parseWords(flags *pflag.FlagSet, args []string, help string, stdout, stderr io.Writer) (bool, int) {
	err := flags.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		print(stdout, help)
		return true, exitDone
	}
	if err != nil {
		return true, usage(stderr, err.Error()+"; see lockstep "+flags.Name()+" --help")
	}
	return false, 0
}

// parseFlags is parseWords for a command that takes none.
func parseFlags(flags *pflag.FlagSet, args []string, help string, stdout, stderr io.Writer) (bool, int) {
	if done, code := parseWords(flags, args, help, stdout, stderr); done {
		return done, code
	}
	if flags.NArg() > 0 {
		return true, usage(stderr, "lockstep "+flags.Name()+" takes no words, but "+strings.Join(flags.Args(), " ")+" was given; see lockstep "+flags.Name()+" --help")
	}
	return false, 0
}

const runHelp = `lockstep run [-c FILE] [--accept-root NAME]… [--once] [--dry-run] [--runtime-dir DIR]

Keeps all syncs of a configuration file in step, in the foreground.

  -c, --config FILE       the file (default ` + defaultFile + `); *.toml in
                          the directory beside it, FILE with .d for .toml, add syncs
  --accept-root NAME      the source or a target of the sync NAME is meant to be
                          another one now, or so many deletions are meant; may be repeated
  --once                  end when all targets are in step
  --dry-run               only show what the first passes would do
  --runtime-dir DIR       where the lock of this process is, whatever the file says

lockstep check tells all that is wrong with a file; its keys are in lockstep.toml(5).

Signals: TERM and INT finish running commands and end, a second INT ends at once,
HUP reads the configuration anew (what is wrong is logged, and nothing changes then),
USR1 verifies and writes the state to the log, USR2 starts a whole pass, IO writes
the state into files below the runtime directory. See lockstep ctl for more.
`

const checkHelp = `lockstep check [-c FILE] [--json]

Tells all that is wrong with a configuration file, each fault with its file, line
and column, and ends with 2; or shows what would be done: the keys in effect, the
command lines, limits and filters, and what this machine lacks.

  -c, --config FILE       the file (default ` + defaultFile + `)
  --json                  write JSON to standard output

As root it sees all that run sees. Others are told what they could not check.
`

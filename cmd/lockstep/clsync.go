package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"lockstep/clsync/cmdline"
	"lockstep/clsync/compile"
	"lockstep/clsync/lrsync"
	"lockstep/clsync/options"
	"lockstep/clsync/table"
	"lockstep/config"
	"lockstep/config/file"
	"lockstep/internal/escape"
	"lockstep/supervise"
	"lockstep/supervise/reload"
)

// asCommand is the command line when the program is called by the name of
// another: a link clsync to lockstep is `lockstep clsync`.
func asCommand(args []string) []string {
	if len(args) == 0 {
		return nil
	}
	if name := filepath.Base(args[0]); name == "clsync" || name == "lrsync" {
		return append([]string{name}, args[1:]...)
	}
	return args[1:]
}

// made is what messages call the configuration that is made of clsync's options.
const made = "--print-config"

// likeClsync is `lockstep clsync`.
func likeClsync(args []string, stdout, stderr io.Writer) int {
	return clsyncWords(append([]string{"clsync"}, args...), args, "", stdout, stderr)
}

// likeLrsync is `lockstep lrsync`.
func likeLrsync(args []string, stdout, stderr io.Writer) int {
	c, err := lrsync.Read(args, os.Getenv)
	switch {
	case err != nil:
		return refuse(nil, err, stderr)
	case c.Help:
		print(stdout, lrsyncHelp)
		return exitDone
	case c.Version:
		return run([]string{"version"}, stdout, stderr)
	case c.Show:
		print(stdout, c.String()+"\n")
		return exitDone
	}
	return clsyncWords(append([]string{"lrsync"}, args...), c.Words(), lrsync.Block, stdout, stderr)
}

// clsyncWords does what clsync's words say: it runs what they mean, as a file that
// is made of them and never written.
func clsyncWords(command, args []string, block string, stdout, stderr io.Writer) int {
	dir, err := os.Getwd()
	if err != nil {
		return refuse(nil, fmt.Errorf("the current directory: %w; start lockstep in one that is there", err), stderr)
	}
	env := options.Env{
		Dir: dir, Search: options.Search(os.Getenv("HOME")), Block: block, PID: os.Getpid(), ReadFile: readOwned, RealPath: filepath.EvalSymlinks,
	}
	o, err := options.Read(args, env)
	switch {
	case err != nil:
		return refuse(o.Warnings, err, stderr)
	case o.Help:
		print(stdout, clsyncHelp())
		return exitDone
	case o.Version:
		return run([]string{"version"}, stdout, stderr)
	}
	result, set, err := meant(o)
	if err == nil {
		err = blocks(o, set)
	}
	if err != nil {
		return refuse(result.Warnings, err, stderr)
	}
	warn(result.Warnings, stderr)
	if o.PrintConfig {
		print(stdout, string(result.Text))
		return exitDone
	}
	again := func(blocks []string) (config.Set, config.Problems, error) {
		return clsyncAgain(args, env, blocks, o, set)
	}
	return supervise.Run(set, reload.Source{Read: again, Signals: o.CustomSignals}, command)
}

// meant is what options mean.
func meant(o *options.Options) (compile.Result, config.Set, error) {
	result, err := compile.Compile(o, readOwned)
	if err != nil {
		return result, config.Set{}, err
	}
	set, err := file.Text(made, result.Text)
	if err == nil {
		set, err = set.ForRun(result.Run, nil)
	}
	return result, set, err
}

// blocks tells what is wrong with those that signals load: when one of them comes,
// nobody sees it.
func blocks(o *options.Options, set config.Set) error {
	var all config.Problems
	for _, number := range slices.Sorted(maps.Keys(o.CustomSignals)) {
		block := o.CustomSignals[number]
		next, err := o.With(block)
		var other config.Set
		if err == nil {
			_, other, err = meant(next)
		}
		var problems config.Problems
		if err == nil {
			problems = reload.Fixed(set, sameService(other, set))
		} else if !errors.As(err, &problems) {
			return err
		}
		for _, p := range problems {
			p.Thing = "[" + escape.Name(block) + "], which signal " + strconv.Itoa(number) + " loads: " + p.Thing
			all = append(all, p)
		}
	}
	return all.OrNil()
}

// clsyncAgain reads clsync's words and files anew, with blocks that signals have loaded.
func clsyncAgain(args []string, env options.Env, blocks []string, first *options.Options, was config.Set) (config.Set, config.Problems, error) {
	o, err := options.Read(args, env)
	for _, block := range blocks {
		if err == nil {
			o, err = o.With(block)
		}
	}
	if err != nil {
		return config.Set{}, o.Warnings, err
	}
	if !maps.Equal(o.CustomSignals, first.CustomSignals) {
		return config.Set{}, o.Warnings, config.Problems{{Pos: o.Given["custom-signals"], Thing: "custom-signals",
			Reason: "cannot change while lockstep runs", Advice: "put it back, or restart lockstep"}}
	}
	result, set, err := meant(o)
	return sameService(set, was), result.Warnings, err
}

// sameService is a set with the runtime directory of another one: it has its name of
// the directories that are followed at the start, and keeps that when they change.
func sameService(s, was config.Set) config.Set {
	s.RuntimeDir = was.RuntimeDir
	return s
}

// readOwned reads what only root can have written, or who else starts us: then
// nothing is run.
func readOwned(path string) ([]byte, error) { return file.Load(path, root, uint32(os.Geteuid())) }

// warn tells of what is done otherwise.
func warn(warnings config.Problems, stderr io.Writer) {
	for _, w := range warnings {
		print(stderr, "lockstep: warning: "+w.Error()+"\n")
	}
}

// refuse tells all that is wrong, and of what would be done otherwise.
func refuse(warnings config.Problems, err error, stderr io.Writer) int {
	warn(warnings, stderr)
	var problems config.Problems
	if !errors.As(err, &problems) {
		return usage(stderr, err.Error())
	}
	for _, p := range problems {
		usage(stderr, p.Error())
	}
	return exitUsage
}

// clsyncHelp is made of the table of options, and of what becomes of each.
func clsyncHelp() string {
	var b strings.Builder
	b.WriteString(clsyncUsage)
	for _, group := range []struct {
		title string
		kinds []compile.Kind
	}{
		{"Options", []compile.Kind{compile.Mapped}},
		{"Taken, and so in any case (nothing weakens it)", []compile.Kind{compile.Already}},
		{"Taken without effect, with a warning", []compile.Kind{compile.Useless, compile.Told}},
		{"Refused: not built yet", []compile.Kind{compile.Refused}},
	} {
		b.WriteString("\n" + group.title + ":\n")
		for _, kind := range group.kinds {
			for _, x := range compile.Outcomes() {
				if o, ok := table.Lookup(x.Name); ok && x.Kind == kind && o.Place != table.InFile {
					b.WriteString(optionHelp(o, x))
				}
			}
		}
	}
	return b.String()
}

func optionHelp(o table.Option, x compile.Outcome) string {
	left := "      --" + o.Name
	if o.Short != 0 {
		left = "  -" + string(o.Short) + ", --" + o.Name
	}
	switch unit := unitOf(o); o.Arg {
	case cmdline.Required:
		left += "=" + unit
	case cmdline.Optional:
		if o.Place != table.CommandLine { // nobody says --help=0
			left += "[=" + unit + "]"
		}
	}
	right := x.Help
	if x.Kind == compile.Told {
		right = o.Instead
	}
	if o.Default != "" && x.Kind == compile.Mapped && o.Name != "monitor" && o.Name != "label" {
		right += " (default " + o.Default + ")"
	}
	const column = 38
	if len(left) >= column {
		return left + "\n" + strings.Repeat(" ", column) + right + "\n"
	}
	return left + strings.Repeat(" ", column-len(left)) + right + "\n"
}

// unitOf is what a value looks like.
func unitOf(o table.Option) string {
	switch o.Type {
	case table.Path, table.Program:
		return "PATH"
	case table.Target:
		return "TARGET"
	case table.Number, table.Flag, table.Count, table.Octal:
		return "N"
	case table.Seconds:
		return "SECONDS"
	case table.Choices, table.Paths, table.Codes, table.Signals:
		return "LIST"
	case table.Choice:
		return "WORD"
	}
	return "TEXT"
}

const clsyncUsage = `lockstep clsync [options] [-- words for rsync]

Keeps a directory in step as told by clsync's options and configuration files, by
lockstep's own rsync: modes rsyncdirect and, with an rsync as its handler,
rsyncshell; in modes simple, direct, shell, rsyncshell, so and rsyncso by calling
the handler, in a jail. What lockstep cannot do yet is refused,
with exit code 2; what it does otherwise is a warning, and a remark in what
--print-config shows. A link named clsync to lockstep does the same.
`

const lrsyncHelp = `lockstep lrsync [options of clsync and words of rsync] SRC DST

Keeps DST in step with the contents of SRC, with the words of rsync: see lockstep
clsync --help for the options, and rsync_args in docs/config.md for the words.
RSYNC_PATH is the rsync; the block [lrsync] of clsync's configuration is read.

  --clsync-command-only   only print the command that is meant
  --print-config          only print the lockstep.toml that is meant
`

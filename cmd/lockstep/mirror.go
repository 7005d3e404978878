package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"lockstep/config"
	"lockstep/config/keys"
	"lockstep/supervise"
	"lockstep/supervise/reload"
)

// mirror reads the command line of `lockstep mirror` and runs it.
func mirror(args []string, stdout, stderr io.Writer) int {
	set, err := parseMirror(args)
	if errors.Is(err, pflag.ErrHelp) {
		print(stdout, mirrorHelp())
		return exitDone
	}
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			usage(stderr, line)
		}
		return exitUsage
	}
	return supervise.Run(set, reload.Source{}, append([]string{"mirror"}, args...))
}

// flagValue hands what the command line says to the builder, which gathers all
// that is wrong.
type flagValue struct {
	key keys.Key
	b   *keys.Builder
}

func (v flagValue) String() string { return v.key.Default }
func (v flagValue) Type() string   { return v.key.Unit }
func (v flagValue) Set(s string) error {
	v.b.Set(v.key.Name, s)
	return nil
}

// parseMirror makes a configuration of flags and words.
func parseMirror(args []string) (config.Set, error) {
	b := keys.NewBuilder()
	flags := pflag.NewFlagSet("mirror", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.SortFlags = false
	for _, k := range keys.Table() {
		if k.Word {
			continue
		}
		f := flags.VarPF(flagValue{k, b}, k.Flag(), "", k.Help)
		if k.Switch() {
			f.NoOptDefVal = "true"
		}
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return config.Set{}, err
		}
		return config.Set{}, fmt.Errorf("%w; see lockstep mirror --help", err)
	}
	words := flags.Args()
	if len(words) > 0 {
		b.Set("source", words[0])
	}
	for _, target := range words[min(1, len(words)):] {
		b.Set("targets", target)
	}
	return b.Build()
}

const mirrorUsage = `lockstep mirror [flags] SRC DST…

Keeps each DST in step with the contents of the directory SRC: copies all of it
by rsync, deletes from DST what SRC lacks, and then follows each change. DST is
a directory, USER@HOST:PATH (ssh) or rsync://[USER@]HOST/MODULE[/PATH]. Owners,
modes, times, links and FIFOs are kept; sockets are skipped, and devices unless
--devices is given. With --mode and --handler a program of yours is told of what
changes in rsync's place; then DST may be left out.
`

// mirrorHelp is made of the table of keys.
func mirrorHelp() string {
	var b strings.Builder
	b.WriteString(mirrorUsage)
	for _, group := range keys.Groups() {
		fmt.Fprintf(&b, "\n%s:\n", strings.ToUpper(string(group[:1]))+string(group[1:]))
		for _, k := range keys.Table() {
			if k.Group == group && !k.Word {
				b.WriteString(flagHelp(k))
			}
		}
	}
	b.WriteString("\nSignals: TERM and INT finish running commands and end, a second INT ends at once,\n" +
		"USR1 verifies and writes the state to the log, USR2 starts a whole pass, IO writes\n" +
		"the state into files below the runtime directory.\n")
	return b.String()
}

func flagHelp(k keys.Key) string {
	left := "  --" + k.Flag()
	if !k.Switch() {
		left += " " + k.Unit
	}
	right := k.Help
	if k.Default != "" {
		right += " (default " + k.Default + ")"
	}
	const column = 34
	if len(left) >= column {
		return left + "\n" + strings.Repeat(" ", column) + right + "\n"
	}
	return left + strings.Repeat(" ", column-len(left)) + right + "\n"
}

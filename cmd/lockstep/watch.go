package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"lockstep/config/choose"
	"lockstep/supervise"
	watching "lockstep/supervise/watch"
)

// watch is `lockstep watch`.
func watch(args []string, stdout, stderr io.Writer) int {
	o, err := parseWatch(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		print(stdout, watchHelp)
		return exitDone
	case err != nil:
		return usage(stderr, err.Error()+"; see lockstep watch --help")
	}
	return supervise.Watch(o, append([]string{"watch"}, args...), os.Stdin, os.Stdout)
}

// parseWatch makes options of flags and words.
func parseWatch(args []string) (o watching.Options, err error) {
	flags := pflag.NewFlagSet("watch", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	format := flags.String("format", "text", "")
	flags.StringVar(&o.Monitor, "monitor", choose.Auto, "")
	flags.DurationVar(&o.PollEvery, "poll-every", 0, "")
	flags.BoolVar(&o.AllowBlind, "allow-blind", false, "")
	flags.StringArrayVar(&o.Exclude, "exclude", nil, "")
	flags.DurationVar(&o.Settle, "settle", 0, "")
	flags.BoolVar(&o.Follow, "follow-renames", false, "")
	flags.DurationVar(&o.VerifyEvery, "verify-every", 0, "")
	flags.BoolVar(&o.Stats, "stats", false, "")
	flags.BoolVar(&o.Interactive, "interactive", false, "")
	flags.StringArrayVar(&o.AllowMissing, "allow-missing", nil, "")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch *format {
	case "json":
		o.JSON = true
	case "text":
	default:
		return o, fmt.Errorf("--format: %q is none; use json or text", *format)
	}
	if !choose.Known(o.Monitor) {
		return o, fmt.Errorf("--monitor: %q is not in this version; use %s", o.Monitor, strings.Join(choose.Words(), ", "))
	}
	if e := o.PollEvery; e != 0 && (e < choose.LeastEvery || e > choose.MostEvery) {
		return o, fmt.Errorf("--poll-every: %v is not between %v and %v", e, choose.LeastEvery, choose.MostEvery)
	}
	if o.Settle < 0 || o.VerifyEvery < 0 {
		return o, errors.New("--settle and --verify-every: a duration is not negative; write one such as 200ms, 2s or 30m")
	}
	o.Dirs = flags.Args()
	if len(o.Dirs) == 0 {
		return o, errors.New("DIR: missing; name a directory to be watched")
	}
	return o, nil
}

const watchHelp = `lockstep watch [flags] DIR…

Tells what changes in each DIR and below it, a line a change, on standard output:

  create modify attrib delete   of a name; modify also when a file that was open
                                for writing is closed
  move                          from one name to another, with all that is below
  overflow                      changes were lost
  rescan                        look at the path and all below it: what happened
                                there was not told; from now on it is again

The first line says ready: each directory is watched. What comes into a tree with
all that is in it is told as a create for each name; what leaves it, as one delete.

  --format FORMAT         text, or json: an object a line, with the members root
                          time op type (file dir symlink other; without, it was
                          gone before it could be looked at) path (below root),
                          from (of a move), cause (of an overflow or a rescan); a
                          name that is not UTF-8 is in path_b64 or from_b64
                          (default text)
  --monitor MONITOR       where changes are heard of: auto, inotify, fanotify, dnotify,
                          or poll, which compares listings (default auto: as suits
                          the file system)
  --poll-every TIME       how long after a listing a directory is listed again
  --allow-blind           accept that changes by others are not seen on a file system
                          that does not tell of them (NFS, SMB, FUSE, …), instead of
                          polling it; else a MONITOR that misses them is refused
  --exclude PATTERN       leave out what matches (gitignore syntax; may be repeated)
  --settle TIME           tell what became of a path once it was quiet for TIME, or
                          changed for ten times as long, or 65,536 others wait
                          (default 0: each change)
  --follow-renames        watch a DIR on that is renamed itself; else its name is
                          waited for until it is back
  --verify-every TIME     compare the tree with the file system, both ways
  --stats                 a line with numbers at the end, on SIGUSR1 and after each
                          verification
  --interactive           a prompt: list, write, verify, rebuild, roots, add, remove,
                          trace, quit; help explains them
  --allow-missing FEATURE run without a protection that the kernel lacks

It needs no root: it then watches what its user may list, without fanotify, and
says which of the guards that confine its processes hold, and which need root.
Signals: TERM and INT end it, a second one at once, USR1 verifies and tells numbers.
`

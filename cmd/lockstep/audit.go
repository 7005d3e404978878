package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/term"

	"lockstep/clsync/compile"
	"lockstep/clsync/lrsync"
	"lockstep/clsync/options"
	"lockstep/config"
	"lockstep/config/file"
	"lockstep/config/resolve"
	"lockstep/internal/escape"
	"lockstep/supervise/audit"
	"lockstep/supervise/audit/policy"
	"lockstep/supervise/audit/report"
	"lockstep/supervise/outline"
	"lockstep/trail/inspect"
)

const auditHelp = `lockstep audit self [-c FILE | --runtime-dir DIR] [--json] [--html FILE]

Looks at every process of each lockstep that runs on this host, by what the kernel
says of it, and compares that with the jails, filters and limits that this program
declares for it. Ends with 0 when all is as declared, with 1 when anything is not.

  -c, --config FILE       only the lockstep that runs with this file; it must run
  --runtime-dir DIR       only the one that has locked this directory; it must run
  --json                  write JSON to standard output
  --html FILE             write a page with a picture of the processes as well

Must be started as root. It stops and changes nothing.

lockstep audit verify, report and init are about the audit trail: each has --help.
`

// auditAny is `lockstep audit`.
func auditAny(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && slices.Contains([]string{"verify", "report", "init"}, args[0]) {
		return inspect.Main(args[0], args[1:], defaultFile, stdout, stderr)
	}
	return auditSelf(args, stdout, stderr)
}

// auditSelf is `lockstep audit self`.
func auditSelf(args []string, stdout, stderr io.Writer) int {
	flags, path := fileFlags("audit")
	asJSON := flags.Bool("json", false, "")
	page := flags.String("html", "", "")
	runtimeDir := flags.String("runtime-dir", "", "")
	if done, code := parseWords(flags, args, auditHelp, stdout, stderr); done {
		return code
	}
	if flags.NArg() != 1 || flags.Arg(0) != "self" {
		return usage(stderr, "audit: say what is to be audited: lockstep audit self")
	}
	if os.Geteuid() != 0 {
		return usage(stderr, "audit: only root is told enough by the kernel; run: sudo lockstep audit self")
	}
	o := audit.Options{Told: told, Only: *runtimeDir}
	if flags.Changed("config") {
		set, err := file.Read(*path, root)
		if err == nil {
			set, err = resolve.Set(set)
		}
		if err != nil {
			print(stderr, err.Error()+"\n")
			return exitUsage
		}
		o.Only = set.RuntimeDir
	}
	r, err := audit.Run(o)
	if err == nil && o.Only != "" && len(r.Instances) == 0 {
		err = fmt.Errorf("no lockstep runs with the runtime directory %s", escape.Name(o.Only))
	}
	if err == nil {
		err = tellAudit(r, *asJSON, *page, stdout)
	}
	if err != nil {
		print(stderr, "lockstep: "+err.Error()+"\n")
		return exitFailed
	}
	if r.Deviations > 0 {
		return exitFailed
	}
	return exitDone
}

func tellAudit(r audit.Report, asJSON bool, page string, stdout io.Writer) error {
	if page != "" {
		if err := writePage(page, r); err != nil {
			return err
		}
	}
	if asJSON {
		return writeJSON(stdout, r)
	}
	f, ok := stdout.(*os.File)
	return report.Text(stdout, r, ok && term.IsTerminal(int(f.Fd())))
}

// writePage writes the page beside its place and puts it there: no link at its name
// is followed, and nobody reads half of it.
func writePage(path string, r audit.Report) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".lockstep-audit-") // mode 0600
	if err != nil {
		return err
	}
	err = errors.Join(report.HTML(f, r), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

// told is what a supervisor with these words was told: the words are read as they
// were by it, in its directory.
func told(words []string, dir string) (d policy.Declared, err error) {
	back, err := os.Getwd()
	if err != nil {
		return d, err
	}
	if err := os.Chdir(dir); err != nil {
		return d, fmt.Errorf("its directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.Chdir(back)) }()
	var set config.Set
	args := asCommand(words)
	if len(args) == 0 {
		return d, errors.New("its command line names no command")
	}
	switch rest := args[1:]; args[0] {
	case "mirror":
		set, err = parseMirror(rest)
	case "run":
		set, err = toldRun(rest)
	case "clsync":
		set, err = toldClsync(rest, "")
	case "lrsync":
		var c lrsync.Command
		if c, err = lrsync.Read(rest, os.Getenv); err == nil {
			set, err = toldClsync(c.Words(), lrsync.Block)
		}
	case "watch":
		return toldWatch(rest)
	default:
		err = fmt.Errorf("%q is no command that starts processes", args[0])
	}
	if err != nil {
		return d, err
	}
	d.Set, err = resolve.Set(set)
	// A root that has gone since, say: what has a path is compared all the same.
	if problems, unchecked := outline.Split(err); len(d.Set.Syncs) > 0 {
		for _, p := range problems {
			unchecked = append(unchecked, p.Error())
		}
		d.Notes, err = unchecked, nil
	}
	return d, err
}

func toldRun(args []string) (config.Set, error) {
	var opts config.Run
	flags, path := fileFlags("run")
	accept := flags.StringArray("accept-root", nil, "")
	flags.BoolVar(&opts.Once, "once", false, "")
	flags.BoolVar(&opts.DryRun, "dry-run", false, "")
	runtimeDir := flags.String("runtime-dir", "", "")
	if err := flags.Parse(args); err != nil {
		return config.Set{}, err
	}
	set, err := file.Read(*path, root)
	if err != nil {
		return set, err
	}
	if *runtimeDir != "" {
		set.RuntimeDir = *runtimeDir
	}
	return set.ForRun(opts, *accept)
}

// toldClsync reads clsync's words; of the environment it takes this program's own.
func toldClsync(args []string, block string) (config.Set, error) {
	dir, err := os.Getwd()
	if err != nil {
		return config.Set{}, err
	}
	o, err := options.Read(args, options.Env{
		Dir: dir, Search: options.Search(os.Getenv("HOME")), Block: block, PID: os.Getpid(), ReadFile: readOwned, RealPath: filepath.EvalSymlinks,
	})
	if err != nil {
		return config.Set{}, err
	}
	result, err := compile.Compile(o, readOwned)
	if err != nil {
		return config.Set{}, err
	}
	set, err := file.Text(made, result.Text)
	if err != nil {
		return set, err
	}
	return set.ForRun(result.Run, nil)
}

func toldWatch(args []string) (policy.Declared, error) {
	o, err := parseWatch(args)
	if err == nil {
		err = o.Check()
	}
	d := policy.Declared{Watch: true, Roots: o.Dirs}
	d.Set.AllowMissing = o.AllowMissing
	if o.Interactive {
		d.Roots = nil // a person may have added and removed some
	}
	return d, err
}

// Package trial finds out, before anything is watched, what the installed rsync
// can do: it has a real runner in its real jail bring a scratch tree up to date
// and compares the result.
//
// Trust: part of the supervisor, before distrust begins. The scratch trees are
// made here, so that their names and contents are known; what rsync printed is
// looked at for its version only.
//
// Invariants: a thing that was not seen to work is named or is an error, never
// assumed; the scratch trees are gone when Run returns.
package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"lockstep/internal/escape"
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/rsync"
)

// Start starts a runner in the jail that a sync's runner gets, with src
// readable and dst writable, and returns the helper's end of its socket
// (SOCK_SEQPACKET). stop ends it and returns when it has gone.
type Start func(cfg settings.Runner, src, dst string) (conn *os.File, stop func() error, err error)

// Config is what a trial needs.
type Config struct {
	// Dir is where the scratch trees are made: a directory that no other user
	// can enter, on a real file system.
	Dir string
	// Runner is the runner's configuration without what the trial sets itself:
	// Source, Target, Argv, Probe, the guard.
	Runner settings.Runner
	// Want is what the sync asks for: Devices, ACLs, Xattrs.
	Want rsync.Options
}

// Result says what the installed rsync can do.
type Result struct {
	Version string // as rsync names it, escaped; "" when it does not
	// Options are those to use: Want less what does not work, and ConfineRoot
	// where it is known. Source and Target are as in Want.
	Options  rsync.Options
	Lacks    []string // what was asked for and does not work, in words
	Warnings []string // other things a person should know
}

// Run tries the installed rsync. An error says what it must be able to do and
// is not, or that the trial itself could not be made, or was broken off because
// ctx has ended.
func Run(ctx context.Context, start Start, cfg Config) (Result, error) {
	dir, err := os.MkdirTemp(cfg.Dir, "trial-")
	if err != nil {
		return Result{}, fmt.Errorf("make a scratch tree for the trial of rsync: %w", err)
	}
	t := &trial{start: start, cfg: cfg, dir: dir}
	res, err := t.run(ctx)
	if gone := os.RemoveAll(dir); gone != nil {
		err = errors.Join(err, fmt.Errorf("remove the trial's scratch tree: %w", gone))
	}
	return res, err
}

type trial struct {
	start Start
	cfg   Config
	dir   string
	tries int
}

func (t *trial) run(ctx context.Context) (Result, error) {
	v, err := t.version(ctx)
	if err != nil {
		return Result{}, err
	}
	res := Result{Version: v.text, Options: t.cfg.Want}
	if res.Warnings, err = v.judge(); err != nil {
		return res, err
	}
	if res.Options.ACLs && v.noACLs {
		res.Options.ACLs = false
		res.Lacks = append(res.Lacks, "access control lists: this rsync was built without them")
	}
	if res.Options.Xattrs != rsync.XattrsNone && v.noXattrs {
		res.Options.Xattrs = rsync.XattrsNone
		res.Lacks = append(res.Lacks, "extended attributes: this rsync was built without them")
	}
	res.Options.ConfineRoot = v.atLeast(3, 5, 0)
	found, err := t.settle(ctx, &res)
	if err != nil {
		return res, fmt.Errorf("the installed rsync (%s) was tried on a scratch tree and failed: %w; install rsync 3.5.0 or later", v.text, err)
	}
	res.Lacks = append(res.Lacks, found.lacks...)
	res.Warnings = append(res.Warnings, found.warnings...)
	return res, nil
}

// settle tries the scratch tree with fewer and fewer options until it works.
func (t *trial) settle(ctx context.Context, res *Result) (findings, error) {
	found, err := t.attempt(ctx, res.Options)
	if err == nil {
		return found, nil
	}
	first := err
	if res.Options.ConfineRoot {
		res.Options.ConfineRoot = false
		if found, err = t.attempt(ctx, res.Options); err == nil {
			res.Warnings = append(res.Warnings, fmt.Sprintf("rsync's --confine-root is not used: %v", first))
			return found, nil
		}
	}
	if res.Options.ACLs || res.Options.Xattrs != rsync.XattrsNone {
		res.Options.ACLs, res.Options.Xattrs = false, rsync.XattrsNone
		if found, err = t.attempt(ctx, res.Options); err == nil {
			res.Lacks = append(res.Lacks, fmt.Sprintf("access control lists and extended attributes: %v", first))
			return found, nil
		}
	}
	if res.Options.Devices {
		res.Options.Devices = false
		if found, err = t.attempt(ctx, res.Options); err == nil {
			res.Lacks = append(res.Lacks, fmt.Sprintf("device nodes: %v", first))
			return found, nil
		}
	}
	return findings{}, err
}

// findings are the differences that one attempt ends with and that do not stop
// a sync.
type findings struct {
	lacks    []string
	warnings []string
}

// maxDelete is the guard's limit in the trial.
const maxDelete = 8

// attempt brings one scratch tree up to date with one set of options.
func (t *trial) attempt(ctx context.Context, o rsync.Options) (findings, error) {
	t.tries++
	base := filepath.Join(t.dir, fmt.Sprint(t.tries))
	o.Source, o.Target = base+"-src", base+"-dst"
	o.Excludes = []string{"- *.excluded"}
	o.DryRun, o.BWLimit = false, ""
	s := scratch{src: o.Source, dst: o.Target, want: o}
	if err := s.build(); err != nil {
		return findings{}, fmt.Errorf("build the scratch tree: %w", err)
	}
	cfg := t.cfg.Runner
	for kind := ipc.JobInitial; kind < ipc.NumJobKinds; kind++ {
		cfg.Argv[kind] = rsync.Argv(kind, o)
	}
	cfg.Probe = rsync.Probe(o)
	cfg.MaxDeletePercent, cfg.MaxDeleteEntries = 1, maxDelete
	cfg.Accept, cfg.ShowOutput = false, false
	session, err := t.open(ctx, cfg, s.src, s.dst)
	if err != nil {
		return findings{}, err
	}
	err = s.steps(session)
	return s.found, errors.Join(err, session.close())
}

// steps are the jobs, each after the changes that it has to bring over.
func (s *scratch) steps(session *session) error {
	for _, step := range []struct {
		name   string
		kind   ipc.JobKind
		change func() (stdin string, err error)
		end    ipc.End
	}{
		{"a whole pass with deletion and rules from stdin", ipc.JobInitial, s.rules, ipc.EndExited},
		{"changes, deletions, renames and links from a list", ipc.JobList, s.change, ipc.EndExited},
		{"attributes from a list", ipc.JobAttr, s.attributes, ipc.EndExited},
		{"the limit on deletions (--max-delete)", ipc.JobInitial, s.overfill, ipc.EndHeldMany},
		{"deletions limited to one directory", ipc.JobPrune, s.prune, ipc.EndExited},
	} {
		stdin, err := step.change()
		if err != nil {
			return fmt.Errorf("change the scratch tree: %w", err)
		}
		exited, err := session.run(step.kind, stdin)
		if err != nil {
			return err
		}
		if exited.End != step.end || step.end == ipc.EndExited && exited.Code != 0 {
			return fmt.Errorf("%s: %s", step.name, describe(exited))
		}
		if err := s.compare(step.name); err != nil {
			return err
		}
	}
	return nil
}

// describe puts a job's end into words.
func describe(x ipc.RunExited) string {
	tail := strings.TrimSpace(string(x.Tail))
	if len(tail) > 500 {
		tail = tail[len(tail)-500:]
	}
	what := ""
	switch x.End {
	case ipc.EndExited:
		what = fmt.Sprintf("rsync ended with code %d (%s)", x.Code, rsync.ExitMeaning(int(x.Code)).Text)
	case ipc.EndSignalled:
		what = fmt.Sprintf("rsync was killed by signal %d", x.Code)
	case ipc.EndTimeout:
		what = "rsync did not end in time"
	case ipc.EndRefused:
		what = "rsync could not be started"
	case ipc.EndHeldEmpty, ipc.EndHeldMany:
		what = "the guard against deletions held it"
	default:
		what = "rsync's runner was lost"
	}
	if tail == "" {
		return what
	}
	return what + ", having printed: " + escape.Name(tail)
}

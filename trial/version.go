package trial

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"lockstep/internal/escape"
	"lockstep/ipc"
)

// version is what `rsync --version` says of itself. It serves warnings and the
// choice of what to try; what is tried decides.
type version struct {
	text     string // the number, escaped
	number   [3]int
	known    bool // text is a number
	noACLs   bool
	noXattrs bool
}

// version runs `rsync --version` in the jail.
func (t *trial) version(ctx context.Context) (version, error) {
	src, dst := filepath.Join(t.dir, "0-src"), filepath.Join(t.dir, "0-dst")
	for _, dir := range []string{src, dst} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return version{}, fmt.Errorf("make a scratch tree for the trial of rsync: %w", err)
		}
	}
	cfg := t.cfg.Runner
	cfg.Argv = [ipc.NumJobKinds][]string{ipc.JobList: {"rsync", "--version"}}
	cfg.Probe, cfg.ShowOutput = nil, false
	session, err := t.open(ctx, cfg, src, dst)
	if err != nil {
		return version{}, err
	}
	exited, err := session.run(ipc.JobList, "")
	if closed := session.close(); err == nil {
		err = closed
	}
	if err != nil {
		return version{}, err
	}
	if exited.End != ipc.EndExited || exited.Code != 0 {
		return version{}, fmt.Errorf("rsync --version: %s: is rsync installed, and does it start?", describe(exited))
	}
	return parseVersion(string(exited.Tail)), nil
}

// parseVersion reads the first line ("rsync  version 3.5.0  protocol version
// 32") and the words of the list of capabilities, which since 3.1.3 has "ACLs"
// or "no ACLs".
func parseVersion(text string) version {
	first, rest, _ := strings.Cut(text, "\n")
	v := version{text: "of unknown version"}
	for after := range strings.SplitSeq(rest, ",") {
		switch strings.Join(strings.Fields(after), " ") {
		case "no ACLs":
			v.noACLs = true
		case "no xattrs":
			v.noXattrs = true
		}
	}
	fields := strings.Fields(first)
	if len(fields) < 3 || fields[0] != "rsync" || fields[1] != "version" {
		return v
	}
	number := strings.TrimPrefix(fields[2], "v")
	if n, err := fmt.Sscanf(number, "%d.%d.%d", &v.number[0], &v.number[1], &v.number[2]); err != nil || n != 3 {
		return v
	}
	v.text, v.known = escape.Name(number), true
	return v
}

func (v version) atLeast(a, b, c int) bool {
	want := [3]int{a, b, c}
	for i, n := range v.number {
		if n != want[i] {
			return n > want[i]
		}
	}
	return true
}

// judge says what a person should know of the version. Below 3.1.3
// --modify-window=-1 is taken for whole seconds, without a word.
func (v version) judge() (warnings []string, err error) {
	if !v.known {
		return []string{"rsync does not tell its version: its known flaws cannot be judged"}, nil
	}
	if !v.atLeast(3, 1, 3) {
		return nil, fmt.Errorf("rsync %s is too old: it cannot compare times to the nanosecond and would miss changes; install 3.1.3 at least, better 3.5.0", v.text)
	}
	if v.atLeast(3, 5, 0) {
		return nil, nil
	}
	return []string{"rsync " + v.text + " has flaws that 3.5.0 mends. The jail covers those that read or write " +
		"outside the source and the target, or that reach the network, other processes or more rights, whatever rsync is made to do. " +
		"It does not cover those that crash rsync, make it copy wrongly, or read and write wrongly inside the source and the target. Install rsync 3.5.0 or later"}, nil
}

// Package daemon starts what is compared: each daemon is a row of one table.
//
// Trust: linked into the benchmark only; runs as root.
//
// Invariants: every daemon runs in the foreground in a control group of its
// own and with the smallest delays that work; it is ended, and what is left of
// it killed, by Stop.
package daemon

import (
	_ "embed" // for the loop
	"os"
	"strings"
)

//go:embed loop.sh
var loop string

// Kind is a daemon and how it is called. In Argv and Config stand {src} and
// {dst}; {private} and {open}, directories that are made for each run, of which
// every user may write to the second; {conf}, which holds Config; and {bin},
// where ours was built.
type Kind struct {
	Name    string
	Version []string // a command that says its version
	Argv    []string
	Config  string
	// Watched is part of the log line that says that every directory is
	// watched; with StatusFile it is what that file then holds,
	// or one of several words divided by "|".
	Watched    string
	StatusFile string // in {open}
	// Queue is what fs.inotify.max_queued_events has to be for a daemon that
	// does not notice an overflow; 0: it is left as it is on the machine.
	Queue int64
	// Twin is the daemon that this one is only compared with.
	Twin string
	Note string
}

// Table lists the daemons.
func Table() []Kind {
	return []Kind{
		{
			Name:    "lockstep",
			Version: []string{"{bin}/lockstep", "version"},
			Argv:    []string{"{bin}/lockstep", "mirror", "--delay", "0s", "--state-dir", "{private}", "--runtime-dir", "{private}/run", "{src}", "{dst}"},
			Watched: "every directory is watched",
			Note:    "`--delay 0s`",
		},
		{
			Name:    "lsyncd",
			Version: []string{"lsyncd", "--version"},
			Argv:    []string{"lsyncd", "-nodaemon", "{conf}"},
			Config: `settings { nodaemon = true, logfile = "/dev/null", maxDelays = 1 }
sync { default.rsync, source = "{src}", target = "{dst}", delay = 0, maxDelays = 1, delete = true,
       rsync = { binary = "/usr/bin/rsync", archive = true, hard_links = true } }
`,
			Watched: "recursive startup rsync",
			Note:    "default.rsync, `delay = 0`, `maxDelays = 1`, archive, hard_links, delete",
		},
		{
			Name:    "clsync",
			Version: []string{"clsync", "--version"},
			Argv: []string{"clsync", "-H", "/NULL/", "-M", "rsyncdirect", "-W", "{src}", "-D", "{dst}", "-S", "/usr/bin/rsync",
				"-w", "0", "-t", "0", "-T", "0", "--ignore-failures", "--status-file", "{open}/status"},
			Watched:    "initsync|running",
			StatusFile: "status",
			Queue:      1 << 20,
			Note:       "rsyncdirect, `-w 0 -t 0 -T 0`; it takes no notice of an overflow, so its event queue is raised to 1,048,576 except in \"overflow\"",
		},
		{
			Name:    "inotifywait loop",
			Version: []string{"inotifywait", "--help"},
			Argv:    []string{"bash", "{conf}", "{src}", "{dst}"},
			Config:  loop,
			Watched: "Watches established",
			Note:    "`inotifywait -m -r` and one `rsync -aH --delete` of the tree per burst",
		},
		{
			Name:    "lockstep-unsplit",
			Version: []string{"{bin}/lockstep", "version"}, // built of the same source
			Argv:    []string{"{bin}/lockstep-unsplit", "--delay", "0s", "{src}", "{dst}"},
			Watched: "every directory is watched",
			Twin:    "lockstep",
			Note:    "the same engine in one process with direct calls and no confinement, to see what separation costs",
		},
	}
}

// Word is the name as one word, as a filter takes it and a directory is called.
func (k Kind) Word() string { return strings.ReplaceAll(k.Name, " ", "-") }

// Present says whether the daemon's program is there: only a twin may be
// missing.
func (k Kind) Present(bin string) bool {
	if k.Twin == "" {
		return true
	}
	_, err := os.Stat(fill(k.Argv[0], map[string]string{"bin": bin}))
	return err == nil
}

// VersionArgv is the command that says the version.
func (k Kind) VersionArgv(bin string) []string {
	out := make([]string, len(k.Version))
	for i, w := range k.Version {
		out[i] = fill(w, map[string]string{"bin": bin})
	}
	return out
}

// fill replaces {key}.
func fill(text string, with map[string]string) string {
	for k, v := range with {
		text = strings.ReplaceAll(text, "{"+k+"}", v)
	}
	return text
}

// Package choose decides how the changes below a source are heard of: as a rule of
// the administrator says, as its sync does, or as suits its file system.
//
// Trust: linked into the supervisor, which is root; its input is what root wrote,
// and the kernel's name for a file system.
//
// Invariant: all that depends on the type of a file system stands in one table.
package choose

import (
	"fmt"
	"path"
	"strings"
	"time"
)

// The words of a configuration.
const (
	Auto     = "auto"
	Inotify  = "inotify"
	Poll     = "poll"
	Fanotify = "fanotify"
	Dnotify  = "dnotify"
)

// Words are what a sync and a rule may ask for.
func Words() []string { return []string{Auto, Inotify, Fanotify, Poll, Dnotify} }

// Limits of an interval.
const (
	LeastEvery = 100 * time.Millisecond
	MostEvery  = 24 * time.Hour
)

// Rule is one line of monitor_rules.
type Rule struct {
	Mandatory bool          // it wins over what a sync says
	Path      string        // a pattern for the source, or a directory above it
	FS        string        // a pattern for the type of its file system, as in /proc/mounts
	Use       string        // one of Words
	Every     time.Duration // 0: as without the rule
}

// ParseRule reads "[mandatory] path PATTERN|fs PATTERN WORD [DURATION]".
func ParseRule(line string) (Rule, error) {
	var r Rule
	words := strings.Fields(line)
	if len(words) > 0 && words[0] == "mandatory" {
		r.Mandatory, words = true, words[1:]
	}
	if len(words) != 3 && len(words) != 4 {
		return r, fmt.Errorf("%q is no rule", line)
	}
	switch words[0] {
	case "path":
		r.Path = words[1]
		if !strings.HasPrefix(r.Path, "/") {
			return r, fmt.Errorf("%q is not an absolute path", r.Path)
		}
	case "fs":
		r.FS = words[1]
	default:
		return r, fmt.Errorf("%q is neither path nor fs", words[0])
	}
	if _, err := path.Match(words[1], "x"); err != nil {
		return r, fmt.Errorf("%q is no pattern", words[1])
	}
	if r.Use = words[2]; !Known(r.Use) {
		return r, fmt.Errorf("%q is unknown", r.Use)
	}
	if len(words) == 4 {
		var err error
		if r.Every, err = time.ParseDuration(words[3]); err != nil || r.Every < LeastEvery || r.Every > MostEvery {
			return r, fmt.Errorf("%q is not a duration between %v and %v", words[3], LeastEvery, MostEvery)
		}
	}
	return r, nil
}

// Known says whether a word is one of Words.
func Known(word string) bool {
	for _, w := range Words() {
		if w == word {
			return true
		}
	}
	return false
}

// fits says whether the rule is about a source on such a file system. The first
// mount of a file system in user space is of type fuse.NAME.
func (r Rule) fits(source string, fs FS) bool {
	if r.FS != "" {
		ok, _ := path.Match(r.FS, fs.Type) // the pattern was tried when it was read
		return ok
	}
	for dir := source; ; dir = path.Dir(dir) {
		if ok, _ := path.Match(r.Path, dir); ok || dir == "/" {
			return ok
		}
	}
}

// FS is what is known of a source's file system.
type FS struct {
	Type  string // as in /proc/mounts; "": not known
	Blind bool   // changes by others may pass unseen
}

// Asked is what a configuration says of one source.
type Asked struct {
	Source     string
	Monitor    string        // one of Words
	Every      time.Duration // 0: as suits the file system
	Rules      []string
	AllowBlind bool // it is accepted that changes by others are not seen
}

// Choice is what was decided.
type Choice struct {
	Monitor string        // one of Words, and not Auto
	Every   time.Duration // between two listings of a directory, with Poll
	Inodes  bool          // a file keeps its inode number as long as it lives
	Blind   bool          // changes by others are not seen, and nobody has accepted that
	Free    bool          // nobody has asked for this one
	Why     string
}

// Instead is to compare listings where inotify was chosen by nobody and cannot be
// had; ok says whether that is so.
func (c Choice) Instead(why string) (instead Choice, ok bool) {
	if !c.Free || c.Monitor != Inotify {
		return c, false
	}
	c.Monitor, c.Why, c.Blind = Poll, why, false
	return c, true
}

// Lag is how long it may take until a change is heard of, by far.
func (c Choice) Lag() time.Duration { return 10*time.Second + 4*c.Every }

// suits is one row of the table.
type suits struct {
	fs     string // a pattern for its type
	use    string
	every  time.Duration
	inodes bool
	why    string
}

// table says what suits a file system: the first row that fits.
func table() []suits {
	const (
		host = "its server tells no one of what other hosts change"
		user = "the process that serves it need not tell of changes"
	)
	return []suits{
		{"nfs*", Poll, 5 * time.Second, true, host},
		{"cifs", Poll, 5 * time.Second, false, host},
		{"smb*", Poll, 5 * time.Second, false, host},
		{"9p", Poll, 2 * time.Second, true, host},
		{"virtiofs", Poll, 2 * time.Second, true, host},
		{"vboxsf", Poll, 2 * time.Second, false, host},
		{"vmhgfs", Poll, 2 * time.Second, false, host},
		{"fuse.vmhgfs*", Poll, 2 * time.Second, false, host},
		{"fuse.sshfs", Poll, 5 * time.Second, false, host},
		{"fuse*", Poll, time.Second, false, user},
		{"afs", Poll, 5 * time.Second, true, host},
		{"ceph", Poll, 5 * time.Second, true, host},
		{"coda", Poll, 5 * time.Second, true, host},
		{"lustre", Poll, 5 * time.Second, true, host},
		{"ocfs2", Poll, 5 * time.Second, true, host},
		{"gfs2", Poll, 5 * time.Second, true, host},
		{"*", Inotify, time.Second, true, "all changes on it go through this kernel"},
	}
}

// Of decides: a mandatory rule, the sync's own word, another rule, the table; of
// the rules of a kind, the first that fits.
func Of(a Asked, fs FS) Choice {
	row := rowOf(fs)
	c := Choice{Monitor: a.Monitor, Every: a.Every, Inodes: row.inodes, Why: "its configuration says so"}
	rule, n := first(a, fs)
	if n > 0 && (rule.Mandatory || a.Monitor == Auto) {
		c.Monitor, c.Why = rule.Use, fmt.Sprintf("rule %d of monitor_rules says so", n)
		if rule.Every > 0 && (rule.Mandatory || a.Every == 0) {
			c.Every = rule.Every
		}
	}
	c.Free = c.Monitor == Auto
	if c.Monitor == Auto && a.AllowBlind && fs.Blind {
		c.Monitor, c.Why = Inotify, "allow_blind accepts that changes by others are not seen"
	} else if c.Monitor == Auto {
		c.Monitor, c.Why = row.use, "its file system is "+name(fs)+", and "+row.why
	}
	if c.Every == 0 {
		c.Every = row.every
	}
	c.Blind = fs.Blind && c.Monitor != Poll && !a.AllowBlind
	return c
}

func name(fs FS) string {
	if fs.Type == "" {
		return "of a type unknown"
	}
	return fs.Type
}

// rowOf: of what is known to be blind and has no row, nobody may rely on events.
func rowOf(fs FS) suits {
	for _, row := range table() {
		if ok, _ := path.Match(row.fs, fs.Type); ok && !(row.fs == "*" && fs.Blind) {
			return row
		}
	}
	return suits{use: Poll, every: 5 * time.Second, why: "changes by others may pass unseen on it"}
}

// first is the rule that applies, and its number from 1 on; 0: none.
func first(a Asked, fs FS) (Rule, int) {
	var found Rule
	at := 0
	for i, line := range a.Rules {
		r, err := ParseRule(line)
		if err != nil || !r.fits(a.Source, fs) {
			continue // what cannot be read was refused long ago
		}
		if r.Mandatory {
			return r, i + 1
		}
		if at == 0 {
			found, at = r, i+1
		}
	}
	return found, at
}

package escape

import (
	"embed"
	"fmt"
	"strings"
)

// Row is what is known of one act in one jail.
type Row struct {
	Act string
	// Confined is how it ends as the product is: SIGSYS is death by the filter, with
	// the kernel's record of the call; ENOSYS the filter's milder answer.
	Confined string
	// Off is how it ends with the system-call filter left out.
	Off string
	// Open is how it ends, with that filter, in a jail whose mounts and namespaces hold
	// nothing back: for what the filter lets through, the second layer.
	Open string
	// By is what refuses it then; "" is what the role's errors mean. Alone says that
	// nothing does, or the same again, and By why one layer is enough.
	By    string
	Alone bool
}

// Killed is the word for death by the filter.
const Killed = "SIGSYS"

// filtered says that the filter refuses the act.
func (r Row) filtered() bool { return r.Confined == Killed || r.Confined == "ENOSYS" }

// Role is one program and all that was tried in it.
type Role struct {
	Name    string
	Title   string
	Note    string            // what is permitted by design, and what else is to be known
	Answers map[string]string // what refuses with the filter left out, by the error
	Rows    []Row
	Least   int // acts that have to be seen to succeed unconfined
}

//go:embed testdata/*.txt
var tables embed.FS

// Roles are all of them. A table that cannot be read is an error.
func Roles() ([]Role, error) {
	all := roles()
	for i := range all {
		text, err := tables.ReadFile("testdata/" + all[i].Name + ".txt")
		if err == nil {
			all[i].Rows, err = parse(string(text))
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", all[i].Name, err)
		}
	}
	return all, nil
}

// parse reads a table: one row a line, its five fields between bars; the last one may
// begin with "alone: ".
func parse(text string) ([]Row, error) {
	var rows []Row
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, "|")
		if len(f) != 5 {
			return nil, fmt.Errorf("%q has not five fields", line)
		}
		for i := range f {
			f[i] = strings.TrimSpace(f[i])
		}
		r := Row{Act: f[0], Confined: f[1], Off: f[2], Open: f[3], By: f[4]}
		r.By, r.Alone = strings.CutPrefix(r.By, "alone: ")
		if r.Open == "-" {
			r.Open = ""
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// unsaid is what is missing in a row: every act is refused, by two layers, or by one
// with a reason.
func (r Role) unsaid(row Row) string {
	second := row.Off
	if !row.filtered() {
		second = row.Open
	}
	switch succeeded := map[string]bool{"ok": true, "executed": true, "": true}; {
	case succeeded[row.Confined]:
		return "it succeeds"
	case row.filtered() != (row.Open == ""):
		return "the open jail is for what the filter lets through"
	case succeeded[row.Off] && !row.filtered():
		return "the filter lets it through, and without it it succeeds"
	case succeeded[second] && !row.Alone:
		return "nothing else refuses it, and no reason is given"
	case row.Alone && row.By == "", r.by(row) == "":
		return "what refuses it is not said"
	}
	return ""
}

// by says what the second layer is.
func (r Role) by(row Row) string {
	last := row.Off
	if row.Open != "" {
		last = row.Open
	}
	what := row.By
	if what == "" {
		what = r.Answers[last]
		if row.Open != "" {
			what = openAnswers()[last]
		}
	}
	if row.Alone {
		return "*alone*: " + what
	}
	return what
}

// openAnswers is what refuses in the open jail.
func openAnswers() map[string]string {
	return map[string]string{"EACCES": "Landlock", "EPERM": "no capability", "not done": "Landlock", "ENOENT": "nothing of the name is there"}
}

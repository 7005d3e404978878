package escape

import (
	"fmt"
	"io"
	"strings"

	"lockstep/test/escape/redteam"
)

const head = `# The escape matrix

This file is made from the tables of ` + "`test/escape`" + ` (` + "`go test ./test/escape -update`" + `); ` + "`make escape`" + ` makes every act of it and fails where a table and the kernel differ.

Each act is made by an attacker inside the real program, at the place at which that has just confined itself: in the product's jail, control group and descriptors, with valid arguments.

- **unconfined**: how it ends without any of it, as root. Where the deed would harm the host, its arguments are such that the kernel answers a caller who may with the error that stands here, and one who may not with another. ° marks what some kernels do not have, or what takes all of root's rights; it counts only where the twin was seen to succeed.
- **confined**: how it ends in the product. SIGSYS: the filter ends the process, after the attempt was marked, and the kernel's record names this process, the architecture and the call. ENOSYS: the filter answers as an older kernel does.
- **filter off**: how it ends with everything but the system-call filter.
- **jail open**, for what the filter lets through: how it ends with the filter, in a jail in which the host's files are shown, all mounts can be written to and executed, devices work, and processes, network and shared memory are the host's. *not done*: the command ran, and what it was to do is not done.
- **second layer**: what it is then that refuses. Where nothing does, or the same again, *alone* and the reason for which one layer is enough.

`

// Matrix writes the document.
func Matrix(w io.Writer, roles []Role) error {
	if _, err := io.WriteString(w, head); err != nil {
		return err
	}
	for _, r := range roles {
		if err := r.write(w); err != nil {
			return err
		}
	}
	return checks(w)
}

// checks says where each check of the list is seen to.
func checks(w io.Writer) error {
	if _, err := io.WriteString(w, "## What is tried where\n\nThe numbers are those in the first column of the tables above.\n\n| checks | what | by | not done |\n|---|---|---|---|\n"); err != nil {
		return err
	}
	for _, c := range Checks() {
		if _, err := fmt.Fprintf(w, "| %s | %s | %s | %s |\n", c.Numbers, c.What, strings.Join(c.Tests, ", "), c.Missing); err != nil {
			return err
		}
	}
	return nil
}

func (r Role) write(w io.Writer) error {
	acts := map[string]redteam.Act{}
	for _, a := range redteam.All() {
		acts[a.Name] = a
	}
	alone := 0
	for _, row := range r.Rows {
		if row.Alone {
			alone++
		}
	}
	if _, err := fmt.Fprintf(w, "## %s\n\n%d acts, %d of them stopped by one layer alone, with the reason. %s\n\n| check | act | call | unconfined | confined | filter off | jail open | second layer |\n|---|---|---|---|---|---|---|---|\n",
		r.Title, len(r.Rows), alone, r.Note); err != nil {
		return err
	}
	for _, row := range r.Rows {
		a := acts[row.Act]
		twin := a.Unconfined()
		if a.Optional {
			twin += "°"
		}
		if _, err := fmt.Fprintf(w, "| %d | %s | `%s` | %s | %s | %s | %s | %s |\n", a.Check, row.Act, a.Call, twin, row.Confined, row.Off, row.Open, r.by(row)); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, "\n")
	return err
}

package ordered

import (
	"bytes"
	"fmt"
	"strconv"

	"lockstep/rules/ere"
)

// clsyncRules is how many rules clsync had room for.
const clsyncRules = 256

// Convert rewrites a rule file of clsync 0.4 so that it means here what clsync
// did with it. Each place where it has to differ from what was written, or where
// the two programs differ on purpose, gets a comment. The error is of type
// Faults: lines with which clsync did not start, or that cannot be said here.
func Convert(file string, old []byte) ([]byte, error) {
	if len(old) > MaxFile {
		return nil, Faults{{file, 0, fmt.Sprintf("it has %d bytes, of which a rule file may have %d", len(old), MaxFile)}}
	}
	c := converter{file: file}
	for number := 1; len(old) > 0; number++ {
		line, rest, whole := bytes.Cut(old, []byte("\n"))
		old = rest
		if !whole && line[0] != '#' {
			c.remark("clsync lost the last character of this line, for no newline ends it", line)
			line = line[:len(line)-1]
		}
		if !c.line(number, line) {
			break
		}
	}
	if err := c.faults.orNil(); err != nil {
		return nil, err
	}
	return c.finish()
}

type converter struct {
	file   string
	out    bytes.Buffer
	faults Faults
	rules  int
	files  bool // there is a rule for files
}

// remark writes a comment that holds a line.
func (c *converter) remark(text string, line []byte) {
	c.out.WriteString("# " + text + ": ")
	c.out.Write(line)
	c.out.WriteByte('\n')
}

// line converts one, and says whether to go on.
func (c *converter) line(number int, line []byte) bool {
	switch {
	case len(line) == 0 || line[0] == '#':
		c.out.Write(line)
		c.out.WriteByte('\n')
		return true
	case len(line) == 1:
		c.remark("clsync skipped this line", line)
		return true
	case line[0] != '+' && line[0] != '-':
		return c.faults.add(c.file, number, "clsync refused a file with such a line: a rule begins with + or - and a comment with #, this line with "+
			strconv.QuoteToASCII(string(line[:1])))
	case line[len(line)-1] == '\r':
		return c.faults.add(c.file, number, "it ends in a carriage return, which clsync took for a part of the expression; save the file with Unix line ends")
	}
	letter := line[1] | 0x20 // clsync's way to lower case
	if bytes.IndexByte([]byte("fdwms*"), letter) < 0 {
		c.remark("clsync ignored this line, for it knew no such type", line)
		return true
	}
	if _, err := ere.Compile(string(line[2:])); err != nil {
		return c.faults.add(c.file, number, err.Error())
	}
	if c.rules++; c.rules == clsyncRules+1 {
		fmt.Fprintf(&c.out, "# clsync had room for %d rules and wrote past their end from here on; these count\n", clsyncRules)
	}
	switch letter {
	case 'm':
		c.remark("clsync did not look at m when it set up its watches; take off the # for what it says", line)
		return true
	case 'w':
		c.remark("w of clsync decided watching too, which is W here", line)
		letter = 'W'
	case 'f':
		c.files = true
	}
	c.out.Write([]byte{line[0], letter})
	c.out.Write(line[2:])
	c.out.WriteByte('\n')
	return true
}

// finish reads what was written, as a user will, and puts the remarks on the
// whole before it.
func (c *converter) finish() ([]byte, error) {
	s, err := Parse(c.file+" (converted)", c.out.Bytes())
	if err != nil {
		return nil, err
	}
	var head bytes.Buffer
	if c.files {
		head.WriteString("# f fits all but directories, always; for clsync it did so at the start, and later only regular files\n")
	}
	if s.CheckRoot() != nil {
		head.WriteString("# The rules reject the root: with rsync clsync then copied everything, here such rules are refused.\n" +
			"# If it is to be synced, write above all rules: +d^$\n")
	}
	return append(head.Bytes(), c.out.Bytes()...), nil
}

package compile

import (
	"errors"
	"slices"
	"strings"

	"lockstep/internal/escape"
	"lockstep/rules/ordered"
)

// rules takes the rules over: by the name of their file when they mean the same
// here, else as they have to be written.
func (c *compiler) rules() {
	const name = "rules-file"
	file := c.o.RulesFile
	if file == "" {
		return
	}
	old, err := c.read(file)
	if err != nil {
		c.fail(name, escape.Name(file)+": "+err.Error(), "name a file that is there and that only root can write")
		return
	}
	text, err := ordered.Convert(escape.Name(file), old)
	before, after := effective(old), effective(text)
	same := slices.Equal(before, after)
	var set *ordered.Set
	switch {
	case err != nil:
	case same:
		set, err = ordered.Parse(file, old)
	default:
		set, err = ordered.Parse(file+" (converted)", text)
	}
	if err == nil {
		err = set.CheckRoot()
	}
	if err != nil {
		c.ruleFaults(err)
		return
	}
	remarks := comments(text, old)
	if same {
		c.put("rules_file", c.quote(name, file), remarks...)
		return
	}
	remarks = append([]string{"from " + escape.Name(file) + ", which means something else to clsync here and there; the remarks say where"}, remarks...)
	var b strings.Builder
	b.WriteString("[\n")
	for _, line := range after {
		b.WriteString("  " + c.quote(name, line) + ",\n")
	}
	b.WriteString("]")
	c.put("rules", b.String(), remarks...)
	c.warn(name, "means something else to clsync here and there, and is taken as clsync took it", "see lockstep clsync --print-config")
}

func (c *compiler) ruleFaults(err error) {
	var faults ordered.Faults
	if !errors.As(err, &faults) {
		c.fail("rules-file", err.Error(), "mend it")
		return
	}
	for _, f := range faults {
		c.fail("rules-file", f.Error(), "mend the file")
	}
}

// effective are the lines that are rules.
func effective(text []byte) []string {
	var out []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSuffix(line, "\n"); line != "" && line[0] != '#' {
			out = append(out, line)
		}
	}
	return out
}

// comments are those that Convert added.
func comments(text, old []byte) []string {
	known := map[string]bool{}
	for line := range strings.Lines(string(old)) {
		known[strings.TrimSuffix(line, "\n")] = true
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if said, ok := strings.CutPrefix(line, "# "); ok && !known[line] {
			out = append(out, said)
		}
	}
	return out
}

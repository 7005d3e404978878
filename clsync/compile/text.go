package compile

import (
	"strings"
	"unicode/utf8"

	"lockstep/clsync/toml"
	"lockstep/config"
	"lockstep/internal/escape"
)

// entry is a key with what is to be said of it.
type entry struct {
	key, value string
	remarks    []string
}

// put writes a key of the sync; without a value it is left out.
func (c *compiler) put(key, value string, remarks ...string) {
	if value != "" {
		c.sync = append(c.sync, entry{key, value, remarks})
	}
}

// quote writes a text in quotes. What is not UTF-8 has no place in the file.
func (c *compiler) quote(name, text string) string {
	if !utf8.ValidString(text) {
		c.fail(name, escape.Name(text)+" is not UTF-8, which a configuration must be", "use lockstep mirror, or name it otherwise")
	}
	return quoted(text)
}

func quoted(text string) string { return toml.Quoted(text) }

// write puts the text together.
func (c *compiler) write() []byte {
	var b strings.Builder
	toml.Comment(&b, "What clsync was told"+c.origin()+", as lockstep.toml(5), by lockstep clsync --print-config.")
	run := "lockstep run"
	if c.run.Once {
		run += " --once"
	}
	toml.Comment(&b, run+" -c FILE does the same.")
	for _, p := range c.warnings {
		p.Pos = config.Pos{}
		toml.Comment(&b, p.Error())
	}
	for _, text := range append(c.remarks, differences(byHandler(c.o))...) {
		toml.Comment(&b, text)
	}
	section(&b, "[service]", c.service)
	section(&b, "[[sync]]", c.sync)
	return []byte(b.String())
}

// origin names the file and its blocks.
func (c *compiler) origin() string {
	if c.o.ConfigFile == "" || len(c.o.ConfigChain) == 0 {
		return ""
	}
	return " (with [" + strings.Join(c.o.ConfigChain, "], [") + "] of " + c.o.ConfigFile + ")"
}

// differences hold whatever the options say.
func differences(handled bool) []string {
	if handled {
		return []string{
			"Other than clsync: what fails is tried again until it works, and ends nothing; lost events cause all to be told again; " +
				"marks of what happened are IN_CREATE, IN_DELETE, IN_CLOSE_WRITE and IN_ATTRIB alone (docs/adr/0022); " +
				"at SIGTERM what waits is left to the first pass of the next start; SIGUSR2 asks for a whole pass, as before; SIGHUP reads all files anew, and what is there follows the new rules.",
		}
	}
	return []string{
		"Other than clsync: what fails is tried again until it works, and ends nothing; lost events cause the tree to be compared whole; " +
			"owners are numbers (--numeric-ids) and times exact to the nanosecond on the target; " +
			"at SIGTERM what waits is left to the first pass of the next start; SIGUSR2 asks for a whole pass, as before; SIGHUP reads all files anew, and what is there follows the new rules.",
	}
}

func section(b *strings.Builder, header string, entries []entry) {
	b.WriteString("\n" + header + "\n")
	for _, e := range entries {
		for _, r := range e.remarks {
			if r != "" {
				toml.Comment(b, r)
			}
		}
		b.WriteString(e.key + " = " + e.value + "\n")
	}
}

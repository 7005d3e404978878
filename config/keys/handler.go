package keys

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lockstep/config"
	"lockstep/config/field"
)

func handlerKeys() []Key {
	return []Key{
		{Name: "mode", Group: GroupHandler, Unit: strings.Join(config.Modes(), "|"), Default: config.ModeRsync, Advice: "use " + either(config.Modes()),
			Help: "who keeps the targets in step: lockstep's own rsync, or a handler that is told what has changed as clsync tells it: by a call for each path, by names, by a list of lines, by rsync's lists, or by calls of functions in a shared object", field: field.Text(readMode, func(c *config.Config) *string { return &c.Mode })},
		{Name: "handler", Group: GroupHandler, Unit: "FILE", Advice: "name the program by its absolute path",
			Help: "the program of such a mode, or the shared object of so and rsyncso; root's alone to write", field: field.Absolute(func(c *config.Config) *string { return &c.Handler })},
		{Name: "handler_args", Group: GroupHandler, Unit: "WORD", List: true, Advice: "write each word in quotes of its own",
			Help: "its words, with clsync's macros, such as %INCLUDE-LIST-PATH% (default: those that clsync's mode has)", field: field.List(readHandlerArg, func(c *config.Config) *[]string { return &c.HandlerArgs })},
		{Name: "ignore_exit_codes", Group: GroupHandler, Unit: "CODE", List: true, Advice: `write numbers from 1 to 255 in quotes: ["23"]`,
			Help: "its exit codes that are no failure (24 of a handler with rsync's lists never is)", field: field.Field{Read: readIgnore, Write: writeIgnore}},
	}
}

func readMode(c *config.Config, v string) error {
	if !slices.Contains(config.Modes(), v) {
		return fmt.Errorf("%q is unknown", v)
	}
	c.Mode = v
	return nil
}

// Limits of words, so that no message of the supervisor grows too large.
const maxHandlerArgs, maxHandlerArg = 1000, 4096

func readHandlerArg(c *config.Config, v string) error {
	switch {
	case strings.ContainsRune(v, 0):
		return config.Problem{Reason: "a word cannot hold a NUL", Advice: "leave it out"}
	case len(v) > maxHandlerArg, len(c.HandlerArgs) >= maxHandlerArgs:
		return config.Problem{Reason: fmt.Sprintf("more than %d words, or one of more than %d bytes", maxHandlerArgs, maxHandlerArg), Advice: "let the handler read a file of its own"}
	}
	c.HandlerArgs = append(c.HandlerArgs, v)
	return nil
}

func readIgnore(c *config.Config, v string) error {
	code, err := strconv.ParseUint(v, 10, 8)
	if err != nil || code == 0 {
		return fmt.Errorf("%q is not an exit code of a failure", v)
	}
	if !slices.Contains(c.IgnoreExit, uint8(code)) {
		c.IgnoreExit = append(c.IgnoreExit, uint8(code))
	}
	return nil
}

func writeIgnore(c *config.Config) []string {
	var out []string
	for _, code := range c.IgnoreExit {
		out = append(out, strconv.Itoa(int(code)))
	}
	return out
}

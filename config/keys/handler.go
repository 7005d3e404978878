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
		{Name: "handler_user", Group: GroupHandler, Unit: "USER[:GROUP]", Advice: "name a user of this host that is neither root nor nobody, and a group of it if another than the user's own is meant",
			Help: "the user and group that the handler and the hooks of its sync run as, with no capability (default: root's uid, with the rights to copy)", field: field.Text(field.ReadHandlerUser, func(c *config.Config) *string { return &c.HandlerUser })},
		{Name: "handler_args", Group: GroupHandler, Unit: "WORD", List: true, Advice: "write each word in quotes of its own",
			Help: "its words, with clsync's macros, such as %INCLUDE-LIST-PATH% (default: those that clsync's mode has)", field: field.List(readWord(func(c *config.Config) *[]string { return &c.HandlerArgs }), func(c *config.Config) *[]string { return &c.HandlerArgs })},
		{Name: "handler_recursive", Group: GroupHandler,
			Help: "modes direct, shell and so: tell of a directory that came, and at the start of the whole source, by one call in place of all that is in it; not with rules or exclude", field: field.Bool(func(c *config.Config) *bool { return &c.Recursive })},
		{Name: "handler_recursive_args", Group: GroupHandler, Unit: "WORD", List: true, Advice: "write each word in quotes of its own",
			Help: "the words of such a call, with the same macros (default: those that clsync's mode has)", field: field.List(readWord(func(c *config.Config) *[]string { return &c.ForWhole }), func(c *config.Config) *[]string { return &c.ForWhole })},
		{Name: "handler_plain_lists", Group: GroupHandler,
			Help: "mode shell: lines of lists are paths alone", field: field.Bool(func(c *config.Config) *bool { return &c.PlainLists })},
		{Name: "handler_keep_lists", Group: GroupHandler,
			Help: "for a person who looks for a fault: leave copies of the handler's lists, the newest 16 of each target, in the directory lists of the runtime directory until the next start", field: field.Bool(func(c *config.Config) *bool { return &c.KeepLists })},
		{Name: "handler_changes", Group: GroupHandler, Unit: "FIELD", List: true, Advice: "use words of lstat(2): " + either(config.ChangeFields()),
			Help: "modes simple, direct, shell and so: a path that was told is told again only when one of these fields is another: whatever else changes is not followed", field: field.List(readChange, func(c *config.Config) *[]string { return &c.Changes })},
		{Name: "ignore_exit_codes", Group: GroupHandler, Unit: "CODE", List: true, Advice: `write numbers from 1 to 255 in quotes: ["23"]`,
			Help: "its exit codes that are no failure (24 of a handler with rsync's lists never is)", field: field.Field{Read: readIgnore, Write: writeIgnore}},
		{Name: "network", Group: GroupHandler,
			Help: "the handler has the host's network, and reaches all that the host does: less confined, for those that copy to other hosts themselves", field: field.Bool(func(c *config.Config) *bool { return &c.Network })},
		{Name: "handler_reads", Group: GroupHandler, Unit: "PATH", List: true, Advice: advicePath,
			Help: "files and directories that the handler can read beside the source, at their own paths", field: field.List(readPath(func(c *config.Config) *[]string { return &c.Reads }), func(c *config.Config) *[]string { return &c.Reads })},
		{Name: "handler_writes", Group: GroupHandler, Unit: "PATH", List: true, Advice: advicePath,
			Help: "files and directories that the handler can write to beside a target, at their own paths", field: field.List(readPath(func(c *config.Config) *[]string { return &c.Writes }), func(c *config.Config) *[]string { return &c.Writes })},
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

// readWord takes one more of a list of words.
func readWord(at func(*config.Config) *[]string) func(*config.Config, string) error {
	return func(c *config.Config, v string) error {
		words := at(c)
		switch {
		case strings.ContainsRune(v, 0):
			return config.Problem{Reason: "a word cannot hold a NUL", Advice: "leave it out"}
		case len(v) > maxHandlerArg, len(*words) >= maxHandlerArgs:
			return config.Problem{Reason: fmt.Sprintf("more than %d words, or one of more than %d bytes", maxHandlerArgs, maxHandlerArg), Advice: "let the handler read a file of its own"}
		}
		*words = append(*words, v)
		return nil
	}
}

func readChange(c *config.Config, v string) error {
	switch {
	case !slices.Contains(config.ChangeFields(), v):
		return fmt.Errorf("%q is unknown", v)
	case slices.Contains(c.Changes, v):
		return config.Problem{Reason: fmt.Sprintf("%q is named twice", v), Advice: "name it once"}
	}
	c.Changes = append(c.Changes, v)
	return nil
}

const advicePath = "name it by its absolute path"

// maxPaths bounds what a jail shows beside: each is a mount.
const maxPaths = 100

// readPath takes one more of a list of paths.
func readPath(at func(*config.Config) *[]string) func(*config.Config, string) error {
	return func(c *config.Config, v string) error {
		list := at(c)
		switch err := config.CheckPath(v); {
		case err != nil:
			return err
		case v[0] != '/':
			return fmt.Errorf("%q is not an absolute path", v)
		case slices.Contains(*list, v):
			return config.Problem{Reason: fmt.Sprintf("%q is named twice", v), Advice: "name it once"}
		case len(*list) >= maxPaths:
			return fmt.Errorf("more than %d paths", maxPaths)
		}
		*list = append(*list, v)
		return nil
	}
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

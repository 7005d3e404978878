package main

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"lockstep/ask"
	"lockstep/config"
	"lockstep/config/file"
	"lockstep/config/resolve"
	"lockstep/internal/escape"
	"lockstep/ipc/control"
	"lockstep/ipc/line"
)

// ctl is `lockstep ctl`: one question to a running lockstep.
func ctl(args []string, stdout, stderr io.Writer) int {
	flags := pflag.NewFlagSet("ctl", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	socket := flags.StringP("socket", "s", "", "")
	path := flags.StringP("config", "c", "", "")
	asJSON := flags.Bool("json", false, "")
	if done, code := parseWords(flags, args, ctlHelp(), stdout, stderr); done {
		return code
	}
	words := flags.Args()
	switch {
	case len(words) == 0:
		return usage(stderr, "ctl needs a command: "+line.Names()+"; see lockstep ctl --help")
	case *socket != "" && *path != "":
		return usage(stderr, "-s and -c both say which lockstep is asked; give one of them")
	}
	kind, known := control.Named(words[0])
	switch {
	case !known && words[0] != "set":
		return usage(stderr, "there is no command of that name to a running lockstep; there are "+line.Names())
	case known && (len(words) > 2 || len(words) == 2 && !kind.Sync):
		return usage(stderr, "more words than ctl "+words[0]+" takes; see lockstep ctl --help")
	}
	r := line.Request{V: line.Version, Command: words[0]}
	if known && len(words) == 2 {
		r.Sync = words[1]
	}
	at, err := socketOf(*socket, *path)
	if err != nil {
		print(stderr, "lockstep: "+err.Error()+"\n")
		return exitUsage
	}
	return question(at, r, *asJSON, stdout, stderr)
}

// question asks, and shows the answer.
func question(socket string, r line.Request, asJSON bool, stdout, stderr io.Writer) int {
	result, err := ask.Ask(socket, r)
	if err == nil && asJSON {
		var text []byte
		if text, err = ask.JSON(result); err == nil {
			_, err = stdout.Write(text)
		}
	} else if err == nil {
		err = ask.Text(stdout, r.Command, result)
	}
	if err == nil {
		return exitDone
	}
	var f line.Fault
	if !errors.As(err, &f) {
		print(stderr, "lockstep: "+err.Error()+"\n")
		return exitFailed
	}
	print(stderr, "lockstep: "+escape.Name(f.Message)+"\n")
	if f.Code == line.CodeUnknown {
		return exitUsage
	}
	return exitFailed
}

// socketOf is the socket that is meant: of a file where one is named, or is there.
func socketOf(socket, path string) (string, error) {
	if socket != "" {
		return socket, nil
	}
	var set config.Set
	if _, err := os.Lstat(defaultFile); path == "" && errors.Is(err, fs.ErrNotExist) {
		return resolve.ControlSocket(set), nil // where one is with another file that does not say
	}
	set, err := file.Read(cmp.Or(path, defaultFile), root)
	if err != nil {
		return "", err
	}
	at := resolve.ControlSocket(set)
	if at == "" {
		return "", errors.New(`there is no control socket: control_socket is "none"`)
	}
	return at, nil
}

// ctlHelp is the help.
func ctlHelp() string {
	var b strings.Builder
	b.WriteString(`lockstep ctl [-s SOCKET | -c FILE] [--json] COMMAND [SYNC]

Asks a running lockstep, by its control socket, or tells it to do something.

  -s, --socket SOCKET     its socket (default: that of the configuration file)
  -c, --config FILE       its configuration file (default ` + defaultFile + `)
  --json                  write the result as JSON

`)
	for _, k := range control.Commands() {
		name := k.Name
		if k.Sync {
			name += " [SYNC]"
		}
		b.WriteString("  " + name + strings.Repeat(" ", 18-len(name)) + k.Help + "\n")
	}
	b.WriteString(`  set               refused: the configuration is what its file says

With SYNC it is about that sync alone. A dump is made below the runtime directory.
The protocol, for clients in any language, is in docs/control.md.

Exit codes: 0 done; 1 refused, or no lockstep listens there; 2 no such command or
sync, or a configuration file with a fault.
`)
	return b.String()
}

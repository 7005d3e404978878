// Lockstep keeps directory trees in step, live. This program is the command
// line, and as `lockstep mirror` the supervisor.
//
// Trust: runs as root; reads its command line, its own files and the kernel's
// tables. It starts confined programs for whatever reads hostile input.
package main

import (
	"fmt"
	"io"
	"os"

	"lockstep/internal/buildinfo"
	"lockstep/sandbox"
)

// Exit codes, the contract with users.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	// The hidden role comes first: in it this process is on its way to become
	// a confined program, and must not read anything else.
	if len(os.Args) > 1 && os.Args[1] == "stage-one" {
		sandbox.StageOne()
	}
	os.Exit(run(asCommand(os.Args), os.Stdout, os.Stderr))
}

// run is main with its surroundings as arguments. It returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		print(stderr, overview)
		return exitUsage
	}
	switch command, rest := args[0], args[1:]; command {
	case "mirror":
		return mirror(rest, stdout, stderr)
	case "version", "--version":
		print(stdout, fmt.Sprintf("lockstep %s (%s)\n", buildinfo.Version, buildinfo.ID))
		return exitDone
	case "build-id":
		print(stdout, buildinfo.ID+"\n")
		return exitDone
	case "help", "--help", "-h":
		return help(rest, stdout, stderr)
	case "run":
		return runFile(rest, stdout, stderr)
	case "check":
		return check(rest, stdout, stderr)
	case "explain":
		return explainPaths(rest, stdout, stderr)
	case "audit":
		return auditAny(rest, stdout, stderr)
	case "watch":
		return watch(rest, stdout, stderr)
	case "ctl":
		return ctl(rest, stdout, stderr)
	case "clsync":
		return likeClsync(rest, stdout, stderr)
	case "lrsync":
		return likeLrsync(rest, stdout, stderr)
	default:
		return usage(stderr, fmt.Sprintf("%q is no command; see lockstep help", command))
	}
}

// help shows the commands, or one of them.
func help(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		print(stdout, overview)
		return exitDone
	}
	switch args[0] {
	case "mirror", "run", "check", "explain", "audit", "watch", "ctl", "clsync", "lrsync":
		return run([]string{args[0], "--help"}, stdout, stderr)
	}
	return usage(stderr, fmt.Sprintf("%q is no command with a help of its own; see lockstep help", args[0]))
}

// print writes to a standard stream. There is nobody to tell when that fails.
func print(w io.Writer, text string) { _, _ = io.WriteString(w, text) }

// usage tells what is wrong with the command line.
func usage(stderr io.Writer, text string) int {
	print(stderr, "lockstep: "+text+"\n")
	return exitUsage
}

const overview = `lockstep keeps directory trees in step, live.

  lockstep mirror [flags] SRC DST…  keep each DST in step with SRC, in the foreground
  lockstep run -c FILE              keep all syncs of a file in step
  lockstep check -c FILE            tell all that is wrong with a file, or what it does
  lockstep explain -c FILE PATH…    tell which pattern or rule decides for each path
  lockstep audit self               compare what runs with what it is declared to be
  lockstep audit verify             say whether the audit trail is what was written (also: report, init)
  lockstep watch [flags] DIR…       tell what changes in each DIR, a line a change
  lockstep ctl COMMAND [SYNC]       ask a running lockstep, or tell it to do something
  lockstep clsync [options]         do what clsync's options and files say
  lockstep lrsync [words] SRC DST   the same with the words of rsync, as lrsync did
  lockstep help COMMAND             the flags of any command above
  lockstep version                  version and build

Must be started as root, but for explain, watch and ctl; what reads the trees' content and names runs confined.
Exit codes: 0 done, 1 failed, 2 usage or configuration, 70 internal, 78 locked out.
`

// Package inspect is the part of the command line that is about the audit trail: lockstep
// audit verify, report and init.
//
// Trust: a trail may have been changed by anybody; it is read by package verify, strictly,
// and shown escaped.
//
// Invariant: nothing but init changes anything.
package inspect

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"lockstep/config"
	"lockstep/config/file"
	"lockstep/config/resolve"
	"lockstep/internal/escape"
	"lockstep/supervise/exit"
	"lockstep/trail"
	"lockstep/trail/store"
	"lockstep/trail/verify"
)

const verifyHelp = `lockstep audit verify [-c FILE | FILE…] [--seed FILE] [--public KEY] [--anchor SEQ:SUM]…

Says whether an audit trail is what was written, and names the first record that is
not. Ends with 0 when all is, with 1 when not. The files are given in order; without
any, all of the trail of the configuration, whose keys tell its last record.

  -c, --config FILE       the configuration (default /etc/lockstep/lockstep.toml)
  --seed FILE             what lockstep audit init has told: each record is verified by
                          its own key; - reads it from standard input
  --public KEY            the key that was told at its beginning: signatures are its
  --anchor SEQ:SUM        a record's number and hash as they were told elsewhere: that
                          record must be there; may be repeated
  --json                  write JSON to standard output

What each of these shows, and what it cannot: docs/trail.md.
`

const reportHelp = `lockstep audit report [-c FILE | FILE…] [--json]

Counts what is in an audit trail by sync, target, type, rule and outcome, after it was
verified as far as can be without keys.
`

const initHelp = `lockstep audit init [-c FILE]

Begins the audit trail of a configuration that has none yet, and tells what it is
verified by: the seed, a secret that is kept nowhere on this host, and the public key.
Without it, lockstep run begins the trail by itself, and nobody has the seed.

Must be started as root, while lockstep does not run with that configuration.
`

// Help is the help of all verbs.
func Help() string { return verifyHelp + reportHelp + initHelp }

// Main is `lockstep audit` followed by verify, report or init: the exit code. usual is
// the configuration that is meant when none is named.
func Main(verb string, args []string, usual string, stdout, stderr io.Writer) int {
	c := command{verb: verb, args: args, stdout: stdout, stderr: stderr}
	c.flags = pflag.NewFlagSet("audit "+verb, pflag.ContinueOnError)
	c.flags.SetOutput(io.Discard)
	c.path = c.flags.StringP("config", "c", usual, "")
	verbs := map[string]func(*command) error{"verify": (*command).verify, "report": (*command).report, "init": (*command).init}
	err := verbs[verb](&c)
	var wrong usageError
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return exit.Done
	case errors.As(err, &wrong):
		c.say(c.stderr, "lockstep: "+err.Error()+"; see lockstep audit "+verb+" --help\n")
		return exit.Usage
	case err != nil:
		c.say(c.stderr, "lockstep: "+err.Error()+"\n")
		return exit.Failed
	}
	return exit.Done
}

// command is one call.
type command struct {
	verb           string
	args           []string
	flags          *pflag.FlagSet
	path           *string
	stdout, stderr io.Writer
}

// usageError is what is wrong with the command line.
type usageError struct{ error }

func wrong(format string, words ...any) error { return usageError{fmt.Errorf(format, words...)} }

// parse reads the command line.
func (c *command) parse(help string) error {
	err := c.flags.Parse(c.args)
	if errors.Is(err, pflag.ErrHelp) {
		c.say(c.stdout, help)
	} else if err != nil {
		err = usageError{err}
	}
	return err
}

// say writes to a standard stream. There is nobody to tell when that fails.
func (c *command) say(w io.Writer, text string) { _, _ = io.WriteString(w, text) }

func (c *command) json(v any) error {
	e := json.NewEncoder(c.stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// trailOf reads where the trail of a configuration is.
func trailOf(path string) (config.Set, error) {
	set, err := file.Read(path, 0)
	if err == nil {
		set, err = resolve.Set(set)
	}
	if err == nil && !set.Audit.On() {
		err = fmt.Errorf(`%s: audit is "off": there is no trail; name its files`, escape.Name(path))
	}
	return set, err
}

// trailFiles are what was named, or all of the configuration's, with its last record.
func trailFiles(named []string, path string, anchors map[uint64]string) ([]string, error) {
	if len(named) > 0 {
		return named, nil
	}
	set, err := trailOf(path)
	if err != nil {
		return nil, err
	}
	// Before the files are read: they may grow meanwhile.
	seq, sum, known, err := store.Anchor(set.StateDir, store.KeysName(set.Audit.Dir))
	if err != nil {
		return nil, err
	}
	if known {
		anchors[seq] = sum
	}
	return store.Files(set.Audit.Dir)
}

func (c *command) verify() (err error) {
	asJSON := c.flags.Bool("json", false, "")
	seed := c.flags.String("seed", "", "")
	o := verify.Options{Anchors: map[uint64]string{}}
	c.flags.StringVar(&o.Public, "public", "", "")
	anchors := c.flags.StringArray("anchor", nil, "")
	if err := c.parse(verifyHelp); err != nil {
		return err
	}
	if key, err := hex.DecodeString(o.Public); err != nil || o.Public != "" && len(key) != ed25519.PublicKeySize {
		return wrong("--public: %s is no key: it has 64 hexadecimal digits", escape.Name(o.Public))
	}
	for _, a := range *anchors {
		digits, sum, ok := strings.Cut(a, ":")
		seq, err := strconv.ParseUint(digits, 10, 64)
		if !ok || err != nil || len(sum) != len(trail.Zero) {
			return wrong("--anchor: %s is none: write SEQ:SUM, such as 812:9f…", escape.Name(a))
		}
		o.Anchors[seq] = sum
	}
	if o.Seed, err = readSeed(*seed); err != nil {
		return err
	}
	files, err := trailFiles(c.flags.Args(), *c.path, o.Anchors)
	if err != nil {
		return err
	}
	r, err := readTrail(o, files, nil)
	var bad *verify.Bad
	if err != nil && !errors.As(err, &bad) {
		return err
	}
	if *asJSON {
		err = c.json(resultJSON(r, o, bad))
	} else if bad == nil {
		c.say(c.stdout, verify.Words(r, o))
	}
	if bad != nil {
		err = errors.Join(err, errors.New("the trail is not what was written: "+bad.Error()))
	}
	return err
}

// verifiedJSON is the outcome; the names are stable.
type verifiedJSON struct {
	OK      bool          `json:"ok"`
	Result  verify.Result `json:"result"`
	Bad     *badJSON      `json:"bad,omitempty"`
	Limited []string      `json:"limited,omitempty"` // what was not shown for want of a key or an anchor
}

type badJSON struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty"`
	Seq  uint64 `json:"seq"`
	Why  string `json:"why"`
}

func resultJSON(r verify.Result, o verify.Options, bad *verify.Bad) verifiedJSON {
	out := verifiedJSON{OK: bad == nil, Result: r, Limited: verify.Limits(r, o)}
	if bad != nil {
		out.Bad = &badJSON{bad.File, bad.Line, bad.Seq, bad.Why.Error()}
	}
	return out
}

// readTrail verifies files, and has each record looked at that is good.
func readTrail(o verify.Options, files []string, each func(trail.Record)) (verify.Result, error) {
	v := verify.New(o)
	v.Each = each
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return v.Result, err
		}
		bad := v.Read(escape.Name(name), f)
		if err := f.Close(); err != nil {
			return v.Result, err
		}
		if bad != nil {
			break
		}
	}
	return v.End()
}

// readSeed reads the secret from a file, in which it has a line; "": there is none.
func readSeed(path string) (*trail.Secret, error) {
	if path == "" {
		return nil, nil
	}
	in := os.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, 4<<10))
	if err != nil {
		return nil, err
	}
	for _, word := range strings.Fields(string(text)) {
		if raw, err := hex.DecodeString(word); err == nil && len(raw) == len(trail.Secret{}) {
			return (*trail.Secret)(raw), nil
		}
	}
	return nil, fmt.Errorf("%s: has no seed: 64 hexadecimal digits", escape.Name(path))
}

func (c *command) report() error {
	asJSON := c.flags.Bool("json", false, "")
	if err := c.parse(reportHelp); err != nil {
		return err
	}
	o := verify.Options{Anchors: map[uint64]string{}}
	files, err := trailFiles(c.flags.Args(), *c.path, o.Anchors)
	if err != nil {
		return err
	}
	var counts verify.Counts
	r, bad := readTrail(o, files, counts.Add)
	report := counts.Report(r)
	if *asJSON {
		err = c.json(report)
	} else {
		c.say(c.stdout, report.Text())
	}
	if bad != nil {
		err = errors.Join(err, errors.New("only what is before the first bad record was counted: "+bad.Error()))
	}
	return err
}

func (c *command) init() (err error) {
	if err := c.parse(initHelp); err != nil {
		return err
	}
	if c.flags.NArg() > 0 {
		return wrong("takes no words")
	}
	if os.Geteuid() != 0 {
		return wrong("must be started as root")
	}
	set, err := trailOf(*c.path)
	if err != nil {
		return err
	}
	s, err := store.Open(store.Options{Dir: set.Audit.Dir, Keys: set.StateDir, Name: store.KeysName(set.Audit.Dir), Random: rand.Reader})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if s.Birth == nil {
		return fmt.Errorf("there is a trail in %s already; move its files and %s to another place, and begin another", escape.Name(set.Audit.Dir), escape.Name(filepath.Join(set.StateDir, store.KeysName(set.Audit.Dir))))
	}
	c.say(c.stdout, strings.Join([]string{"trail   " + s.Birth.Trail, "public  " + s.Birth.Public, "seed    " + hex.EncodeToString(s.Birth.Seed[:]), "",
		"Keep the seed at another place than this host: it is stored nowhere here. Who has it",
		"can verify every record, and could make records; the public key is no secret.", ""}, "\n"))
	return nil
}

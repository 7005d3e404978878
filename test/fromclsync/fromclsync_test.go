// Package fromclsync holds what is promised to those who come from clsync, each
// promise as a test: the guide docs/from-clsync.md says what the code says, the
// examples mean what is written beside them, and each known defect of clsync 0.4.5
// is absent, or is of a part that is not built yet.
//
// Trust: tests only; it has no other code.
// Imports: the packages that read what clsync's users write, and the pure ones that
// stand for what clsync did wrong.
//
// Invariant: nothing is said that no test could refute: what is shown elsewhere is
// named by a test that exists, and what is not built is refused by name.
package fromclsync

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/clsync/compile"
	"lockstep/clsync/options"
	"lockstep/config"
	"lockstep/config/file"
)

// top is the checkout.
const top = "../.."

// files are those that a command line names.
type files map[string]string

func (f files) read(path string) ([]byte, error) {
	if text, ok := f[path]; ok {
		return []byte(text), nil
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
}

// start is the directory that a command line is given in, and pid the process.
const (
	start = "/start"
	pid   = 42
)

// opts reads a command line as `lockstep clsync` does, without a file of its own.
func opts(f files, args ...string) (*options.Options, error) {
	return options.Read(args, options.Env{Dir: start, PID: pid, ReadFile: f.read})
}

// compiled is what `lockstep clsync --print-config` makes of it.
func compiled(f files, args ...string) (compile.Result, error) {
	o, err := opts(f, args...)
	if err != nil {
		return compile.Result{}, err
	}
	return compile.Compile(o, f.read)
}

// least is a command line without which there is nothing to do.
func least(more ...string) []string {
	return append([]string{"-M", "rsyncdirect", "-W", "/srv/www", "-D", "/backup/www"}, more...)
}

// meant is the sync that lockstep's own reader finds in what was made.
func meant(t *testing.T, f files, args ...string) config.Config {
	t.Helper()
	r, err := compiled(f, args...)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return read(t, r)
}

func read(t *testing.T, r compile.Result) config.Config {
	t.Helper()
	s, err := file.Text("x.toml", r.Text)
	if err == nil {
		s, err = s.ForRun(r.Run, nil)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, r.Text)
	}
	return s.Config(0)
}

// refused wants a command line to be refused, with the option, in these words.
func refused(t *testing.T, f files, says string, args ...string) {
	t.Helper()
	r, err := compiled(f, args...)
	if err == nil || !strings.Contains(err.Error(), says) || r.Text != nil {
		t.Errorf("%q: %v, want a refusal that says %q", args, err, says)
	}
}

// keysOf are the keys of a lockstep.toml as compile writes it, with their values.
func keysOf(text []byte) map[string]string {
	keys, key := map[string]string{}, ""
	for line := range strings.Lines(string(text)) {
		switch name, value, ok := strings.Cut(line, " = "); {
		case line[0] == '#' || line[0] == '[' || line == "\n":
		case ok && line[0] != ' ':
			key = name
			keys[key] = value
		default: // of a list
			keys[key] += line
		}
	}
	return keys
}

// at is a place in the checkout.
func at(parts ...string) string { return filepath.Join(append([]string{top}, parts...)...) }

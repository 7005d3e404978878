package lrsync

import (
	"io/fs"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"lockstep/clsync/macro"
	"lockstep/clsync/options"
	"lockstep/internal/testenv"
)

func read(t *testing.T, args string) Command {
	t.Helper()
	c, err := Read(strings.Fields(args), func(string) string { return "" })
	if err != nil {
		t.Fatalf("%s: %v", args, err)
	}
	return c
}

func TestSplit(t *testing.T) {
	for args, want := range map[string]string{
		"a b":                               " | ",
		"-avz a b":                          " | -avz",
		"-v a --verbose b":                  "--verbose --verbose | -v --verbose",
		"--delay-sync 5 a --label=x b":      "--delay-sync=5 --label=x | ",
		"--background a b":                  "--background | ",
		"--background=1 --debug=2 a b":      "--background=1 --debug=2 | ",
		"-avze ssh a b":                     " | -avze ssh",
		"-essh a -T tmp b":                  " | -essh -T tmp",
		"--exclude *.o a --exclude=x b":     " | --exclude *.o --exclude=x",
		"--delete --bwlimit 10 a b":         " | --delete --bwlimit 10",
		"--one-file-system a b":             "--one-file-system | ",
		"-x a b":                            " | -x",
		"--label -x a b":                    "--label=-x | ",
		"--lab x a":                         " | --lab",
		"--lenient a b":                     " | --lenient",
		"-- -a -b":                          " | ",
		"--clsync-command-only a u@host:/b": " | ",
		"--numeric-ids --ignore-exitcode 24 --ignore-exitcode 23 a b": "--ignore-exitcode=24 --ignore-exitcode=23 | --numeric-ids",
	} {
		c := read(t, args)
		if got := strings.Join(c.Clsync, " ") + " | " + strings.Join(c.Rsync, " "); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
		if c.Source == "" || c.Destination == "" || c.Show != strings.Contains(args, "--clsync-command-only") {
			t.Errorf("%s: %+v", args, c)
		}
	}
	if c := read(t, "--help x y z"); !c.Help {
		t.Errorf("%+v", c)
	}
	if c := read(t, "--version"); !c.Version {
		t.Errorf("%+v", c)
	}
}

func TestFaults(t *testing.T) {
	for args, want := range map[string]string{
		"":                "neither a source nor a destination is given",
		"a":               "no destination is given",
		"a b c d":         "c: is one word too many: there is one source and one destination",
		"a b --label":     "--label: needs a value",
		"a b -e":          "-e: needs a value",
		"a b --exclude":   "--exclude: needs a value",
		"--mode simple":   "--mode: is said by the form of this command\nneither a source nor a destination is given",
		"--watch-dir=x a": "--watch-dir: is said by the form of this command\nno destination is given",
	} {
		_, err := Read(strings.Fields(args), func(string) string { return "" })
		if err == nil {
			t.Errorf("%s: no fault", args)
			continue
		}
		var got []string
		for _, line := range strings.Split(err.Error(), "\n") {
			text, advice, _ := strings.Cut(line, "; ")
			got = append(got, text)
			if advice == "" {
				t.Errorf("%s: no advice: %s", args, line)
			}
		}
		if strings.Join(got, "\n") != want {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
	}
	if _, err := Read([]string{"", ""}, func(string) string { return "" }); err == nil || strings.Count(err.Error(), "is empty") != 2 {
		t.Error(err)
	}
}

func nothing(path string) ([]byte, error) {
	return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
}

// What is made is a command line that clsync's reader takes as it is meant.
func TestWords(t *testing.T) {
	env := map[string]string{"RSYNC_PATH": "/opt/100%/rsync", "CLSYNC_LISTS_PATH": "/run/l"}
	c, err := Read([]string{"-av", "--log-file-format=%i %label%", "--label", "x", "a b%label%", "u@h:d/", "--delay-sync=1"}, func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	want := `lockstep clsync --config-block=lrsync --mode=rsyncdirect --sync-handler=/opt/100%%/rsync '--watch-dir=a b%%label%%' --destination-dir=u@h:d/ --lists-dir=/run/l ` +
		`--label=x --delay-sync=1 -- %RSYNC-ARGS% -av '--log-file-format=%%i %%label%%' %watch-dir%/ %destination-dir%/`
	if c.String() != want {
		t.Errorf("got\n%s\nwant\n%s", c, want)
	}
	o, err := options.Read(c.Words(), options.Env{Dir: "/s", ReadFile: nothing, Block: Block})
	if err != nil {
		t.Fatal(err)
	}
	if o.WatchDir != "/s/a b%label%" || o.DestinationDir != "u@h:d/" || o.SyncHandler != "/opt/100%/rsync" || o.Mode != options.RsyncDirect || o.ListsDir != "/run/l" || o.Label != "x" ||
		!slices.Equal(o.Arguments, []string{"%RSYNC-ARGS%", "-av", "--log-file-format=%%i %%label%%", "/s/a b%%label%%/", "u@h:d//"}) || o.Warnings != nil {
		t.Errorf("%+v", o)
	}
}

// The options of rsync's that take a value are those of the rsync that is here.
func TestRsyncValues(t *testing.T) {
	out, err := exec.Command(testenv.NeedTool(t, "rsync"), "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	v := rsyncValues()
	seen := 0
	for _, line := range strings.Split(string(out), "\n") {
		for _, word := range strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == ',' }) {
			if !strings.HasPrefix(word, "--") {
				if !strings.HasPrefix(word, "-") {
					break
				}
				continue
			}
			if name, _, value := strings.Cut(word, "="); value {
				seen++
				if !slices.Contains(v.long, name) {
					t.Errorf("%s takes a value", name)
				}
			}
		}
	}
	if seen < 40 {
		t.Errorf("%d options found", seen)
	}
}

// Every word goes somewhere, and rsync's come out as they went in.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"a\nb", "-avze\nssh\na\nb", "--label\nx\na\n--\n-b", "--exclude\n%label%\na%\nb", "--help"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		args := strings.Split(text, "\n")
		c, err := Read(args, func(string) string { return "" })
		if err != nil || c.Help || c.Version {
			return
		}
		for _, w := range append([]string{c.Source, c.Destination}, c.Rsync...) {
			if !slices.Contains(args, w) {
				t.Errorf("%q: %q", args, w)
			}
		}
		all := c.Words()
		for i, w := range c.Rsync {
			if got := macro.Cut(all[len(all)-2-len(c.Rsync)+i]); w != "" && (len(got) != 1 || got[0].Text != w) {
				t.Errorf("%q became %+v", w, got)
			}
		}
		if _, err := options.Read(all, options.Env{Dir: "/s", ReadFile: nothing}); err != nil && len(c.Clsync) == 0 && !strings.Contains(err.Error(), "destination-dir") && !strings.Contains(text, "\x00") {
			t.Error(err)
		}
	})
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/clsync/options"
)

// blocksOf is a file of clsync's with blocks, and what reads it.
func blocksOf(t *testing.T, blocks string) (args []string, env options.Env, path string) {
	t.Helper()
	source, target := trees(t)
	path = filepath.Join(filepath.Dir(source), "clsync.conf")
	text := "[default]\nmode = rsyncdirect\nwatch-dir = " + source + "\ndestination-dir = " + target + "\n" + blocks
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return []string{"-H", path}, options.Env{Dir: "/", ReadFile: readOwned, RealPath: filepath.EvalSymlinks}, path
}

// What a signal would load is checked at the start, as what runs is.
func TestClsyncSignals(t *testing.T) {
	for blocks, want := range map[string]string{
		"custom-signals = 28:a\n[a]\ndelay-collect = 1\n": "",
		"custom-signals = 12:a\n[a]\n":                    "custom-signals: signal 12 (USR2) starts a whole pass; use another one, such as 28, or one from 35 to 64",
		"custom-signals = 28:b\n[a]\n":                    "custom-signals: there is no block [b]; write it",
		"custom-signals = 28:a\n[a]\npid-file = /run/x\n": "[a], which signal 28 loads: pid_file: cannot change while lockstep runs: it is not given, and would be /run/x; put it back, or restart lockstep",
		"custom-signals = 28:a\n[a]\nsocket = /run/x\n":   "[a], which signal 28 loads: control_socket: cannot change while lockstep runs: it is not given, and would be /run/x; put it back, or restart lockstep",
		"custom-signals = 28:a\n[a]\nretries = x\n":       `retries: "x" is not a number`,
		"custom-signals = 28:a\n[a]\nrules-file = /no\n":  "[a], which signal 28 loads: rules-file: /no: no such file",
	} {
		args, _, _ := blocksOf(t, blocks)
		code := 2
		if want == "" {
			code = 0
		}
		stdout := ""
		if want == "" {
			stdout = "signal 28 loads [a]"
		}
		tell(t, []telling{{"clsync --print-config " + strings.Join(args, " "), code, stdout, want}})
	}
}

// A block that is loaded stays so when the files are read anew, as does the runtime
// directory; signals are those of the start.
func TestClsyncAgain(t *testing.T) {
	args, env, path := blocksOf(t, "custom-signals = 28:a,29:b\ndelay-collect = 5\n[a]\ndelay-collect = 1\ndestination-dir = /\n[b]\ndelay-collect = 2\n")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(filepath.Dir(path), "src")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(strings.Replace(text, "destination-dir = /\n", "destination-dir = "+other+"\n", 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(string(text))
	o, err := options.Read(args, env)
	if err != nil {
		t.Fatal(err)
	}
	_, set, err := meant(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		blocks []string
		delay  string
		target string
	}{{nil, "5s", "dst"}, {[]string{"a"}, "1s", "src"}, {[]string{"a", "b"}, "2s", "src"}, {[]string{"b"}, "2s", "dst"}} {
		again, _, err := clsyncAgain(args, env, c.blocks, o, set)
		if err != nil {
			t.Fatal(err)
		}
		s := again.Syncs[0]
		if s.Delay.String() != c.delay || filepath.Base(s.Targets[0].Path) != c.target || again.RuntimeDir != set.RuntimeDir {
			t.Errorf("with %v: %v, %s, %s", c.blocks, s.Delay, s.Targets[0].Path, again.RuntimeDir)
		}
	}
	write(strings.Replace(string(text), "29:b", "30:b", 1))
	if _, _, err := clsyncAgain(args, env, nil, o, set); err == nil || !strings.Contains(err.Error(), "custom-signals: cannot change while lockstep runs") {
		t.Errorf("%v", err)
	}
}

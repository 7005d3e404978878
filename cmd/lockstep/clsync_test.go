package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lockstep/clsync/table"
	"lockstep/config/file"
	"lockstep/config/resolve"
	"lockstep/internal/testenv"
)

// trees makes a source and a target, and a home without configuration.
func trees(t *testing.T) (source, target string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", dir+"/none")
	for _, d := range []string{"/src", "/dst"} {
		if err := os.Mkdir(dir+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir + "/src", dir + "/dst"
}

func TestAsCommand(t *testing.T) {
	for words, want := range map[string]string{"": "", "/usr/bin/lockstep run": "run", "/usr/bin/clsync -W x": "clsync -W x", "lrsync a b": "lrsync a b", "clsync": "clsync", "clsyncd x": "x"} {
		if got := strings.Join(asCommand(strings.Fields(words)), " "); got != want {
			t.Errorf("%q: %q, want %q", words, got, want)
		}
	}
}

func TestClsync(t *testing.T) {
	source, target := trees(t)
	least := "-H /NULL/ -M rsyncdirect -W " + source + " -D " + target
	tell(t, []telling{
		{"clsync --help", 0, "Refused: not built yet:\n", ""},
		{"clsync -h", 0, "  -W, --watch-dir=PATH", ""},
		{"help clsync", 0, "  -t, --delay-collect=SECONDS ", ""},
		{"help lrsync", 0, "lockstep lrsync [options", ""},
		{"clsync --version", 0, "lockstep 0", ""},
		{"clsync --print-config " + least, 0, "\nsource = \"" + source + "\"\ntargets = [\"" + target + "\"]\n", ""},
		{"clsync --print-config -b " + least, 0, "source", "lockstep: warning: --background: is read for the sake of old files; stays in the foreground"},
		{"clsync", 2, "", "lockstep: --watch-dir: is not given; name the directory to follow: --watch-dir=DIR\n"},
		{"clsync --nosuch", 2, "", "lockstep: --nosuch: unknown option; see --help\n"},
		{"clsync --print-config --skip-initialsync --full-initialsync " + least, 2, "", "lockstep: --full-initialsync: does not go with skip-initialsync; take one of them out\n"},
		{"clsync --print-config -s /run/s --socket-mod 660 " + least, 0, "control_socket = \"/run/s\"\ncontrol_mode = \"0660\"\n", ""},
		{"clsync --print-config --dump-dir=/d " + least, 0, "source", "lockstep: warning: --dump-dir: has no effect here: dumps are made below the runtime directory"},
		{"clsync -R /none " + least, 2, "", "lockstep: --rules-file: /none: no such file or directory; name a file that is there and that only root can write\n"},
		{"clsync --print-config -W " + source + "x -D " + target + " -M rsyncdirect -H /NULL/", 2, "", "srcx: "},
		{"lrsync", 2, "", "lockstep: neither a source nor a destination is given; write lrsync [options] SOURCE DESTINATION\n"},
		{"lrsync --help", 0, "RSYNC_PATH is the rsync", ""},
		{"lrsync --version", 0, "lockstep 0", ""},
		{"lrsync --clsync-command-only -z a b", 0, "lockstep clsync --config-block=lrsync --mode=rsyncdirect --sync-handler=rsync --watch-dir=a --destination-dir=b -- %RSYNC-ARGS% -z %watch-dir%/ %destination-dir%/\n", ""},
		{"lrsync --config-file=/NULL/ --print-config -az --bwlimit 5m " + source + " " + target, 0, "\nrsync_args = [\"--compress\"]\nbwlimit = \"5MiB\"\n", ""},
		{"lrsync --config-file=/NULL/ --print-config " + source + " host:/x", 2, "", "; name a directory that there is; one of another host is USER@HOST:DIR\n"},
		{"lrsync --config-file=/NULL/ --print-config -ae ssh " + source + " me@host:/x", 2, "", "lockstep: --destination-dir: me@host:/x is reached by ssh, and no key or no file of host keys is named"},
		{"lrsync --config-file=/NULL/ --inplace " + source + " " + target, 2, "", `lockstep: the words for rsync: "--inplace" is refused: it writes into files`},
	})
}

// Every option is in the help, with its letter.
func TestClsyncHelp(t *testing.T) {
	help := clsyncHelp()
	for _, o := range table.All() {
		if o.Place != table.InFile && !strings.Contains(help, "--"+o.Name+" ") && !strings.Contains(help, "--"+o.Name+"=") && !strings.Contains(help, "--"+o.Name+"[") && !strings.Contains(help, "--"+o.Name+"\n") {
			t.Errorf("--%s is not in the help", o.Name)
		}
		if o.Short != 0 && !strings.Contains(help, "  -"+string(o.Short)+", --"+o.Name) {
			t.Errorf("-%c is not in the help", o.Short)
		}
	}
}

// A rule or configuration file that others can write is not obeyed.
func TestClsyncOwnFilesOnly(t *testing.T) {
	source, target := trees(t)
	path := filepath.Join(filepath.Dir(source), "rules")
	if err := os.WriteFile(path, []byte("-f\\.bak$\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, option := range []string{"-R", "-H"} {
		var stdout, stderr bytes.Buffer
		args := []string{"clsync", "--print-config", option, path, "-M", "rsyncdirect", "-W", source, "-D", target}
		if code := run(args, &stdout, &stderr); code != 2 || !strings.Contains(stderr.String(), "is not safe to obey") || stdout.Len() > 0 {
			t.Errorf("%s: code %d: %s%s", option, code, stdout.String(), stderr.String())
		}
	}
}

// What is printed is what lockstep run would take, down to the file system.
func TestClsyncResolves(t *testing.T) {
	testenv.NeedTool(t, "rsync")
	source, target := trees(t)
	var stdout, stderr bytes.Buffer
	args := []string{"clsync", "--print-config", "-H", "/NULL/", "-M", "rsyncdirect", "-W", source, "-D", target, "-t0.2", "--only-initialsync"}
	if code := run(args, &stdout, &stderr); code != 0 || stderr.Len() > 0 {
		t.Fatalf("code %d: %s", code, stderr.String())
	}
	set, err := file.Text("x", stdout.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if set, err = resolve.Set(set); err != nil {
			t.Fatal(err)
		}
	}
	if got := []string{set.Syncs[0].Source, set.Syncs[0].Targets[0].Path, set.Syncs[0].Delay.String()}; !slices.Equal(got, []string{source, target, "200ms"}) {
		t.Errorf("%q", got)
	}
}

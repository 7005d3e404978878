package compile

import (
	"flag"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/clsync/options"
	"lockstep/clsync/signals"
	"lockstep/clsync/table"
	"lockstep/config"
	"lockstep/config/file"
	"lockstep/internal/testenv"
	"lockstep/rules/ordered"
)

var update = flag.Bool("update", false, "write testdata anew")

// files are those that options and compile read.
type files map[string]string

func (f files) read(path string) ([]byte, error) {
	text, ok := f[path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return []byte(text), nil
}

// shell splits words; '…' keeps blanks.
func shell(line string) []string {
	var out []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			out = append(out, part)
			continue
		}
		out = append(out, strings.Fields(part)...)
	}
	return out
}

func read(t *testing.T, args []string, f files) *options.Options {
	t.Helper()
	o, err := options.Read(args, options.Env{Dir: "/start", Search: []string{"/etc/clsync.conf"}, PID: 42, ReadFile: f.read})
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return o
}

// least is a command line without which there is nothing to do.
const least = "-W /srv/www -D /backup/www -M rsyncdirect "

// set is what lockstep's own reader makes of the text.
func set(t *testing.T, r Result) config.Set {
	t.Helper()
	s, err := file.Text("x.toml", r.Text)
	if err == nil {
		s, err = s.ForRun(r.Run, nil)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, r.Text)
	}
	if len(s.Syncs) != 1 || len(s.Syncs[0].Targets) != 1 {
		t.Fatalf("%d syncs\n%s", len(s.Syncs), r.Text)
	}
	return s
}

// The texts, and that lockstep reads them.
func TestGolden(t *testing.T) {
	f := files{
		"/etc/same.rules":  "# keep it\n+f^keep/\n-f\\.bak$\n-d'x$\n",
		"/etc/other.rules": "+w^etc$\n-m^x\n-F\\.bak$\n-f^end",
		"/etc/blocks":      "[default]\ncustom-signals = 29:less,28:more\n[more]\nrules-file = /etc/same.rules\n[less]\nrules-file =\n",
		"/etc/clsync.conf": "[default]\nlabel = conf\ndelay-collect = 1\nconfig-block-inherits = base\n[base]\ndelay-sync = 2\nbackground = 1\n-- = %RSYNC-ARGS% --exclude=\"a b\" %watch-dir%/ %destination-dir%/\n",
	}
	for name, args := range map[string]string{
		"least":     "-H /NULL/ " + least,
		"file":      least,
		"signals":   "-H /etc/blocks " + least,
		"rules":     "-H /NULL/ -R /etc/same.rules -F0 -X " + least,
		"converted": "-H /NULL/ -R /etc/other.rules --one-file-system " + least,
		"times":     "-H /NULL/ -t 0.5 -w0 -T 7200 -B 1048576 -k 0 -r 0 " + least,
		"slow":      "-H /NULL/ -t 7200 -w 9000 -B0 --retries=3 -x 23,24 " + least,
		"once":      "-H /NULL/ --only-initialsync -l www.1 --monitor inotify -S rsync " + least,
		"security": "-H /NULL/ -u nobody -g nogroup --privileged-uid root --sync-handler-uid 0 --secure-splitting --splitting off --seccomp-filter=0 --threading off --detach-network everywhere " +
			"--preserve-capabilities CHOWN --ignore-failures -b -v -U0 " + least,
		"messages": "-H /NULL/ -Y syslog --verbose=2 " + least,
		"quiet":    "-H /NULL/ -Y syslog -q -v -z /run/x.pid " + least,
		"words": "-H /NULL/ -S /opt/bin/rsync-3.5.0 -u sync " + least +
			"-- -vaAXzc --exclude=*.tmp --include-from %INCLUDE-LIST-PATH% --exclude-from=%EXCLUDE-LIST-PATH% --exclude=* --exclude a/b/ --bwlimit=10m --compress-level=3 --no-devices --max-delete 7 --stats /srv/www/ %destination-dir%/",
		"ssh": "-H /NULL/ -W /srv/www -D mirror@web2:/srv/www -M rsyncdirect --sync-handler-uid sync " +
			"-- %RSYNC-ARGS% -e 'ssh -i /etc/id -p 2222 -o UserKnownHostsFile=/etc/known -oBatchMode=yes' %watch-dir%/ %destination-dir%/",
		"end":   "-H /NULL/ --pre-exit-hook /opt/stop.sh --exit-hook=/opt/start.sh --add-permitted-hook-files /opt/more.sh --max-iterations=20 --sync-on-quit --only-initialsync " + least,
		"skip":  "-H /NULL/ --skip-initialsync --max-iterations=3 " + least,
		"shell": "-H /NULL/ -W /srv/www -D /backup/www -M shell -S /usr/local/lib/h.sh -l lab -x 23,24,23",
		"rsyncshell": "-H /NULL/ -W /srv/www -D /backup/www -M rsyncshell -S /usr/local/lib/h.sh -R /etc/same.rules -X -x 5 " +
			"-- rsynclist %label% 100%% %INCLUDE-LIST-PATH% %EXCLUDE-LIST-PATH% '%destination-dir% x'",
		"so":      "-H /NULL/ -W /srv/www -D /backup/www -M so -S /usr/local/lib/x.so -l lab -x 3",
		"rsyncso": "-H /NULL/ -W /srv/www -D /backup/www -M rsyncso -S /usr/local/lib/x.so -R /etc/same.rules -- unused",
		"simple":  "-H /NULL/ -W /srv/www -D /backup/www -M simple -S /bin/echo",
		"whole":   "-H /NULL/ -W /srv/src -M shell -S /usr/local/lib/h.sh -l lab --have-recursive-sync --synclist-simplify -L /run/lists -U",
		"equal":   "-H /NULL/ --modification-signature dev,ino,mode,uid,gid,rdev,size,atime,mtime " + least,
		"alone":   "-H /NULL/ -W /srv/www -M shell -S /usr/local/lib/h.sh -l lab --modification-signature uid,gid",
		"direct":  "-H /NULL/ -W /srv/www -D /backup/www -M direct -S /bin/cp --only-initialsync -- -a %INCLUDE-LIST% %destination-dir%/",
		"daemon":  "-H /NULL/ -W /srv/www -M rsyncshell -S /usr/bin/rsync -- %RSYNC-ARGS% --password-file /etc/pw -x --no-delete /srv/www/ rsync://me@nas/mod/",
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Compile(read(t, shell(args), f), f.read)
			if err != nil {
				t.Fatal(err)
			}
			set(t, r)
			path := filepath.Join("testdata", name+".toml")
			if *update {
				if err := os.WriteFile(path, r.Text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil || string(want) != string(r.Text) {
				t.Errorf("%v; go test -update writes it\n%s", err, r.Text)
			}
		})
	}
}

// What the text means to lockstep.
func TestMeaning(t *testing.T) {
	f := files{"/r": "-f\\.bak$\n+w^a$\n"}
	for args, got := range map[string]func(config.Set) bool{
		"": func(s config.Set) bool {
			c := s.Config(0)
			return c.Source == "/srv/www" && c.Targets[0].Path == "/backup/www" && c.Delay == 30*time.Second && c.MaxDelay == c.Delay && c.Devices && c.CrossMounts &&
				c.Xattrs == config.XattrsNone && c.BigSize == 128<<20+1 && c.BigDelay == 30*time.Minute && c.Timeout == 24*time.Hour && c.RetryInitial == 30*time.Second && !c.Once &&
				c.RsyncPath == "/usr/bin/rsync" && c.Name == "www" && c.Monitor == "auto" && c.Delete == config.DeleteAlways && strings.HasPrefix(c.RuntimeDir, "/run/lockstep/clsync-")
		},
		"--exit-hook=/x --max-iterations=1": func(s config.Set) bool {
			c := s.Config(0)
			return c.End == config.End{Exit: "/x", MaxIterations: 1, HookTimeout: 30 * time.Second} && c.Name == "nolabel" && !c.Once
		},
		"-l lab --pre-exit-hook=/x --max-iterations=4 --sync-on-quit": func(s config.Set) bool {
			c := s.Config(0)
			return c.End == config.End{PreExit: "/x", MaxIterations: 3, SyncOnQuit: true, HookTimeout: 30 * time.Second} && c.Name == "lab"
		},
		"--max-iterations=0 --sync-on-quit=0": func(s config.Set) bool { return s.Config(0).End == config.End{HookTimeout: 30 * time.Second} },
		"-t0 -w0": func(s config.Set) bool {
			c := s.Config(0)
			return c.Delay == 0 && c.MaxDelay == 0 && c.RetryInitial == 10*time.Millisecond
		},
		"-t0.25": func(s config.Set) bool { return s.Syncs[0].MaxDelay == 250*time.Millisecond },
		"-t7200": func(s config.Set) bool { c := s.Config(0); return c.Delay == time.Hour && c.MaxDelay == 2*time.Hour },
		"-w600": func(s config.Set) bool {
			c := s.Config(0)
			return c.RetryInitial == 10*time.Minute && c.RetryMax == c.RetryInitial
		},
		"--modification-signature '*'": func(s config.Set) bool { return s.Config(0).SkipEqual },
		"--modification-signature ''":  func(s config.Set) bool { return !s.Config(0).SkipEqual },
		"-B0":                          func(s config.Set) bool { return s.Syncs[0].BigSize == 0 },
		"-X":                           func(s config.Set) bool { return !s.Syncs[0].CrossMounts },
		"--only-initialsync":           func(s config.Set) bool { return s.Once && s.Config(0).Once },
		"--exit-on-no-events":          func(s config.Set) bool { return s.Once },
		"-R /r":                        func(s config.Set) bool { return slices.Equal(s.Syncs[0].Rules, []string{`-f\.bak$`, "+W^a$"}) },
		"-l x.y":                       func(s config.Set) bool { return s.Syncs[0].Name == "x.y" },
		"-l 'a b'":                     func(s config.Set) bool { return s.Syncs[0].Name == "www" },
		"-u sync":                      func(s config.Set) bool { return s.User == "sync" },
		"--monitor=fanotify":           func(s config.Set) bool { return s.Syncs[0].Monitor == "fanotify" },
		"-W '/srv/\"q\\\"\t'":          func(s config.Set) bool { return s.Syncs[0].Source == "/srv/\"q\\\"\t" },
		"-D host:/x": func(s config.Set) bool {
			return s.Syncs[0].Targets[0].Path == "/start/host:/x" && s.Syncs[0].Targets[0].Kind == config.Local
		},
		"-D rsync://nas/mod/d": func(s config.Set) bool { return s.Syncs[0].Targets[0].Kind == config.Daemon },
	} {
		r, err := Compile(read(t, append(shell(least), shell(args)...), f), f.read)
		if err != nil || !got(set(t, r)) {
			t.Errorf("%s: %v\n%s", args, err, r.Text)
		}
	}
}

// Command lines as clsync's documents and users have them.
func TestKnownLines(t *testing.T) {
	for _, args := range []string{
		"-Mrsyncdirect -S/usr/bin/rsync -W/srv/www -D/backup/www",
		"-w2 -t2 -Mrsyncdirect -W./src -D/mnt/dst -psafe -d1",
		"-Mrsyncdirect -W/srv/www -D/backup/www -w1 -t1 -T1 -R/rules --ignore-exitcode=23,24 --retries=3 --ignore-failures",
		"--mode=rsyncdirect --watch-dir=/srv --destination-dir=u@h:/b --secure-splitting -- %RSYNC-ARGS% -e 'ssh -i /k -o UserKnownHostsFile=/h -o BatchMode=yes' %watch-dir%/ %destination-dir%/",
		"-Mrsyncshell -Srsync -W/srv -D/b -- -aH --delete-before --include-from %INCLUDE-LIST-PATH% --exclude-from %EXCLUDE-LIST-PATH% --exclude=* /srv/ /b/",
	} {
		f := files{"/rules": "-d^[Dd]ont[Ss]ync$\n"}
		r, err := Compile(read(t, shell(args), f), f.read)
		if err != nil {
			t.Errorf("%s: %v", args, err)
			continue
		}
		set(t, r)
	}
}

// The words of a handler are those that clsync gives it.
func TestHandlerWords(t *testing.T) {
	f := files{}
	for args, want := range map[string]config.Sync{
		"-M shell -S /h -D /to":                   {Name: "nolabel", Mode: "shell", HandlerArgs: []string{"synclist", "nolabel", "%INCLUDE-LIST-PATH%"}},
		"-M shell -S /h -D /to -l lab -x 7 -x 24": {Name: "lab", Mode: "shell", HandlerArgs: []string{"synclist", "lab", "%INCLUDE-LIST-PATH%"}, IgnoreExit: []uint8{7, 24}},
		"-M rsyncshell -S /h -D /to -x 24":        {Name: "nolabel", Mode: "rsyncshell", HandlerArgs: []string{"rsynclist", "nolabel", "%INCLUDE-LIST-PATH%", "%EXCLUDE-LIST-PATH%"}},
		"-M simple -S /h -D /to":                  {Name: "nolabel", Mode: "simple", HandlerArgs: []string{"sync", "nolabel", "%EVENT-MASK%", "%INCLUDE-LIST%"}},
		"-M direct -S /h -D /to":                  {Name: "nolabel", Mode: "direct", HandlerArgs: []string{"%INCLUDE-LIST%", "/to/"}},
		"-M so -S /h -D /to -x 7":                 {Name: "nolabel", Mode: "so", IgnoreExit: []uint8{7}},
		"-M rsyncso -S /h -D /to -x 24":           {Name: "nolabel", Mode: "rsyncso"},
		"-M direct -S /h -D /to -- a%%b %PID%":    {Name: "nolabel", Mode: "direct", HandlerArgs: []string{"a%%b", "42"}},
	} {
		r, err := Compile(read(t, shell("-H /NULL/ -W /srv/www "+args), f), f.read)
		if err != nil {
			t.Errorf("%s: %v", args, err)
			continue
		}
		if strings.Contains(string(r.Text), "handler_args") != (want.HandlerArgs != nil) {
			t.Errorf("%s\n%s", args, r.Text)
		}
		s := set(t, r).Syncs[0]
		if s.Name != want.Name || s.Mode != want.Mode || s.Handler != "/h" || !slices.Equal(s.HandlerArgs, want.HandlerArgs) || s.Targets[0].Path != "/to" || !s.Devices {
			t.Errorf("%s: %+v\n%s", args, s, r.Text)
		}
		if want.IgnoreExit != nil && !slices.Equal(s.IgnoreExit, want.IgnoreExit) {
			t.Errorf("%s: ignores %v", args, s.IgnoreExit)
		}
	}
}

// What is refused says the option, the reason and the remedy, all at once.
func TestRefused(t *testing.T) {
	f := files{"/root": "+f\\.txt$\n-*\n", "/bad": "x y\n-f(\n", "/plain": "-f\\.bak$\n"}
	const end = " %watch-dir%/ %destination-dir%/"
	for args, want := range map[string]string{
		"-s /run/x --socket-mod 666":             "--socket-mod: 0666: every user of this host could end lockstep; write 600 for its owner alone",
		"-s /run/x --socket-own a:b:c:":          "--socket-own: a:b:c:: ",
		"-M rsyncdirect -S /x":                   "--sync-handler: /x is not called rsync, and programs with the words of rsync are not started by lockstep yet; name an rsync by its absolute path, or keep clsync for this one",
		"-S /opt/handler":                        "--sync-handler: /opt/handler is not called rsync",
		"-M rsyncshell -S rsync":                 "--mode: mode rsyncshell calls its handler as HANDLER rsynclist …",
		"-S my-rsync":                            "--sync-handler: my-rsync is not called rsync",
		"--skip-initialsync --exit-on-no-events": "--skip-initialsync: does not go with --exit-on-no-events",
		"-R /root":                               "--rules-file: /root:2: \"-*\" rejects going into the root",
		"-R /bad":                                "--rules-file: /bad:1: clsync refused a file with such a line",
		"-R /none":                               "--rules-file: /none: file does not exist; name a file that is there and that only root can write",
		"-u root":                                "--uid: the process that decides is never root; take it out",
		"-u 1000":                                "--uid: 1000 is no name of a user",
		"-g root":                                "--gid: the process that decides is never in root's group",
		"--privileged-uid 5":                     "--privileged-uid: the helper that watches",
		"--sync-handler-uid sync":                "--sync-handler-uid: rsync to a directory of this host has root's uid",
		"--sync-handler-gid 7":                   "--sync-handler-gid: rsync has the group of its user",
		"--chroot /jail":                         "--chroot: asks for another root directory",
		"-D rsync://nas/m --detach-network everywhere": "--detach-network: rsync reaches rsync://nas/m by the network; write --detach-network=non-privileged",
		"-t 90000":                                                       "--delay-collect: 25h is more than lockstep waits; write 86400 at most",
		"-k 0.5":                                                         "--timeout-sync: 500ms is less than lockstep lets a command run",
		"-k 40000000":                                                    "--timeout-sync: 11111h6m40s is more than",
		"-T 3000000":                                                     "--delay-collect-bigfile: 833h20m is more than",
		"-D user@host:/x":                                                "--destination-dir: user@host:/x is reached by ssh, and no key",
		"-D user@host:~/x":                                               "--destination-dir: user@host:~/x: the path \"~/x\" begins with ~",
		"-D rsync://nas/m --sync-handler-uid 0":                          "--sync-handler-uid: rsync to another host is never root here",
		"--custom-signals 12:a -H /blocks":                               "--custom-signals: signal 12 (USR2) starts a whole pass; use another one, such as 28",
		"--custom-signals 28:a,34:a -H /blocks":                          "--custom-signals: signal 34 is the C library's own, and cannot be heard",
		"-- -aH --delete" + end:                                          "the words for rsync: there are no lists of clsync's among them",
		"-- %RSYNC-ARGS% --inplace" + end:                                `the words for rsync: "--inplace" is refused: it writes into files that are in use`,
		"-- %RSYNC-ARGS% -u" + end:                                       `the words for rsync: "--update" is refused`,
		"-- %RSYNC-ARGS% -L" + end:                                       `the words for rsync: "-L" is not on the list`,
		"-- %RSYNC-ARGS% -aBz 5 --chown=a" + end:                         `"-B" is not on the list`,
		"-- %RSYNC-ARGS% --delete-excluded" + end:                        `"--delete-excluded" is not on the list`,
		"-- %RSYNC-ARGS% --compress-level=99" + end:                      `"--compress-level" needs a value 0-22`,
		"-- %RSYNC-ARGS% --compress-level" + "":                          `--compress-level needs a value`,
		"-- %RSYNC-ARGS% --exclude=a**b" + end:                           "the words for rsync: --exclude=a**b has ** or two slashes",
		"-- %RSYNC-ARGS% --exclude-from=/x" + end:                        "--exclude-from=/x cannot be read: ",
		"-- %RSYNC-ARGS% --exclude-from=/plain" + end:                    "--exclude=-f\\\\.bak$ has a backslash",
		"-- %RSYNC-ARGS% --include-from=/plain" + end:                    "--include-from takes in again what an --exclude left out",
		"-- %RSYNC-ARGS% --include=x" + end:                              `"--include" is refused`,
		"-- %RSYNC-ARGS% -n" + end:                                       `"--dry-run" is refused: it is a switch of the command line`,
		"-- %RSYNC-ARGS% --bwlimit=1.5m" + end:                           "--bwlimit=1.5m is not a whole number with a unit",
		"-- %RSYNC-ARGS% --timeout=5" + end:                              "--timeout is lockstep's to say",
		"-- %RSYNC-ARGS% -e /opt/rsh" + end:                              "-e /opt/rsh names a program that is not ssh",
		"-- %RSYNC-ARGS% -e 'ssh -o ProxyCommand=x'" + end:               "-e ssh -o ProxyCommand=x is not what lockstep's own ssh is told",
		"-- %RSYNC-ARGS% -e 'ssh -i /k'" + end:                           "-e has no sense: the target is not reached by ssh",
		"-- %RSYNC-ARGS% --password-file=/p" + end:                       "--password-file has no sense",
		"-- %RSYNC-ARGS% %TYPE%" + end:                                   "%TYPE% has no meaning for lockstep's own rsync",
		"-- %RSYNC-ARGS% %watch-dir% %destination-dir%/":                 "/srv/www without a slash behind it is the directory itself",
		"-- %RSYNC-ARGS% /other/ %destination-dir%/":                     "/other/ is not the directory that is followed",
		"-- %RSYNC-ARGS% %watch-dir%/ /elsewhere":                        "--destination-dir: is /backup/www, and the words of rsync name /elsewhere",
		"-- %RSYNC-ARGS% %watch-dir%/":                                   "they name 1 places",
		"-- -rlt --include-from=%INCLUDE-LIST-PATH%" + end:               "there is no --perms --group --owner, and lockstep always keeps these; write -a",
		"-M direct -S cp":                                                "--sync-handler: cp is not looked for in PATH; name the program by its absolute path",
		"-M shell -S /h -D u@host:/x":                                    "--destination-dir: u@host:/x is on another host, and a handler has no network",
		"-M shell -S /h -D rsync://nas/m":                                "is on another host, and a handler has no network",
		"-M shell -S /h -l 'a b'":                                        `--label: "a b" cannot be the name of a sync, which the handler is told in its place`,
		"-M simple -S /h --have-recursive-sync":                          "--have-recursive-sync: asks for calls for whole directories, and mode simple",
		"-M shell -S /h --have-recursive-sync -R /plain":                 "--have-recursive-sync: asks for calls for whole directories, which could not say what the rules leave out",
		"-M rsyncshell -S /h --rsync-prefer-include":                     "--rsync-prefer-include: asks for lists without excludes",
		"-M rsyncso -S /x.so --rsync-prefer-include":                     "--rsync-prefer-include: asks for lists without excludes",
		"-M so -S /x.so -D u@host:/x":                                    "--destination-dir: u@host:/x is on another host, and a handler has no network",
		"-M so -S /x.so -l 'a b'":                                        "cannot be the name of a sync",
		"--modification-signature uid,gid":                               `--modification-signature: has new content not copied where size and mtime are not both among the fields`,
		"--modification-signature mtime":                                 `name both, or "*"`,
		"-M rsyncshell -S /h --modification-signature *":                 "--modification-signature: chooses what is told, and rsync's lists",
		"-M simple -S /h --sync-handler-uid 1000":                        "--sync-handler-uid: 1000 is no name of a user of its own",
		"-M so -S /x.so --sync-handler-uid nobody":                       "--sync-handler-uid: nobody is no name of a user of its own",
		"-M simple -S /h --sync-handler-gid lab":                         "--sync-handler-gid: a handler has a group of its own where it has a user of its own; add --sync-handler-uid",
		"-M simple -S /h --sync-handler-uid lab --sync-handler-gid root": "--sync-handler-gid: root is no name of a group that a handler can have",
		"-- %RSYNC-ARGS% -b" + end:                                       "--backup without --backup-dir leaves old files beside new ones in the target, which would not be what its source is any more; write --backup --backup-dir=NAME",
		"-- %RSYNC-ARGS% -b --backup-dir=../old" + end:                   "--backup-dir=../old is no name of a directory in the target itself",
		"-- %RSYNC-ARGS% -b --backup-dir /mnt/old" + end:                 "--backup-dir=/mnt/old is no name of a directory in the target itself",
		"-- %RSYNC-ARGS% -b --suffix=.old" + end:                         `"--suffix=.old" is not on the list`,
	} {
		f["/blocks"] = "[default]\n[a]\n"
		r, err := Compile(read(t, append(shell(least), shell(args)...), f), f.read)
		if err == nil || !strings.Contains(err.Error(), want) || r.Text != nil {
			t.Errorf("%s\n%v, want\n%s", args, err, want)
			continue
		}
		for _, p := range err.(config.Problems) {
			if p.Thing == "" || p.Reason == "" || p.Advice == "" {
				t.Errorf("%s: %+v", args, p)
			}
		}
	}
}

// A signal that is heard and has no meaning yet can load a block; no other one can.
func TestSignals(t *testing.T) {
	heard := []int{14, 24, 25, 26, 28, 29, 30}
	for number := 1; number <= 64; number++ {
		free := slices.Contains(heard, number) || number >= 35
		if got := signals.Meaning(number); (got == "") != free {
			t.Errorf("signal %d: %q", number, got)
		}
	}
}

// What is taken and has no effect is a warning, and a remark in the text.
func TestWarnings(t *testing.T) {
	for args, want := range map[string]string{
		"-b":                 "--background: is read for the sake of old files; ",
		"--splitting=off":    "--splitting: asks for less protection than there is: ",
		"--detach-ipc=0":     "--detach-ipc: asks for less protection",
		"-r 3":               "--retries: has no effect here: what fails is tried again until it works",
		"-x 23":              "--ignore-exitcode: has no effect here",
		"-x 24":              "",
		"-r 3 --ignore-fail": "",
		"-w 60 -t 1":         "--delay-sync: is the pause after a failure only",
		"-w 1 -t 1":          "",
		"-L /x":              "--lists-dir: has no effect here",
		"-U":                 "--dont-unlink-lists: has no effect here: the lists of lockstep's rsync",
		"-l 'a b'":           "--label: \"a b\" cannot be the name of a sync",
		"-g staff":           "--gid: has no effect here",
		"-Y stdout":          "--output: messages go to the standard error",
		"-Y syslog -q -v":    "",
		"-t 4000":            "--delay-collect: what was quiet for an hour is copied before",
		"-- %RSYNC-ARGS% -vv --progress %watch-dir%/ %destination-dir%/": "the words for rsync: --verbose --progress has no effect here",
		"-- %RSYNC-ARGS% --exclude=*.o %watch-dir%/ %destination-dir%/":  "the words for rsync: --exclude behind %RSYNC-ARGS% leaves out what it matches",
		"-- --exclude=*.o %RSYNC-ARGS% %watch-dir%/ %destination-dir%/":  "",
	} {
		r, err := Compile(read(t, append(shell(least), shell(args)...), nil), nil)
		if err != nil {
			t.Fatalf("%s: %v", args, err)
		}
		got := r.Warnings.Error()
		if !strings.HasPrefix(got, want) || (want == "") != (len(r.Warnings) == 0) {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
		plain := strings.Join(strings.Fields(strings.ReplaceAll(string(r.Text), "#", "")), " ")
		for _, w := range r.Warnings {
			if w.Advice == "" || !strings.Contains(plain, w.Reason) {
				t.Errorf("%s: %q is not in\n%s", args, w.Reason, r.Text)
			}
		}
	}
}

// What the start begins with: -F is what there is in any case, by the rules.
func TestFirstPass(t *testing.T) {
	f := files{"/plain": "-f\\.bak$\n"}
	for args, want := range map[string]struct {
		pass    config.FirstPass
		most    uint32
		warning string
	}{
		"":                                      {config.FirstWhole, 0, ""},
		"-F":                                    {config.FirstWhole, 0, ""},
		"-F -R /plain":                          {config.FirstWhole, 0, "--full-initialsync: copies nothing at the start that the rules leave out"},
		"--skip-initialsync":                    {config.FirstSkip, 0, ""},
		"--skip-initialsync=0 -F":               {config.FirstWhole, 0, ""},
		"--skip-initialsync -R /plain":          {config.FirstSkip, 0, ""},
		"--skip-initialsync --max-iterations=3": {config.FirstSkip, 3, ""},
	} {
		for _, mode := range []string{"", "-M shell -S /h ", "-M rsyncshell -S /h ", "-M simple -S /h "} {
			r, err := Compile(read(t, append(shell(least), shell(mode+args)...), f), f.read)
			if err != nil {
				t.Fatalf("%s%s: %v", mode, args, err)
			}
			s := set(t, r).Syncs[0]
			if s.FirstPass != want.pass || s.End.MaxIterations != want.most || len(r.Warnings) > 1 || !strings.HasPrefix(r.Warnings.Error(), want.warning) || (want.warning == "") != (len(r.Warnings) == 0) {
				t.Errorf("%s%s: %v, %d, %v", mode, args, s.FirstPass, s.End.MaxIterations, r.Warnings)
			}
			if told := strings.Contains(string(r.Text), "--full-initialsync: "); want.warning == "" && told != strings.Contains(args, "-F") {
				t.Errorf("%s%s: a remark: %v\n%s", mode, args, told, r.Text)
			}
		}
	}
}

// Each option has one outcome, and one only.
func TestOutcomes(t *testing.T) {
	count := map[string]int{}
	for _, x := range Outcomes() {
		o, ok := table.Lookup(x.Name)
		if count[x.Name]++; !ok || count[x.Name] > 1 {
			t.Errorf("%s", x.Name)
		}
		if (x.Kind == Told) != (o.Instead != "") || (x.Help == "") != (x.Kind == Told) {
			t.Errorf("%s: %+v", x.Name, x)
		}
		if (x.Advice != "") != (x.Kind == Refused || x.Kind == Useless) {
			t.Errorf("%s: %+v", x.Name, x)
		}
	}
	for _, o := range table.All() {
		if count[o.Name] == 0 {
			t.Errorf("--%s: what becomes of it?", o.Name)
		}
	}
}

// Whatever is asked for: it is refused, or lockstep reads what was made of it, and
// every option that was given is named in the text, or has a key.
func TestManySets(t *testing.T) {
	words := []string{"-t0", "-t1", "-t0.125", "-t5000", "-w0", "-w90", "-w5000", "-T60", "-B0", "-B1", "-k0", "-k9", "-X", "--one-file-system", "-F", "--only-initialsync",
		"--exit-on-no-events", "-lwww", "-l%mode%", "-l'", "-unobody", "-uuser", "-gx", "-b", "-d", "-pfull", "--secure-splitting", "--splitting=thread", "-U", "-L/x", "-x23", "-r9",
		"-R/r", "-R/s", "-Srsync", "-S/a/rsync", "--monitor=inotify", "-D/x\ty", "-Du@h:/x", "-Dh::m", "-Drsync://u@h/m/", "-W/\xff", "-W/w#", "--chroot=/", "--detach-network=off",
		"--exit-hook=/opt/x", "--pre-exit-hook=/p q", "--max-iterations=3", "--max-iterations=-3", "--sync-on-quit", "--add-permitted-hook-files=/x"}
	tails := []string{"", "--|%RSYNC-ARGS%|-z|%watch-dir%/|%destination-dir%/", "--|%RSYNC-ARGS%|--exclude=a/b|-e|ssh -i /k -oUserKnownHostsFile=/h|%watch-dir%/|%destination-dir%/",
		"--|%RSYNC-ARGS%|--no-delete|-AX|--bwlimit=5|%watch-dir%/|%destination-dir%/"}
	f := files{"/r": "-f\\.bak$\n", "/s": "+w^a\\b'$\n-fx"}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	good := 0
	rounds := 3000
	if testenv.Small() {
		rounds = 1000
	}
	for range rounds {
		args := strings.Fields(least)
		for range random.IntN(5) {
			args = append(args, words[random.IntN(len(words))])
		}
		if tail := tails[random.IntN(len(tails))]; tail != "" {
			args = append(args, strings.Split(tail, "|")...)
		}
		o, err := options.Read(args, options.Env{Dir: "/start", ReadFile: f.read})
		if err != nil {
			continue
		}
		r, err := Compile(o, f.read)
		if err != nil {
			if err.Error() == "" || r.Text != nil {
				t.Fatalf("%q: %v", args, err)
			}
			continue
		}
		good++
		s := set(t, r)
		if again, err := Compile(o, f.read); err != nil || string(again.Text) != string(r.Text) {
			t.Fatalf("%q: another text", args)
		}
		if c := s.Config(0); c.Source != o.WatchDir || c.Targets[0].Spec != o.DestinationDir || c.Once != (o.OnlyInitialSync || o.ExitOnNoEvents) {
			t.Fatalf("%q: %+v", args, c)
		}
		if s.Syncs[0].RulesFile == "" {
			if _, err := ordered.Parse("", []byte(strings.Join(s.Syncs[0].Rules, "\n"))); err != nil {
				t.Fatalf("%q: %v", args, err)
			}
		}
	}
	if good < rounds/30 {
		t.Errorf("only %d sets were good", good)
	}
}

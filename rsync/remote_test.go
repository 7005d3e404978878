package rsync

import (
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/ipc"
)

func TestArgvRemote(t *testing.T) {
	ssh := Options{Source: "/source", Target: "/srv/a b/", Args: []string{"--compress"},
		Remote: Remote{Kind: SSH, User: "mirror", Host: "web2", Port: 2222, Stall: 1500 * time.Millisecond}}
	daemon := Options{Source: "/source/", Target: "mod/dir", Remote: Remote{Kind: Daemon, User: "m", Host: "fe80::1", Port: 873}}
	open := daemon
	open.Remote.User = ""
	relative := ssh
	relative.Target, relative.Remote.User, relative.Remote.Host = "backup", "", "::1"
	for _, c := range []struct {
		o     Options
		words string // all but those of the kind of job, which come first
	}{
		{ssh, "-s|--timeout=2|-e|/lockstep/run/connect -p 2222|--compress|--|/source/|mirror@web2:/srv/a b/"},
		{relative, "-s|--timeout=2|-e|/lockstep/run/connect -p 2222|--compress|--|/source/|[::1]:backup/"},
		{daemon, "-s|--timeout=120|--contimeout=20|--sockopts=TCP_NODELAY|--password-file=/lockstep/password|--|/source/|rsync://m@[fe80::1]:873/mod/dir/"},
		{open, "-s|--timeout=120|--contimeout=20|--sockopts=TCP_NODELAY|--|/source/|rsync://[fe80::1]:873/mod/dir/"},
	} {
		local := c.o
		local.Remote, local.Args = Remote{}, nil
		want := strings.Split(c.words, "|")
		patient := slices.Clone(want) // while content is compared, nothing is said for long
		patient[1] = "--timeout=21600"
		check := func(what string, got, here, want []string) {
			t.Helper()
			here = here[:slices.Index(here, "--")]
			if !slices.Equal(got, slices.Concat(here, want)) {
				t.Errorf("%s: %q, want what a local target has and %q", what, got, want)
			}
		}
		for kind := ipc.JobInitial; kind < ipc.NumJobKinds; kind++ {
			words := want
			if kind == ipc.JobContent {
				words = patient
			}
			check("kind", Argv(kind, c.o), Argv(kind, local), words)
		}
		check("probe", Probe(c.o), Probe(local), want)
	}
}

func TestArgvDelete(t *testing.T) {
	deletes := func(argv []string) (found []string) {
		for _, w := range argv {
			if strings.HasPrefix(w, "--delete") || w == "--force" || w == "--ignore-missing-args" {
				found = append(found, w)
			}
		}
		return found
	}
	for mode, want := range map[Delete]struct{ whole, list []string }{
		DeleteAlways: {[]string{"--delete"}, []string{"--delete-missing-args", "--force"}},
		DeleteWhole:  {[]string{"--delete"}, []string{"--ignore-missing-args", "--force"}},
		DeleteNever:  {[]string{"--force"}, []string{"--ignore-missing-args", "--force"}},
	} {
		o := Options{Source: "/a", Target: "/b", Delete: mode}
		for kind, words := range map[ipc.JobKind][]string{ipc.JobInitial: want.whole, ipc.JobList: want.list, ipc.JobWide: want.list, ipc.JobAttr: want.list, ipc.JobKnock: want.list, ipc.JobContent: nil} {
			if got := deletes(Argv(kind, o)); !slices.Equal(got, words) {
				t.Errorf("mode %d, kind %d: %q, want %q", mode, kind, got, words)
			}
		}
		if prune := Argv(ipc.JobPrune, o); (prune == nil) != (mode != DeleteAlways) {
			t.Errorf("mode %d: prune is %q", mode, prune)
		}
		if probe := Probe(o); (probe == nil) != (mode == DeleteNever) {
			t.Errorf("mode %d: probe is %q", mode, probe)
		}
	}
}

func TestCheckPath(t *testing.T) {
	for _, good := range []string{"/", "/srv/www", "backup/x", "mod", "mod/a b", "/a..b/...", "/a~", "/\xff", "/$(x);`y`'\""} {
		if err := CheckPath(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "~", "~/x", "~root/x", "/a*", "/a?", "/[a", `/a\b`, "/a\nb", "/a\x7f", "/a/..", "..", "../x", "/a/../b", strings.Repeat("x", 4097)} {
		if err := CheckPath(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

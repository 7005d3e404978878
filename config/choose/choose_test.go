package choose

import (
	"strings"
	"testing"
	"time"
)

func TestRulesThatAreNone(t *testing.T) {
	for _, line := range []string{
		"", "mandatory", "path /a", "fs nfs", "path a poll", "dir /a poll", "fs nfs guess", "fs [ poll", "path /a poll 1",
		"path /a poll 1ms", "path /a poll 48h", "path /a poll 1s 2s", "path /a mandatory poll", "mandatory mandatory fs nfs poll",
	} {
		if r, err := ParseRule(line); err == nil {
			t.Errorf("%q is read as %+v", line, r)
		}
	}
	r, err := ParseRule(" mandatory  path /srv/*  poll 5s ")
	if err != nil || r != (Rule{Mandatory: true, Path: "/srv/*", Use: Poll, Every: 5 * time.Second}) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestTheTable(t *testing.T) {
	for _, c := range []struct {
		fs     string
		blind  bool
		want   string
		every  time.Duration
		inodes bool
	}{
		{"ext4", false, Inotify, time.Second, true},
		{"xfs", false, Inotify, time.Second, true},
		{"btrfs", false, Inotify, time.Second, true},
		{"overlay", false, Inotify, time.Second, true},
		{"", false, Inotify, time.Second, true},
		{"nfs", true, Poll, 5 * time.Second, true},
		{"nfs4", true, Poll, 5 * time.Second, true},
		{"cifs", true, Poll, 5 * time.Second, false},
		{"smb3", true, Poll, 5 * time.Second, false},
		{"9p", true, Poll, 2 * time.Second, true},
		{"virtiofs", true, Poll, 2 * time.Second, true},
		{"vboxsf", true, Poll, 2 * time.Second, false},
		{"fuse.bindfs", true, Poll, time.Second, false},
		{"fuse", true, Poll, time.Second, false},
		{"fuseblk", true, Poll, time.Second, false},
		{"fuse.sshfs", true, Poll, 5 * time.Second, false},
		{"ceph", true, Poll, 5 * time.Second, true},
		{"gpfs", true, Poll, 5 * time.Second, false}, // no row of its own
		{"", true, Poll, 5 * time.Second, false},
	} {
		got := Of(Asked{Source: "/s", Monitor: Auto}, FS{c.fs, c.blind})
		if got.Monitor != c.want || got.Every != c.every || got.Inodes != c.inodes || got.Blind || got.Why == "" {
			t.Errorf("%s: %+v", c.fs, got)
		}
	}
}

func TestWhoWins(t *testing.T) {
	nfs, ext4 := FS{"nfs4", true}, FS{"ext4", false}
	for _, c := range []struct {
		name    string
		monitor string
		every   time.Duration
		blind   bool // allow_blind
		fs      FS
		rules   string
		want    string
		at      time.Duration
		unseen  bool
		why     string
	}{
		{"auto", Auto, 0, false, ext4, "", Inotify, time.Second, false, "ext4"},
		{"the sync's own", Poll, 3 * time.Second, false, ext4, "", Poll, 3 * time.Second, false, "configuration"},
		{"inotify on nfs is blind", Inotify, 0, false, nfs, "", Inotify, 5 * time.Second, true, "configuration"},
		{"and can be accepted", Inotify, 0, true, nfs, "", Inotify, 5 * time.Second, false, "configuration"},
		{"accepted, and auto", Auto, 0, true, nfs, "", Inotify, 5 * time.Second, false, "allow_blind"},
		{"accepted, where nothing is to accept", Auto, 0, true, ext4, "", Inotify, time.Second, false, "ext4"},
		{"a rule for auto", Auto, 0, false, ext4, "fs ext* poll 7s", Poll, 7 * time.Second, false, "rule 1"},
		{"the sync's interval", Auto, time.Second, false, nfs, "fs nfs* poll 7s", Poll, time.Second, false, "rule 1"},
		{"a rule, not for others", Inotify, 0, false, ext4, "fs ext* poll", Inotify, time.Second, false, "configuration"},
		{"mandatory for all", Inotify, time.Second, false, ext4, "mandatory fs ext* poll 9s", Poll, 9 * time.Second, false, "rule 1"},
		{"first match", Auto, 0, false, ext4, "fs xfs inotify|path /mnt/* poll 2s|fs ext4 inotify", Poll, 2 * time.Second, false, "rule 2"},
		{"a directory above", Auto, 0, false, ext4, "path /mnt poll", Poll, time.Second, false, "rule 1"},
		{"not one beside", Auto, 0, false, ext4, "path /mnt/b poll", Inotify, time.Second, false, "ext4"},
		{"mandatory before first", Auto, 0, false, ext4, "fs ext4 poll|mandatory path / inotify", Inotify, time.Second, false, "rule 2"},
		{"a rule that says auto", Auto, 0, false, nfs, "fs nfs4 auto 8s", Poll, 8 * time.Second, false, "nfs4"},
		{"blind by rule", Auto, 0, false, nfs, "mandatory fs nfs4 inotify", Inotify, 5 * time.Second, true, "rule 1"},
	} {
		var rules []string
		if c.rules != "" {
			rules = strings.Split(c.rules, "|")
		}
		got := Of(Asked{Source: "/mnt/a/deep", Monitor: c.monitor, Every: c.every, Rules: rules, AllowBlind: c.blind}, c.fs)
		if got.Monitor != c.want || got.Every != c.at || got.Blind != c.unseen || !strings.Contains(got.Why, c.why) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

// Where inotify cannot be had, nobody is given another monitor who has asked for it.
func TestInstead(t *testing.T) {
	for name, c := range map[string]struct {
		asked Asked
		fs    string
		want  bool
	}{
		"auto":         {Asked{Monitor: Auto}, "ext4", true},
		"auto, blind":  {Asked{Monitor: Auto, AllowBlind: true}, "nfs4", true},
		"asked for":    {Asked{Monitor: Inotify}, "ext4", false},
		"by a rule":    {Asked{Monitor: Auto, Rules: []string{"fs ext4 inotify"}}, "ext4", false},
		"another":      {Asked{Monitor: Auto}, "nfs4", false},
		"a rule: auto": {Asked{Monitor: Auto, Rules: []string{"fs ext4 auto 8s"}}, "ext4", true},
	} {
		c.asked.Source = "/srv"
		before := Of(c.asked, FS{Type: c.fs, Blind: c.fs == "nfs4"})
		after, ok := before.Instead("there is none")
		switch {
		case ok != c.want:
			t.Errorf("%s: %v", name, ok)
		case !ok && after != before:
			t.Errorf("%s: %+v, then %+v", name, before, after)
		case ok && (after.Monitor != Poll || after.Why != "there is none" || after.Every == 0 || after.Blind):
			t.Errorf("%s: %+v", name, after)
		}
	}
}

// FuzzParseRule: what is read fits or does not, and crashes nothing.
func FuzzParseRule(f *testing.F) {
	f.Add("mandatory path /srv/* poll 5s", "/srv/a")
	f.Add("fs fuse.[!s]* auto", "/")
	f.Fuzz(func(t *testing.T, line, source string) {
		r, err := ParseRule(line)
		if err != nil {
			return
		}
		if !Known(r.Use) || (r.Path == "") == (r.FS == "") || r.Every != 0 && r.Every < LeastEvery {
			t.Errorf("%q: %+v", line, r)
		}
		if !strings.HasPrefix(source, "/") {
			return
		}
		c := Of(Asked{Source: source, Monitor: Auto, Rules: []string{line}}, FS{Type: "ext4"})
		if c.Monitor == Auto || !Known(c.Monitor) || c.Every < LeastEvery || c.Blind {
			t.Errorf("%q: %+v", line, c)
		}
	})
}

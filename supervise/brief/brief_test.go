package brief

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/config"
	"lockstep/config/choose"
	"lockstep/config/field"
	"lockstep/config/keys"
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/ipc/wire"
	"lockstep/rootid"
	"lockstep/rsync"
	"lockstep/supervise/host"
)

func cfg(t *testing.T, pairs ...string) config.Config {
	t.Helper()
	b := keys.NewBuilder()
	b.Set("source", "/srv/secret/www")
	b.Set("targets", "/backup/secret/www")
	for i := 0; i < len(pairs); i += 2 {
		b.Set(pairs[i], pairs[i+1])
	}
	set, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return set.Config(0)
}

// Neither helper nor worker learns where on the host it is, nor what is run.
func TestLeastKnowledge(t *testing.T) {
	c := cfg(t, "exclude", "*.tmp")
	data, err := Helper(c, rsync.Options{}, rootid.Roots{InSource: []rootid.Inner{{Rel: "in/side"}}}, choose.Choice{}, 0, 7)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"/srv", "secret", "/backup", "rsync", "/usr"} {
		if bytes.Contains(data, []byte(secret)) {
			t.Errorf("the helper is told %q", secret)
		}
	}
	helper, err := wire.Decode[ipc.HelperConfig](data)
	if err != nil {
		t.Fatal(err)
	}
	worker, err := wire.Decode[settings.Worker](helper.Worker)
	if err != nil {
		t.Fatal(err)
	}
	sync := worker.Syncs[0]
	if helper.Roots[0].FD != 7 || helper.Targets[0].ID != sync.Targets[0] || helper.Roots[0].ID != sync.Root {
		t.Errorf("%+v %+v", helper, sync)
	}
	if !slices.Equal(sync.Mounts, []string{"in/side"}) || !slices.Equal(sync.Exclude, []string{"*.tmp"}) || sync.Once {
		t.Errorf("%+v", sync)
	}
}

func TestCrossMountsAreNoExclusion(t *testing.T) {
	w := Worker(cfg(t, "cross_mounts", "true", "dry_run", "true"), rsync.Options{}, rootid.Roots{InSource: []rootid.Inner{{Rel: "in"}}}, choose.Choice{}, 0)
	if len(w.Syncs[0].Mounts) != 0 || !w.Syncs[0].Once {
		t.Errorf("%+v", w.Syncs[0])
	}
}

// The first pass begins beside the first walk only where that is sound.
func TestBeside(t *testing.T) {
	ext4, overlay := rootid.Identity{Magic: 0xef53}, rootid.Identity{Magic: 0x794c7630}
	for _, c := range []struct {
		source rootid.Identity
		words  []string
		want   bool
	}{
		{ext4, nil, true},
		{overlay, nil, false},
		{ext4, []string{"cross_mounts", "true"}, false},
		{ext4, []string{"dry_run", "true"}, false},
		{ext4, []string{"delete", "start"}, false},
		{ext4, []string{"delete", "never"}, false},
	} {
		w := Worker(cfg(t, c.words...), rsync.Options{}, rootid.Roots{Source: c.source}, choose.Choice{}, 0)
		if besideAfter(2) == 0 || besideAfter(3) != 0 {
			t.Error("where a third processor is free, the pass waits for nothing, else it does")
		}
		if got := w.Syncs[0].Beside; got != c.want {
			t.Errorf("%s %q: %v", rootid.FSName(c.source.Magic), c.words, got)
		}
	}
}

func TestRunner(t *testing.T) {
	c := cfg(t, "exclude", "*.tmp", "bwlimit", "1MiB", "max_delete.percent", "7")
	command := host.Command{Program: "/usr/bin/rsync", Dev: 1, Ino: 2}
	r := Runner(c, c.Targets[0], rsync.Options{ACLs: true}, command, false, false)
	for kind := ipc.JobInitial; kind < ipc.NumJobKinds; kind++ {
		if !slices.Contains(r.Argv[kind], "--bwlimit=1048576b") || !slices.Contains(r.Argv[kind], "--acls") {
			t.Errorf("kind %d: %q", kind, r.Argv[kind])
		}
	}
	if r.Accept || r.ShowOutput || r.Probe == nil || r.MaxDeletePercent != 7 || r.MaxDeleteEntries != 1000 || r.Source != c.Source || r.ProgIno != 2 {
		t.Errorf("%+v", r)
	}
	if len(r.Env) == 0 || slices.ContainsFunc(r.Env, func(e string) bool { return strings.HasPrefix(e, "LD_") || strings.HasPrefix(e, "RSYNC") }) {
		t.Errorf("environment %q", r.Env)
	}
}

// A dry run runs nothing that could change the target.
func TestDryRun(t *testing.T) {
	r := Runner(cfg(t, "dry_run", "true"), cfg(t).Targets[0], rsync.Options{}, host.Command{}, false, false)
	for kind := ipc.JobInitial; kind < ipc.NumJobKinds; kind++ {
		if !slices.Contains(r.Argv[kind], "--dry-run") {
			t.Errorf("kind %d: %q", kind, r.Argv[kind])
		}
	}
	if !r.ShowOutput || !slices.Contains(r.Probe, "--dry-run") {
		t.Errorf("%+v", r)
	}
}

// A list is divided where two commands are of use and within what is allowed.
func TestSplit(t *testing.T) {
	most := uint32(min(2, runtime.NumCPU()))
	for _, c := range []struct {
		words []string
		want  uint32
	}{
		{nil, most},
		{[]string{"max_jobs", "4"}, most},
		{[]string{"max_jobs", "3"}, 1},
		{[]string{"bwlimit", "1MiB"}, 1},
		{[]string{"dry_run", "true"}, 1},
		{[]string{"targets", "rsync://host/module"}, 1},
	} {
		cf := cfg(t, c.words...)
		if got := Runner(cf, cf.Targets[len(cf.Targets)-1], rsync.Options{}, host.Command{}, false, false).Split; got != c.want {
			t.Errorf("%q: %d, want %d", c.words, got, c.want)
		}
	}
}

// A directory may stand for what is in it only where nothing of it is left out.
func TestFold(t *testing.T) {
	for _, c := range []struct {
		words []string
		want  bool
	}{
		{nil, true},
		{[]string{"max_jobs", "1"}, true},
		{[]string{"targets", "rsync://host/module"}, true},
		{[]string{"exclude", "*.o"}, false},
		{[]string{"rules", "-f\\.o$"}, false},
		{[]string{"dry_run", "true"}, false},
	} {
		cf := cfg(t, c.words...)
		if got := Runner(cf, cf.Targets[len(cf.Targets)-1], rsync.Options{}, host.Command{}, false, false).Fold; got != c.want {
			t.Errorf("%q: %v, want %v", c.words, got, c.want)
		}
	}
}

func TestWant(t *testing.T) {
	for word, want := range map[string]rsync.Options{
		"user": {ACLs: true, Xattrs: rsync.XattrsUser}, "all": {ACLs: true, Xattrs: rsync.XattrsAll}, "none": {},
	} {
		got := Want(cfg(t, "xattrs", word))
		if got.ACLs != want.ACLs || got.Xattrs != want.Xattrs || got.Devices {
			t.Errorf("%s: %+v", word, got)
		}
	}
}

// The choices have one order wherever they are numbers.
func TestDeletes(t *testing.T) {
	for word, want := range map[string]struct {
		worker              settings.Delete
		first, again, later bool // JobInitial deletes: at first, after a pass, later in one runner
	}{
		"always": {settings.DeleteAlways, true, true, true},
		"start":  {settings.DeleteStart, true, false, false},
		"never":  {settings.DeleteNever, false, false, false},
	} {
		c := cfg(t, "delete", word)
		if got := Worker(c, rsync.Options{}, rootid.Roots{}, choose.Choice{}, 0).Syncs[0].Delete; got != want.worker {
			t.Errorf("%s: the worker is told %d", word, got)
		}
		for _, passed := range []bool{false, true} {
			r := Runner(c, c.Targets[0], rsync.Options{}, host.Command{}, false, passed)
			deletes := slices.Contains(r.Argv[ipc.JobInitial], "--delete")
			if deletes != (want.first && !passed || want.again && passed) || (r.Probe != nil) != deletes {
				t.Errorf("%s, passed %v: a whole pass is %q, its probe %q", word, passed, r.Argv[ipc.JobInitial], r.Probe)
			}
			if later := r.Later == nil && deletes; later != want.later {
				t.Errorf("%s: later passes are %q", word, r.Later)
			}
			if lists := slices.Contains(r.Argv[ipc.JobList], "--delete-missing-args"); lists != (word == "always") {
				t.Errorf("%s: lists are %q", word, r.Argv[ipc.JobList])
			}
		}
	}
}

// A helper waits for the runner of each target in a thread of its own: the most
// targets that there may be leave it what it has without any.
func TestLimitsOfManyTargets(t *testing.T) {
	var more []string // than the first
	for i := range field.MaxTargets - 1 {
		more = append(more, "targets", fmt.Sprintf("/backup/%d", i))
	}
	c := cfg(t, more...)
	if _, err := Helper(c, rsync.Options{}, rootid.Roots{}, choose.Choice{}, 0, 7); err != nil || len(c.Targets) != field.MaxTargets {
		t.Fatalf("%d targets: %v", len(c.Targets), err)
	}
	for role, want := range map[string]int64{"helper": 64 + 2*field.MaxTargets, "worker": 64, "runner": 128} {
		if got := Limits(role, len(c.Targets), false).Pids; got != want {
			t.Errorf("%s: at most %d threads, want %d", role, got, want)
		}
	}
}

// What was chosen reaches the worker.
func TestChoiceReachesTheWorker(t *testing.T) {
	for word, want := range map[string]settings.Monitor{"inotify": settings.MonitorInotify, "poll": settings.MonitorPoll} {
		w := Worker(cfg(t), rsync.Options{}, rootid.Roots{}, choose.Choice{Monitor: word, Every: time.Minute, Inodes: true}, 0).Syncs[0]
		if w.Monitor != want || w.PollEvery != time.Minute || !w.Inodes {
			t.Errorf("%s: %+v", word, w)
		}
	}
}

// Without a first pass nothing is looked at for what was unsure before.
func TestSkipFirst(t *testing.T) {
	for word, skip := range map[string]bool{"whole": false, "skip": true} {
		w := Worker(cfg(t, "first_pass", word), rsync.Options{}, rootid.Roots{}, choose.Choice{}, 7).Syncs[0]
		if w.SkipFirst != skip || (w.Unsure == 0) != skip {
			t.Errorf("%s: %+v", word, w)
		}
	}
}

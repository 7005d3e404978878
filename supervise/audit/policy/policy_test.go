package policy

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"lockstep/config"
	"lockstep/config/file"
	"lockstep/config/resolve"
	"lockstep/internal/testenv"
	"lockstep/rootid"
	"lockstep/supervise/jail"
)

// A policy for each process that a configuration means, each with the jail of its
// role and the descriptors that it can have.
func TestOf(t *testing.T) {
	testenv.NeedRoot(t)
	testenv.NeedTool(t, "rsync")
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"a", "b", "c", "run", "state"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	text := "[service]\nruntime_dir = \"" + dir + "/run\"\nstate_dir = \"" + dir + "/state\"\n[[sync]]\nname = \"x\"\nsource = \"" + dir + "/a\"\nmonitor = \"dnotify\"\n" +
		"targets = [\"" + dir + "/b\", \"" + dir + "/c\"]\n"
	set, err := file.Text("test", []byte(text))
	if err == nil {
		set, err = set.ForRun(config.Run{}, nil)
	}
	if err == nil {
		set, err = resolve.Set(set)
	}
	if err != nil {
		t.Fatal(err)
	}
	all, err := Declared{Set: set}.Of(jail.Machine{})
	if err != nil {
		t.Fatal(err)
	}
	if gate := all[0]; gate.String() != "gate" || gate.Prefix != "control." || !gate.Leased || len(gate.Trees) > 0 {
		t.Errorf("%+v", gate)
	}
	all = all[1:]
	var names []string
	for _, p := range all {
		names = append(names, p.String()+" in "+p.Prefix+p.Spec.Role)
		for _, d := range p.Descriptors {
			if d.When == jail.WhenFanotify || d.When == jail.WhenWatch || d.When == jail.WhenRules || d.When == jail.WhenModule || d.When == jail.WhenKept {
				t.Errorf("%s can have %s, which is of %s", p, d.Name, d.When)
			}
		}
	}
	want := []string{"helper x in x.helper", "worker x in x.worker", "resolver x in x.resolver", "runner the trial of rsync in trial.runner",
		"runner x " + dir + "/b in x.runner", "runner x " + dir + "/c in x.runner"}
	if !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	helper, trial, runner := all[0], all[3], all[5]
	if helper.Targets != 2 || !slices.Equal(helper.Trees[jail.RootPath(1)], []string{dir + "/a"}) || !all[1].Leased || helper.Leased {
		t.Errorf("%+v", helper)
	}
	if len(runner.Trees) != 2 || !slices.Equal(runner.Trees[dir+"/c"], []string{dir + "/c"}) || len(runner.Programs) != 1 {
		t.Errorf("%+v", runner)
	}
	if trial.Trial != dir+"/state/scratch-"+rootid.Key(dir+"/run", "")+"/trial-" {
		t.Errorf("%+v", trial)
	}
	between := trial.Between("/s", "/t")
	if b := between.Spec.Binds; b[0].Target != "/s" || b[0].Writable || b[1].Target != "/t" || !b[1].Writable || trial.Spec.Binds[0].Target != "" {
		t.Errorf("%+v, and it was %+v", b[:2], trial.Spec.Binds[:2])
	}
}

// The processes of a watch are those of any root.
func TestOfWatch(t *testing.T) {
	all, err := Declared{Watch: true, Roots: []string{"/a", "/b"}}.Of(jail.Machine{})
	if err != nil || len(all) != 4 {
		t.Fatalf("%d, %v", len(all), err)
	}
	for _, p := range all {
		if p.Prefix != "root." || p.Role == "runner" {
			t.Errorf("%+v", p)
		}
		for at, may := range p.Trees {
			if !slices.Equal(may, []string{"/a", "/b"}) {
				t.Errorf("%s: %s shows %q", p, at, may)
			}
		}
	}
}

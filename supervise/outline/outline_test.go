package outline

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"lockstep/cgroup"
	"lockstep/config"
	"lockstep/config/choose"
	"lockstep/config/file"
	"lockstep/config/resolve"
	"lockstep/internal/testenv"
	"lockstep/seccomp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// machine stands in for one that has everything but Landlock.
func machine() Machine {
	return Machine{Kernel: "6.1.0", Lacks: []string{"something of a later kernel"},
		Missing:   []Feature{{Name: "landlock", What: "Landlock is not there"}, {Name: "cgroup-kill", What: "no cgroup.kill"}, {What: "no user"}},
		Unchecked: []string{"control groups: only root can try them"},
		Watching: func(c config.Config) choose.Choice {
			return choose.Of(choose.Asked{Source: c.Source, Monitor: c.Monitor, Every: c.PollEvery}, choose.FS{Type: "ext4"})
		},
		Limits: func(_ string, targets int) cgroup.Limits {
			return cgroup.Limits{Memory: 1<<30 + 5, Pids: int64(targets)}
		}}
}

// place makes directories and copies the configurations there, with D replaced.
func place(t *testing.T) string {
	t.Helper()
	testenv.NeedRoot(t) // whose keys are accepted
	dir, err := filepath.EvalSymlinks(t.TempDir())
	for _, name := range []string{"www", "backup", "mail", "many.d"} {
		err = errors.Join(err, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	for _, name := range []string{"id", "known_hosts", "secret"} {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	err = errors.Join(err, os.Chmod(dir, 0o755), filepath.WalkDir("testdata", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".toml") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, strings.TrimPrefix(path, "testdata/")), bytes.ReplaceAll(data, []byte("D/"), []byte(dir+"/")), 0o644)
	}))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func planOf(t *testing.T, path string) Plan {
	t.Helper()
	set, err := file.Read(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	if set, err = resolve.Set(set); err != nil {
		t.Fatal(err)
	}
	if p := Programs(set); len(p) > 0 {
		t.Fatal(p)
	}
	p := Make(set, machine())
	// What differs between builds and machines.
	p.Version, p.Build = "V", "B"
	for i := range p.Files {
		p.Files[i].SHA256 = "SHA256"
	}
	p.Roles = []Role{{Role: "helper", Calls: 29, Fallbacks: 1, Others: "kill the process", Memory: 1 << 30, Processes: 64},
		{Role: "runner", Calls: 86, Fallbacks: 58, Refused: 67, Others: "ENOSYS", Processes: 128}}
	return p
}

// Valid files yield the plan that was looked at by a person, in words and JSON.
func TestPlans(t *testing.T) {
	testenv.NeedTool(t, "rsync")
	dir := place(t)
	for _, name := range []string{"local", "remote", "many"} {
		p := planOf(t, filepath.Join(dir, name+".toml"))
		var text, data bytes.Buffer
		e := json.NewEncoder(&data)
		e.SetEscapeHTML(false)
		e.SetIndent("", " ")
		if err := errors.Join(p.Write(&text), e.Encode(p)); err != nil {
			t.Fatal(err)
		}
		for suffix, got := range map[string]string{".plan": text.String(), ".json": data.String()} {
			got = strings.ReplaceAll(got, dir+"/", "D/")
			golden := "testdata/" + name + suffix
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s:\ngot\n%s\nwant\n%s", golden, got, want)
			}
		}
	}
}

// The numbers are those of the tables that are compiled.
func TestRoles(t *testing.T) {
	for _, name := range []seccomp.Role{seccomp.Helper, seccomp.Worker, seccomp.Runner} {
		r := makeRole(name, cgroup.Limits{Memory: 5, Pids: 6})
		f := seccomp.Table(name, runtime.GOARCH)
		if r.Calls != f.Count() || r.Calls == 0 || r.Fallbacks < 0 || r.Others != f.Default.String() || (r.Refused > 0) != (len(f.Deny) > 0) || r.Memory != 5 || r.Processes != 6 {
			t.Errorf("%+v", r)
		}
	}
}

// This machine can be looked at by anyone.
func TestLook(t *testing.T) {
	m := Look(1)
	if m.Kernel == "" || len(m.Unchecked) == 0 || m.Limits("worker", 1).Pids == 0 {
		t.Errorf("%+v", m)
	}
	if len(Look(os.Geteuid()).Unchecked) != 0 && os.Geteuid() == 0 {
		t.Error("root could not check something")
	}
}

func TestSplit(t *testing.T) {
	wrong, unchecked := Split(config.Problems{{Thing: "a", Reason: "is bad"}, {Thing: "b", Reason: "may not be read", Denied: true}})
	if !reflect.DeepEqual(wrong, config.Problems{{Thing: "a", Reason: "is bad"}}) || !reflect.DeepEqual(unchecked, []string{"b: may not be read; only root can tell"}) {
		t.Errorf("%v %v", wrong, unchecked)
	}
	if wrong, unchecked := Split(nil); wrong != nil || unchecked != nil {
		t.Errorf("%v %v", wrong, unchecked)
	}
	if wrong, _ := Split(errors.New("other")); len(wrong) != 1 || wrong[0].Reason != "other" {
		t.Errorf("%v", wrong)
	}
}

func TestProgramsAreChecked(t *testing.T) {
	set := config.Set{Syncs: []config.Sync{{RsyncPath: "/etc/passwd"}, {RsyncPath: "/etc/passwd"}},
		Places: config.Places{config.Spot{In: 0, Key: "rsync_path"}: {File: "/f", Line: 3, Column: 1}}}
	p := Programs(set)
	if len(p) != 1 || !strings.HasPrefix(p[0].Error(), "/f:3:1: rsync_path: /etc/passwd is not a program") {
		t.Errorf("%v", p)
	}
}

// Of a handler a person sees the program and its words, or the function.
func TestHandlersWords(t *testing.T) {
	for mode, want := range map[string][]string{"shell": {"/h", "%label%"}, "so": {"/h", "clsyncapi_sync"}, "rsyncso": {"/h", "clsyncapi_rsync"}} {
		cfg := config.Config{Sync: config.Sync{Mode: mode, Handler: "/h", HandlerArgs: []string{"%label%"}}} // of the defaults
		if got := commands(cfg, config.Target{})["handler"]; !slices.Equal(got, want) {
			t.Errorf("%s: %q", mode, got)
		}
	}
}

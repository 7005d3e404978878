package unit

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

const dist = "../../dist/systemd/"

// units are the templates, and what a drop-in makes of them.
func units() []string { return []string{"lockstep@.service", "lockstep-clsync@.service"} }

// place puts a unit, with its drop-ins, where systemd-analyze takes it for an
// instance.
func place(t *testing.T, unit string, dropIns ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), strings.Replace(unit, "@", "@test", 1))
	copyFile(t, dist+unit, path)
	for _, name := range dropIns {
		copyFile(t, dist+name, path+".d/"+name)
	}
	return path
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func analyze(t *testing.T, words ...string) ([]byte, error) {
	t.Helper()
	cmd := exec.Command(testenv.NeedTool(t, "systemd-analyze"), append([]string{"--no-pager"}, words...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	// What it does not know it ignores, but for a word.
	if errs.Len() > 0 {
		t.Errorf("systemd-analyze %s: %s", strings.Join(words, " "), errs.String())
	}
	return out, err
}

// No unit is more exposed than this, in tenths. 27 is the goal, which a service
// cannot meet that makes jails and has the network: SYS_ADMIN, mounts, namespaces
// and changes of ids cost 1.7 of it.
func TestExposure(t *testing.T) {
	for _, c := range []struct {
		unit, threshold string
		dropIns         []string
	}{
		{"lockstep@.service", "36", nil},
		{"lockstep@.service", "27", []string{"local.conf"}},
		{"lockstep@.service", "39", []string{"devices.conf"}},
		{"lockstep-clsync@.service", "39", nil},
		{"lockstep-clsync@.service", "30", []string{"local.conf"}},
	} {
		out, err := analyze(t, "security", "--offline=true", "--threshold="+c.threshold, place(t, c.unit, c.dropIns...))
		if err != nil {
			t.Errorf("%s with %v: %v\n%s", c.unit, c.dropIns, err, out)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		t.Logf("%s with %v: %s", c.unit, c.dropIns, lines[len(lines)-1])
	}
}

// What a unit is said to cost is what systemd finds, each with its reason.
func TestEachCostHasAReason(t *testing.T) {
	const knows = "systemd 252 " // others count otherwise
	version, err := analyze(t, "--version")
	if err != nil {
		t.Fatal(err)
	}
	for _, unit := range units() {
		text, err := os.ReadFile(dist + unit)
		if err != nil {
			t.Fatal(err)
		}
		said := map[string]string{}
		for _, m := range regexp.MustCompile(`(?m)^# (\S+) ([0-9]\.[0-9]): \S.*$`).FindAllStringSubmatch(string(text), -1) {
			said[m[1]] = m[2]
		}
		out, err := analyze(t, "security", "--offline=true", "--json=short", place(t, unit))
		if err != nil {
			t.Fatal(err)
		}
		var found []struct{ Name, Exposure string }
		if err := json.Unmarshal(out, &found); err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			switch cost, ok := said[f.Name]; {
			case f.Exposure == "" && ok:
				t.Errorf("%s: %s costs nothing, and is said to cost %s", unit, f.Name, cost)
			case f.Exposure != "" && !ok:
				t.Errorf("%s: %s costs %s, and there is no reason", unit, f.Name, f.Exposure)
			case f.Exposure != cost && strings.HasPrefix(string(version), knows):
				t.Errorf("%s: %s costs %s, and is said to cost %s", unit, f.Name, f.Exposure, cost)
			}
			delete(said, f.Name)
		}
		for name := range said {
			t.Errorf("%s: systemd knows no %s", unit, name)
		}
	}
}

// The unit for who comes from clsync differs in what it starts, and in devices.
func TestUnitsAgree(t *testing.T) {
	var settings [2][]Setting
	for i, unit := range units() {
		all, err := Parse("test", dist+unit)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			if !slices.Contains([]string{"Description", "ExecStart", "RuntimeDirectory", "RuntimeDirectoryMode", "RuntimeDirectoryPreserve",
				"PrivateDevices", "DeviceAllow"}, s.Key) && s.Value != "CAP_MKNOD" {
				s.Value = strings.Replace(s.Value, "lockstep-clsync@", "lockstep@", 1)
				settings[i] = append(settings[i], s)
			}
		}
	}
	if !slices.Equal(settings[0], settings[1]) {
		t.Errorf("they differ:\n%v\n%v", settings[0], settings[1])
	}
}

// Every setting of every unit is known, and none that is not is passed over.
func TestEverySettingIsKnown(t *testing.T) {
	testenv.NeedTool(t, "systemd-analyze")
	for _, unit := range units() {
		for _, files := range [][]string{{dist + unit}, {dist + unit, dist + "local.conf"}, {dist + unit, dist + "cgroup-v1.conf"}} {
			all, err := Parse("test", files...)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := NewPlan("lockstep@test.service", all); err != nil {
				t.Error(err)
			}
		}
	}
	for _, s := range []Setting{
		{"Service", "PrivateUsers", "yes"}, {"Service", "ProtectSystem", "full"}, {"Service", "NoNewPrivileges", "maybe"},
		{"Service", "SystemCallFilter", "@no-such-group"}, {"Service", "SystemCallFilter", "no_such_call"}, {"Service", "SystemCallFilter", "~@mount"},
		{"Service", "CapabilityBoundingSet", "CAP_NONE"}, {"Service", "RestrictNamespaces", "moon"}, {"Service", "RestrictAddressFamilies", "AF_NONE"},
	} {
		if _, err := NewPlan("x", []Setting{s}); err == nil {
			t.Errorf("%v was taken", s)
		}
	}
	if _, err := expand("%t/x", "test"); err == nil {
		t.Error("a specifier was taken that is not known")
	}
}

// systemd itself takes the units, and the files for users and directories, as
// `make install` puts them.
func TestInstalled(t *testing.T) {
	testenv.NeedRoot(t)
	root := t.TempDir()
	if err := os.Mkdir(root+"/etc", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, to string }{
		{"lockstep@.service", "/usr/lib/systemd/system/lockstep@.service"},
		{"lockstep-clsync@.service", "/usr/lib/systemd/system/lockstep-clsync@.service"},
		{"sysusers.conf", "/usr/lib/sysusers.d/lockstep.conf"},
		{"tmpfiles.conf", "/usr/lib/tmpfiles.d/lockstep.conf"},
	} {
		copyFile(t, dist+c.from, root+c.to)
	}
	for _, words := range [][]string{{"systemd-sysusers", "--root=" + root, "lockstep.conf"}, {"systemd-tmpfiles", "--root=" + root, "--create", "lockstep.conf"}} {
		if out, err := exec.Command(testenv.NeedTool(t, words[0]), words[1:]...).CombinedOutput(); err != nil || len(out) > 0 && !strings.Contains(string(out), "Creating") {
			t.Errorf("%v: %v\n%s", words, err, out)
		}
	}
	passwd, err := os.ReadFile(root + "/etc/passwd")
	if err != nil || !regexp.MustCompile(`(?m)^lockstep:[^:]*:[1-9][0-9]*:[1-9][0-9]*:lockstep worker:/:/usr/sbin/nologin$`).Match(passwd) {
		t.Errorf("%v: %s", err, passwd)
	}
	for path, mode := range map[string]os.FileMode{"/run/lockstep": 0o755, "/run/lockstep/uids": 0o755, "/etc/lockstep": 0o755, "/var/lib/lockstep": 0o700} {
		if info, err := os.Stat(root + path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v %v", path, info, err)
		}
	}
}

package resolve

import (
	"os"
	"strings"
	"testing"

	"lockstep/config"
	"lockstep/internal/testenv"
	"lockstep/rootid"
)

// Files for other programs are where only root can write, outside all trees, and each
// is one thing.
func TestFilesForOthers(t *testing.T) {
	testenv.NeedRoot(t)
	dir := Place(t)
	mounts, err := rootid.ReadMounts()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/open", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir+"/open", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/long", make([]byte, longestMark+1), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ pid, status, standby, want string }{
		{"/run/a", "/run/b", "/run/c", ""},
		{"/run/a", "/run/../run/a", "", "--status-file /run/a: is --pid-file as well; name a file that nothing else uses"},
		{"", "/run/a", "/run/a", "--standby-file /run/a: is --status-file as well"},
		{"/run/", "", "", "--pid-file /run/: is a directory"},
		{"", dir + "/src/a", "", "is inside the source; name a file outside it"},
		{"", "", dir + "/todst/a", "is inside the target; name a file outside it"},
		{"", "", "/tmp/a", "--standby-file /tmp/a: is in a directory that is not safe to use: /tmp can be written by others"},
		{dir + "/long", "", "", "is there, and with 33 bytes nothing that lockstep has written; name another, or remove it"},
		{dir + "/open/a", "", "", "is in a directory that is not safe to use: " + dir + "/open can be written by others (mode 0777)"},
		{dir + "/none/a", "", "", "is missing; make its directory, " + dir + "/none/, or name another file"},
	} {
		r := resolver{mounts: mounts, Set: config.Set{Service: config.Service{PIDFile: c.pid}, Syncs: []config.Sync{{
			Source: dir + "/src", Targets: []config.Target{{Path: dir + "/dst"}}, StatusFile: c.status, StandbyFile: c.standby,
		}}}}
		got := ""
		if r.files(); len(r.problems) > 0 {
			got = r.problems.Error()
		}
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%+v:\ngot  %s\nwant %s", c, got, c.want)
		}
	}
	// Several syncs may be held back by one file, and one status file is not two syncs'.
	both := config.Sync{Source: dir + "/src", StandbyFile: "/run/hold"}
	r := resolver{mounts: mounts, Set: config.Set{Syncs: []config.Sync{both, both}}}
	if r.files(); len(r.problems) > 0 {
		t.Error(r.problems)
	}
	both.StatusFile = "/run/state"
	r = resolver{mounts: mounts, Set: config.Set{Syncs: []config.Sync{both, both}}}
	if r.files(); len(r.problems) != 1 {
		t.Error(r.problems)
	}
}

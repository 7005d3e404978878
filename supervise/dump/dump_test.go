package dump

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/console"
	"lockstep/ipc/status"
	"lockstep/supervise/picture"
)

// A second dump at the same moment does not fail, and the newest are kept; what is
// no dump stays.
func TestDump(t *testing.T) {
	dir := t.TempDir()
	for _, other := range []string{"lock", "dump-of-another"} {
		if err := os.WriteFile(filepath.Join(dir, other), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	shown := picture.Syncs([]console.Part{{Name: "www", Report: status.Report{State: status.StateSyncing, Events: 7},
		Targets: []console.PartTarget{{Name: "/backup/\x1bwww", Report: status.Report{State: status.StateSyncing, Queue: 3, InFlight: 2}}}}})
	now := time.Date(2026, 11, 22, 17, 0, 0, 0, time.UTC)
	var all []string
	for range Kept + 3 {
		path, err := Write(dir, now, shown)
		if err != nil || slices.Contains(all, path) || filepath.Dir(path) != dir {
			t.Fatalf("%s, %v", path, err)
		}
		all = append(all, path)
	}
	left, err := filepath.Glob(dir + "/dump-2*")
	if err != nil || !slices.Equal(left, all[3:]) {
		t.Errorf("left are %q, %v", left, err)
	}
	if others, err := os.ReadDir(dir); err != nil || len(others) != Kept+2 {
		t.Errorf("%d entries, %v", len(others), err)
	}
	for name, want := range map[string]string{
		"instance": "sync\twww\tsyncing\n", "www/instance": "status == syncing\nwhy\t\n", "www/queue/1": "target\t/backup/\\x1bwww\nstatus == syncing\nwhy\t\nqueue\t3\n",
		"www/threads/1": "in_flight\t2\n",
	} {
		text, err := os.ReadFile(filepath.Join(all[len(all)-1], name))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	// The numbers that are named are some of a report's.
	for _, name := range slices.Concat(queued(), threads()) {
		if _, ok := shown.Syncs[0].Numbers[name]; !ok {
			t.Errorf("there is no number %s", name)
		}
	}
}

// A link in the place of a dump is not followed, and not taken for one.
func TestLink(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	now := time.Date(2026, 11, 22, 17, 0, 0, 0, time.UTC)
	if err := os.Symlink(other, filepath.Join(dir, fmt.Sprintf("dump-%s-0000", now.Format(layout)))); err != nil {
		t.Fatal(err)
	}
	if path, err := Write(dir, now, picture.Syncs(nil)); err != nil || !strings.HasSuffix(path, "-0001") {
		t.Errorf("%s, %v", path, err)
	}
	if all, err := os.ReadDir(other); err != nil || len(all) != 0 {
		t.Errorf("%d entries behind the link, %v", len(all), err)
	}
	if _, err := Write(filepath.Join(dir, "none"), now, picture.Syncs(nil)); err == nil {
		t.Error("a directory that is not there")
	}
}

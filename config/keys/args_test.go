package keys

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

// Each word of the list is known to the installed rsync, and copies as without.
func TestRsyncArgsWork(t *testing.T) {
	testenv.NeedTool(t, "rsync")
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/a", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/a/f", []byte("content\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, a := range RsyncArgs() {
		word := a.Word
		if a.Value != "" {
			first, _, _ := strings.Cut(strings.ReplaceAll(a.Value, "-", "|"), "|")
			word += "=" + first
		}
		if _, err := build(t, "source", "/s", "targets", "/t", "rsync_args", word); err != nil {
			t.Errorf("%s: %v", word, err)
		}
		to := dir + "/to" + word
		if out, err := exec.Command("rsync", "-a", word, "--", dir+"/a/", to+"/").CombinedOutput(); err != nil {
			t.Errorf("rsync %s: %v: %s", word, err, out)
		}
		if got, err := os.ReadFile(to + "/f"); string(got) != "content\n" {
			t.Errorf("%s: %q, %v", word, got, err)
		}
		if _, refused := refusedArgs()[a.Word]; refused {
			t.Errorf("%s is on both lists", a.Word)
		}
		// Nothing that names a file, a program or a shell.
		for _, bad := range []string{"file", "dir", "rsh", "path", "socket", "log", "from", "batch", "copy-as", "remote-option"} {
			if strings.Contains(a.Word, bad) && a.Word != "--whole-file" && a.Word != "--no-whole-file" {
				t.Errorf("%s names a %s", a.Word, bad)
			}
		}
	}
}

func TestRsyncArgsRefused(t *testing.T) {
	for word, want := range map[string]string{
		"":                        "not on the list",
		"-a":                      "not on the list",
		"--rsh=sh":                "names a program",
		"--inplace":               "names that were split",
		"--compress=1":            "takes no value",
		"--compress-level":        "needs a value 0-22",
		"--compress-level=023":    "needs a value",
		"--compress-level=23":     "needs a value",
		"--compress-choice=lzo":   "needs a value",
		"--checksum-choice=none":  "needs a value",
		"--checksum-choice=md5,x": "needs a value",
		"--compress --rsh=sh":     "not on the list",
		"--whole-file\n":          "not on the list",
		"--":                      "not on the list",
		"host:":                   "not on the list",
		"--comp":                  "not on the list",
	} {
		_, err := build(t, "source", "/s", "targets", "/t", "rsync_args", word)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", word, err, want)
		}
	}
	_, err := build(t, "source", "/s", "targets", "/t", "rsync_args", "--whole-file", "rsync_args", "--no-whole-file")
	if err == nil || !strings.Contains(err.Error(), "only one of them can be meant") {
		t.Errorf("%v", err)
	}
}

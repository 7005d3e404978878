package layers

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// script runs one of scripts/ with a PATH and returns what it says.
func script(t *testing.T, path, name string) (string, bool) {
	t.Helper()
	cmd := exec.Command("/bin/sh", filepath.Join(top, "scripts", name))
	cmd.Env = append(os.Environ(), "PATH="+path)
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

// withGo makes a directory with a go that says it is version.
func withGo(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	text := "#!/bin/sh\necho 'go version " + version + " linux/amd64'\n"
	if err := os.WriteFile(dir+"/go", []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestCheckGo(t *testing.T) {
	const rest = ":/usr/bin:/bin"
	none := t.TempDir()
	for _, tool := range []string{"sed", "dirname", "sort", "head"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(none, tool)); err != nil {
			t.Fatal(err)
		}
	}
	cases := map[string]struct {
		path string
		ok   bool
		want string
	}{
		"missing":   {none, false, "no go on PATH"},
		"old":       {withGo(t, "go1.19.8") + rest, false, "is 1.19.8"},
		"one older": {withGo(t, "go1.25.9") + rest, false, "is 1.25.9"},
		"odd":       {withGo(t, "devel") + rest, false, "does not say which"},
		"enough":    {withGo(t, "go1.26.0") + rest, true, ""},
		"newer":     {withGo(t, "go1.30") + rest, true, ""},
	}
	for name, c := range cases {
		out, ok := script(t, c.path, "check-go")
		if ok != c.ok || !strings.Contains(out, c.want) || strings.Count(out, "\n") > 1 || ok && out != "" {
			t.Errorf("%s: ok %v, says %q; want %v and one line with %q", name, ok, out, c.ok, c.want)
		}
	}
}

// The build id is that of the source, wherever it lies.
func TestBuildIDIsStable(t *testing.T) {
	a, ok := script(t, os.Getenv("PATH"), "build-id")
	b, ok2 := script(t, os.Getenv("PATH"), "build-id")
	if !ok || !ok2 || a != b || len(strings.TrimSpace(a)) != 16 {
		t.Errorf("%q and %q", a, b)
	}
}

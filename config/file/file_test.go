package file

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/sys/unix"

	"lockstep/config"
	"lockstep/config/keys"
	"lockstep/config/resolve"
	"lockstep/internal/testenv"
)

var update = flag.Bool("update", false, "write the golden files anew")

// here makes a directory that is safe to obey, with a copy of what from holds.
func here(t *testing.T, from string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err == nil {
		err = os.CopyFS(dir, os.DirFS(from))
	}
	if err == nil {
		err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() {
				return os.Chmod(path, 0o755)
			}
			return os.Chmod(path, 0o644)
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// faults reads a file and returns all that is wrong, also with what it names.
func faults(path string) config.Problems {
	set, err := Read(path, 0, uint32(os.Getuid()))
	var all, more config.Problems
	if err != nil && !errors.As(err, &all) {
		return config.Problems{{Thing: "Read", Reason: err.Error()}}
	}
	if _, err := resolve.Set(set); err != nil && !errors.As(err, &more) {
		return config.Problems{{Thing: "Resolve", Reason: err.Error()}}
	}
	all = append(all, more...)
	all.Sort(set.Files)
	return all
}

// Every fault of every broken file is told in one pass.
func TestBroken(t *testing.T) {
	const from = "../testdata/broken"
	testenv.NeedTool(t, "rsync")
	dir := here(t, from)
	list, err := filepath.Glob(dir + "/*.toml")
	if err != nil || len(list) < 20 {
		t.Fatalf("%d files, %v", len(list), err)
	}
	for _, path := range list {
		name := strings.TrimSuffix(filepath.Base(path), ".toml")
		var got strings.Builder
		for _, p := range faults(path) {
			got.WriteString(strings.ReplaceAll(p.Error(), dir+"/", "") + "\n")
		}
		golden := filepath.Join(from, name+".want")
		if *update {
			if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != string(want) {
			t.Errorf("%s:\ngot\n%s\nwant\n%s", name, got.String(), want)
		}
	}
}

const small = "[[sync]]\nsource = \"/usr/share/doc\"\ntargets = [\"/var/tmp\"]\n"

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) (config.Set, string) {
	t.Helper()
	set, err := Read(path, 0, uint32(os.Getuid()))
	if err != nil {
		return set, err.Error()
	}
	return set, ""
}

// What is hashed is what is parsed, of the file and its drop-ins in order.
func TestFiles(t *testing.T) {
	dir := here(t, t.TempDir())
	path := dir + "/lockstep.toml"
	write(t, path, small)
	if err := os.Mkdir(dir+"/lockstep.d", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"b.toml", "a.toml", "B.toml", ".hidden.toml", "c.toml~", "toml"} {
		write(t, dir+"/lockstep.d/"+name, strings.ReplaceAll(small, "[[sync]]", "[[sync]]\nname = \""+name[:1]+"\""))
	}
	set, text := read(t, path)
	if text != "" {
		t.Fatal(text)
	}
	var got []string
	for i, f := range set.Files {
		data, err := os.ReadFile(f.Path)
		if err != nil || f.SHA256 != fmt.Sprintf("%x", sha256.Sum256(data)) {
			t.Errorf("%s: %s %v", f.Path, f.SHA256, err)
		}
		got = append(got, strings.TrimPrefix(f.Path, dir+"/")+" "+set.Syncs[i].Name)
	}
	if want := "[lockstep.toml doc lockstep.d/B.toml B lockstep.d/a.toml a lockstep.d/b.toml b]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %v", got, want)
	}
}

// A file that others could have written is not obeyed, nor read further.
func TestNotOurs(t *testing.T) {
	dir := here(t, t.TempDir())
	path := dir + "/f.toml"
	for name, c := range map[string]struct {
		make func() error
		want string
	}{
		"others write":    {func() error { return os.Chmod(path, 0o646) }, "is not safe to obey: " + path + " can be written by others (mode 0646); make it root's alone"},
		"directory":       {func() error { return os.Chmod(dir, 0o777) }, "is not safe to obey: " + dir + " can be written by others"},
		"missing":         {func() error { return os.Remove(path) }, path + ": no such file or directory; name the file by -c"},
		"a directory":     {func() error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) }, path + ": is not a regular file"},
		"a FIFO":          {func() error { return errors.Join(os.Remove(path), unix.Mkfifo(path, 0o644)) }, path + ": is not a regular file"},
		"too large":       {func() error { return os.WriteFile(path, make([]byte, maxSize+1), 0o644) }, path + ": is larger than"},
		"link to nothing": {func() error { return errors.Join(os.Remove(path), os.Symlink("none", path)) }, path + ": no such file"},
		"drop-in": {func() error {
			return errors.Join(os.Mkdir(dir+"/f.d", 0o755), os.WriteFile(dir+"/f.d/x.toml", nil, 0o644), os.Chmod(dir+"/f.d/x.toml", 0o666))
		}, "/f.d/x.toml: is not safe to obey"},
		"drop-in directory": {func() error { return errors.Join(os.Mkdir(dir+"/f.d", 0o755), os.Chmod(dir+"/f.d", 0o777)) }, "/f.d: is not safe to obey"},
	} {
		if err := errors.Join(os.RemoveAll(path), os.RemoveAll(dir+"/f.d"), os.Chmod(dir, 0o755)); err != nil {
			t.Fatal(err)
		}
		write(t, path, small)
		if _, text := read(t, path); text != "" {
			t.Fatalf("%s: before: %s", name, text)
		}
		if err := c.make(); err != nil {
			t.Fatal(err)
		}
		if _, text := read(t, path); !strings.Contains(text, c.want) || strings.Contains(text, "\n") {
			t.Errorf("%s: %q, want %q", name, text, c.want)
		}
	}
}

// A link to a file is common in /etc; where it leads is checked as well.
func TestLinkedFile(t *testing.T) {
	dir := here(t, t.TempDir())
	write(t, dir+"/real.toml", small)
	if err := os.Symlink("real.toml", dir+"/link.toml"); err != nil {
		t.Fatal(err)
	}
	if _, text := read(t, dir+"/link.toml"); text != "" {
		t.Error(text)
	}
	if err := os.Chmod(dir+"/real.toml", 0o666); err != nil {
		t.Fatal(err)
	}
	if _, text := read(t, dir+"/link.toml"); !strings.Contains(text, "can be written by others") {
		t.Errorf("%q", text)
	}
}

func TestDefaults(t *testing.T) {
	dir := here(t, t.TempDir())
	write(t, dir+"/f.toml", `
service.max_jobs = 3
[defaults]
delay = "1s"
exclude = ["*.tmp"]
retry.max = "1h"
ssh = { identity = "/i", known_hosts = "/k", port = 2222 }
password_file = "/p"
run_as = "mirror"
[[sync]]
source = "/a"
targets = ["/b"]
[[sync]]
source = "/c"
targets = ["u@h:/d", "rsync://u@h/m"]
exclude = []
delay = "2s"
[sync.retry]
initial = "3s"
`)
	set, text := read(t, dir+"/f.toml")
	if text != "" {
		t.Fatal(text)
	}
	a, b := set.Config(0), set.Config(1)
	if a.Name != "a" || a.Delay != time.Second || len(a.Exclude) != 1 || a.SSH != (config.SSH{Port: 22}) || a.PasswordFile != "" || a.RunAs != "" || a.MaxJobs != 3 {
		t.Errorf("%+v", a)
	}
	if b.Delay != 2*time.Second || len(b.Exclude) != 0 || b.RetryMax != time.Hour || b.RetryInitial != 3*time.Second || b.SSH.Port != 2222 ||
		b.PasswordFile != "/p" || b.RunAs != "mirror" || b.Targets[0].Port != 2222 || b.Targets[1].Port != 873 {
		t.Errorf("%+v", b)
	}
}

// FuzzRead: what is taken without a word is valid for the library as well, and
// each problem has a place in the document.
func FuzzRead(f *testing.F) {
	list, err := filepath.Glob("../testdata/*/*.toml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range list {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, false)
		f.Add(data, true)
	}
	f.Fuzz(func(t *testing.T, data []byte, dropIn bool) {
		b := keys.NewFileBuilder("/f.toml")
		b.AddFile(config.File{Path: "/f.toml"})
		parse(b, "/f.toml", data, dropIn)
		_, err := b.Build()
		if err == nil {
			var into map[string]any
			if err := toml.Unmarshal(data, &into); err != nil {
				t.Errorf("taken, and it is no TOML: %v", err)
			}
			return
		}
		var all config.Problems
		if !errors.As(err, &all) {
			t.Fatalf("%v", err)
		}
		lines := bytes.Count(data, []byte("\n")) + 1
		for _, p := range all {
			if p.Pos.File != "/f.toml" || p.Pos.Line < 1 || p.Pos.Line > lines || p.Pos.Column < 1 || p.Thing == "" || p.Reason == "" {
				t.Errorf("%+v", p)
			}
			if strings.ContainsFunc(p.Error(), unicode.IsControl) {
				t.Errorf("%q", p.Error())
			}
		}
	})
}

// The example is a good file, and each remark in it about a default is right.
func TestExample(t *testing.T) {
	data, err := os.ReadFile("../../docs/lockstep.toml.example")
	if err != nil {
		t.Fatal(err)
	}
	dir := here(t, t.TempDir())
	write(t, dir+"/as-is.toml", string(data))
	// All keys that stand behind a "#".
	write(t, dir+"/whole.toml", regexp.MustCompile(`(?m)^# ([a-z_]+ = )`).ReplaceAllString(string(data), "$1"))
	plain, text := read(t, dir+"/as-is.toml")
	if text != "" {
		t.Fatal(text)
	}
	whole, text := read(t, dir+"/whole.toml")
	if text != "" {
		t.Fatal(text)
	}
	if whole.Syncs[1].RunAs == "" {
		t.Error("run_as is not shown")
	}
	whole.Syncs[1].RunAs = "" // has no default that could be written
	whole.RuntimeDir = ""     // Resolve finds it
	whole.Control.Socket, whole.Control.Owner, whole.Audit.Dir = "", "", ""
	for i := range plain.Syncs {
		if !reflect.DeepEqual(plain.Config(i), whole.Config(i)) {
			t.Errorf("%s: a remark is no default\n%+v\n%+v", plain.Syncs[i].Name, plain.Config(i), whole.Config(i))
		}
	}
}

package fromclsync

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/clsync/table"
	"lockstep/config"
	"lockstep/handler"
	"lockstep/internal/testenv"
	"lockstep/ipc"
	"lockstep/rsync"
	"lockstep/rules"
	"lockstep/rules/ordered"
	"lockstep/worker/queue"
)

// calls is what a handler would be called with for paths.
func calls(t *testing.T, o handler.Options, b handler.Batch, paths ...string) handler.Result {
	t.Helper()
	o.Path, o.Watch, o.Destination, o.Label = "/h", "/srv/www", "/backup/www", "lab"
	m, err := handler.New(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		b.Entries = append(b.Entries, handler.Entry{Path: p, Mask: 2, Old: handler.File, New: handler.File})
	}
	r, err := m.Make(b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// words are a call's, without the handler's own name.
func words(r handler.Run) []string {
	return handler.Fill(r.Argv, func(n handler.ListName) string { return fmt.Sprintf("/list%d", n) })[1:]
}

// list is the content of a call's list; "none" if it has no such list.
func list(r handler.Run, name handler.ListName) string {
	for _, l := range r.Lists {
		if l.Name == name {
			return string(l.Content)
		}
	}
	return "none"
}

func rootRejected(t *testing.T) {
	f := files{"/r": "+f\\.txt$\n-*\n"}
	refused(t, f, `--rules-file: /r:2: "-*" rejects`, least("-R", "/r")...)
	r := calls(t, handler.Options{Mode: handler.RsyncShell}, handler.Batch{Entries: []handler.Entry{{Recursive: true}}, Rejected: []string{""}})
	if got := list(r.Runs[0], handler.Exclude); got != "/**\n" {
		t.Errorf("a rejected root excludes %q", got)
	}
}

func excludesInEveryPart(t *testing.T) {
	rejected := []string{"x", "y/z"}
	r := calls(t, handler.Options{Mode: handler.RsyncDirect, Limit: 6}, handler.Batch{Rejected: rejected}, "a", "b/c", "d/e/f", "g/h/i", "j", "k/l", "m")
	if len(r.Runs) < 3 {
		t.Fatalf("%d parts: the batch was not divided", len(r.Runs))
	}
	for i, run := range r.Runs {
		if got := list(run, handler.Exclude); got != "/x\n/y/z\n" {
			t.Errorf("part %d excludes %q", i+1, got)
		}
	}
}

func noBigFiles(t *testing.T) {
	if c := meant(t, nil, least("-B", "0")...); c.BigSize != 0 {
		t.Errorf("files of %d bytes are big", c.BigSize)
	}
	if c := meant(t, nil, least("-B", "1000")...); c.BigSize != 1001 {
		t.Errorf("-B1000: files of %d bytes are big", c.BigSize)
	}
}

func alwaysAFirstPass(t *testing.T) {
	plain, err := compiled(nil, least()...)
	if err != nil {
		t.Fatal(err)
	}
	full, err := compiled(nil, least("-F")...)
	if err != nil || !maps.Equal(keysOf(plain.Text), keysOf(full.Text)) || plain.Run != full.Run {
		t.Errorf("-F makes something else: %v\n%s", err, full.Text)
	}
	if c := meant(t, nil, least("-F")...); c.FirstPass != config.FirstWhole {
		t.Errorf("-F: the first pass is %v", c.FirstPass)
	}
	if c := meant(t, nil, least("--skip-initialsync")...); c.FirstPass != config.FirstSkip {
		t.Errorf("--skip-initialsync: the first pass is %v", c.FirstPass)
	}
	for _, mode := range []string{"simple", "direct", "shell", "rsyncshell", "so", "rsyncso"} {
		words := []string{"-W", "/srv/www", "-D", "/backup/www", "-S", "/bin/x", "-M", mode}
		plain, err := compiled(nil, words...)
		full, fullErr := compiled(nil, append(words, "-F")...)
		if err != nil || fullErr != nil || keysOf(plain.Text)["mode"] == "" || !maps.Equal(keysOf(plain.Text), keysOf(full.Text)) || plain.Run != full.Run {
			t.Errorf("mode %s: -F makes something else: %v, %v\n%s", mode, err, fullErr, full.Text)
		}
	}
}

func iterationsAreBatches(t *testing.T) {
	for words, want := range map[string]uint32{"0": 0, "1": 1, "2": 1, "4": 3, "20": 19} { // -> handlers that clsync runs
		if c := meant(t, nil, least("--max-iterations", words)...); c.End.MaxIterations != want {
			t.Errorf("--max-iterations=%s: %d batches, want %d", words, c.End.MaxIterations, want)
		}
	}
}

func kindsAreKindsForEver(t *testing.T) {
	o, err := ordered.Parse("r", []byte("+f\\.txt$\n-f\n"))
	if err != nil {
		t.Fatal(err)
	}
	none, err := rules.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	// What decides at the start and later is asked for no other kind than this one.
	set := none.With(o)
	for path, out := range map[string]bool{"a.txt": false, "link": true, "fifo": true, "d/socket": true} {
		if got := set.Excluded(path, false); got != out {
			t.Errorf("%s is left out: %v, want %v", path, got, out)
		}
	}
	if set.Excluded("d", true) {
		t.Error("-f leaves out a directory")
	}
}

func lettersAreHonoured(t *testing.T) {
	s, err := ordered.Parse("r", []byte("-W^a$\n-m^b$\n-w^c$\n"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][3]bool{
		"a": {ordered.Sync: true}, "b": {ordered.Walk: true, ordered.Sync: true}, "c": {ordered.Monitor: true, ordered.Sync: true},
	} {
		var got [3]bool
		for action, d := range s.DecideAll(path, ordered.Dir) {
			got[action] = d.Permit
		}
		if got != want {
			t.Errorf("%s: walk, monitor, sync are %v, want %v", path, got, want)
		}
	}
	out, err := ordered.Convert("old", []byte("+w^a$\n+W^b$\n-m^c$\n"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for l := range strings.Lines(string(out)) {
		if l[0] != '#' {
			lines = append(lines, l)
		}
	}
	// clsync watched where it walked, and never looked at m.
	if got := strings.Join(lines, ""); got != "+W^a$\n+W^b$\n" {
		t.Errorf("converted to %q", got)
	}
}

func mountsStayOut(t *testing.T) {
	if c := meant(t, nil, least("-X")...); c.CrossMounts {
		t.Error("-X crosses mounts")
	}
	if c := meant(t, nil, least()...); !c.CrossMounts {
		t.Error("without -X mounts are left out, which clsync did not")
	}
}

// hostile are names that clsync's lists, or its words, did not carry.
func hostile() []string {
	return []string{"br]", `b\s`, "q?", "s[1]", "st*", "%%", "x%TYPE%y", "x%label%y", "100%", "%PID%", "-rf", "--help", "n\nl", "#c", ";s", " b ", "e\r"}
}

func bracketsAreCopied(t *testing.T) {
	program := testenv.NeedTool(t, "rsync")
	dir := t.TempDir()
	source, target := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	for _, d := range []string{source, target} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b := handler.Batch{}
	for _, name := range hostile() {
		if err := os.WriteFile(filepath.Join(source, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
		b.Entries = append(b.Entries, handler.Entry{Path: name, Mask: handler.FoundFile, Old: handler.Absent, New: handler.File})
	}
	m, err := handler.New(handler.Options{Mode: handler.RsyncDirect, Path: program, Watch: source, Destination: target})
	if err != nil {
		t.Fatal(err)
	}
	made, err := m.Make(b)
	if err != nil || len(made.Left) > 0 || len(made.Runs) != 1 {
		t.Fatalf("%v: %+v", err, made)
	}
	for _, l := range made.Runs[0].Lists {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(l.Name)), l.Content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	argv := handler.Fill(made.Runs[0].Argv, func(n handler.ListName) string { return filepath.Join(dir, fmt.Sprint(n)) })
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range hostile() {
		if got, err := os.ReadFile(filepath.Join(target, name)); err != nil || string(got) != name {
			t.Errorf("%q was not copied: %v", name, err)
		}
	}
}

func percentIsAByte(t *testing.T) {
	names := []string{"%%", "x%TYPE%y", "x%label%y", "100%", "%PID%", "%INCLUDE-LIST%"}
	r := calls(t, handler.Options{Mode: handler.Direct, PID: pid}, handler.Batch{}, names...)
	want := append(slices.Sorted(slices.Values(names)), "/backup/www/")
	if got := words(r.Runs[0]); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func dashesAreNames(t *testing.T) {
	r := calls(t, handler.Options{Mode: handler.Direct}, handler.Batch{}, "--help", "-rf", "a/-b")
	if got := words(r.Runs[0]); !slices.Equal(got, []string{"./--help", "./-rf", "a/-b", "/backup/www/"}) {
		t.Errorf("%q", got)
	}
}

func newlinesAreTold(t *testing.T) {
	r := calls(t, handler.Options{Mode: handler.Direct}, handler.Batch{}, "a\nb")
	if got := words(r.Runs[0]); got[0] != "a\nb" || len(r.Left) > 0 {
		t.Errorf("%q, left %v", got, r.Left)
	}
	r = calls(t, handler.Options{Mode: handler.Shell}, handler.Batch{}, "a\nb", "c")
	if len(r.Left) != 1 || r.Left[0].Path != "a\nb" || !strings.Contains(r.Left[0].Why.String(), "newline") || len(r.Runs) != 1 {
		t.Errorf("%+v", r)
	}
}

func brokenRulesAreRefused(t *testing.T) {
	s, err := ordered.Parse("r", []byte("-f(\n-q^x\n-f\\.bak$\nx\n"))
	var faults ordered.Faults
	if s != nil || !errors.As(err, &faults) || len(faults) != 3 {
		t.Errorf("%v", err)
	}
	refused(t, files{"/r": "-f(\n"}, "--rules-file: ", least("-R", "/r")...)
}

func timeoutIsKept(t *testing.T) {
	if c := meant(t, nil, least("-k", "90")...); c.Timeout != 90*time.Second {
		t.Errorf("rsync may run for %v", c.Timeout)
	}
}

func failedPathsComeAgain(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	q := queue.New(queue.Config{RetryMin: time.Second}, now)
	for _, rel := range []string{"bad", "good"} {
		q.Add(rel, queue.Content, now)
	}
	b := q.Take(now, 0)
	if b == nil || len(b.Entries) != 2 {
		t.Fatalf("%+v", b)
	}
	q.Requeue(b, b.Entries[:1], now, func() float64 { return 0.5 })
	if q.Idle() || q.Take(now, 0) != nil {
		t.Error("what failed is forgotten, or tried again at once")
	}
	next, ok := q.Next(now)
	if !ok {
		t.Fatal("it is not to be tried again")
	}
	if b = q.Take(next, 0); b == nil || len(b.Entries) != 1 || b.Entries[0].Rel != "bad" || b.Entries[0].Attempts != 1 {
		t.Fatalf("%+v", b)
	}
	if q.Done(b, next); !q.Idle() {
		t.Error("what is done waits still")
	}
}

func environmentIsThere(t *testing.T) {
	for m := handler.Simple; m <= handler.SO; m++ {
		r := calls(t, handler.Options{Mode: m, Limit: 1}, handler.Batch{Status: "running", Iteration: 7}, "a", "b/c")
		for _, run := range r.Runs {
			if !slices.Equal(run.Env, []string{"CLSYNC_STATUS=running", "CLSYNC_ITERATION=7"}) {
				t.Errorf("mode %v: %q", m, run.Env)
			}
		}
	}
}

func labelBeforeItIsSet(t *testing.T) {
	f := files{"/c": "[default]\nwatch-dir = /srv/%label%\nlabel = web\n"}
	if c := meant(t, f, "-H", "/c", "-M", "rsyncdirect", "-D", "/backup/www"); c.Source != "/srv/web" || c.Name != "web" {
		t.Errorf("%q follows %q", c.Name, c.Source)
	}
}

func pidIsItsOwn(t *testing.T) {
	o, err := opts(nil, least("-b", "-l", "x%PID%")...)
	if err != nil || o.Label != fmt.Sprintf("x%d", pid) {
		t.Fatalf("%+v, %v", o, err)
	}
	if r, err := compiled(nil, least("-b")...); err != nil || !strings.Contains(r.Warnings.Error(), "--background: ") || !strings.Contains(r.Warnings.Error(), "stays in the foreground") {
		t.Errorf("%v, %v", r.Warnings, err)
	}
}

func pathsBeginAtTheStart(t *testing.T) {
	tried := 0
	for _, o := range table.All() {
		if o.Type != table.Path && o.Type != table.Paths || o.Place != table.Anywhere {
			continue
		}
		tried++
		f := files{start + "/sub/x": "-f\\.bak$\n"}
		read, err := opts(f, least("-l", "%"+o.Name+"%", "--"+o.Name, "sub/x")...)
		if err != nil && o.Name != "exit-hook" && o.Name != "pre-exit-hook" {
			t.Errorf("--%s: %v", o.Name, err)
			continue
		}
		if read.Label != start+"/sub/x" {
			t.Errorf("--%s=sub/x is %q", o.Name, read.Label)
		}
	}
	if tried < 10 {
		t.Errorf("only %d options name paths", tried)
	}
}

func bigFilesDelayNoOther(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	q := queue.New(queue.Config{BigDelay: time.Minute}, now)
	q.Add("big", queue.Content, now)
	b := q.Take(now, 0)
	q.Defer(b, []string{"big"}, now) // its size was looked at
	q.Done(b, now)
	later := now.Add(2 * time.Minute)
	big := q.TakeBig(later, 0)
	if big == nil || !big.Big {
		t.Fatalf("%+v", big)
	}
	q.Add("small", queue.Content, later)
	if b := q.Take(later, 0); b == nil || len(b.Entries) != 1 || b.Entries[0].Rel != "small" {
		t.Errorf("while the big file is under way: %+v", b)
	}
}

func lastLineIsWhole(t *testing.T) {
	s, err := ordered.Parse("r", []byte("-f^ab$"))
	if err != nil {
		t.Fatal(err)
	}
	for path, permit := range map[string]bool{"ab": false, "a": true} {
		if got, _ := s.Decide(path, ordered.File, ordered.Sync); got != permit {
			t.Errorf("%q is permitted: %v", path, got)
		}
	}
	out, err := ordered.Convert("old", []byte("-f^ab$"))
	if err != nil || !strings.HasSuffix(string(out), "\n-f^ab\n") || !strings.Contains(string(out), "clsync lost the last character of this line") {
		t.Errorf("%q, %v", out, err)
	}
}

func noListFiles(t *testing.T) {
	o := rsync.Options{Source: "/srv/www", Target: "/backup/www"}
	for _, kind := range []ipc.JobKind{ipc.JobInitial, ipc.JobPrune, ipc.JobList, ipc.JobWide, ipc.JobAttr, ipc.JobContent, ipc.JobKnock} {
		argv := rsync.Argv(kind, o)
		reads := 0
		for _, w := range argv {
			name, value, _ := strings.Cut(w, "=")
			switch {
			case w == "--files-from=-", w == "--filter=merge -":
				reads++
			case strings.HasSuffix(name, "-from"), name == "--filter" && strings.Contains(value, "merge"):
				t.Errorf("job %v: %q reads a file", kind, w)
			}
		}
		if reads != 1 {
			t.Errorf("job %v reads %d lists from its standard input: %q", kind, reads, argv)
		}
	}
	r, err := compiled(nil, least("-L", "/dev/shm/x")...)
	if err != nil || strings.Contains(string(r.Text), "/dev/shm/x") || !strings.Contains(r.Warnings.Error(), "lists go through pipes") {
		t.Errorf("%v, %v\n%s", r.Warnings, err, r.Text)
	}
}

func circlesAreTold(t *testing.T) {
	f := files{"/c": "[default]\nconfig-block-inherits = a\n[a]\nconfig-block-inherits = default\n"}
	_, err := opts(f, least("-H", "/c")...)
	var all config.Problems
	if !errors.As(err, &all) || len(all) != 1 || all[0].Pos.Line != 4 || !strings.Contains(all[0].Reason, "[default] → [a] → [default]") {
		t.Errorf("%v", err)
	}
}

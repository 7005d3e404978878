package options

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/clsync/cmdline"
	"lockstep/clsync/macro"
	"lockstep/clsync/table"
	"lockstep/internal/testenv"
)

// checkWords: what macro.Cut finds in a handler's words is known to a handler.
func checkWords(t *testing.T, list []string) {
	t.Helper()
	for _, w := range list {
		var again strings.Builder
		for _, p := range macro.Cut(w) {
			if p.Name != "" && !slices.Contains(macro.RunTime(), p.Name) {
				t.Errorf("%q names %s", w, p.Name)
			}
			if p.Name != "" {
				again.WriteString("%" + p.Name + "%")
			}
			again.WriteString(macro.Quote(p.Text))
		}
		if again.String() != w {
			t.Errorf("%q has percent signs that are not quoted: %q", w, again.String())
		}
	}
}

// Each class L and N option that is given is warned of once.
func TestInstead(t *testing.T) {
	for _, o := range table.All() {
		if o.Instead == "" {
			continue
		}
		value := map[table.Type]string{table.Choice: "=empty", table.Choices: "=mon_stat"}[o.Type]
		if value == "" {
			value = "=1"
		}
		got := good(t, env(nil), least("--"+o.Name+value, "--"+o.Name+value)...).Warnings
		if len(got) != 1 || got[0].Thing != "--"+o.Name || got[0].Advice != o.Instead {
			t.Errorf("%s: %v", o.Name, got)
		}
	}
}

// clsync runs the real one, on words that keep it from starting anything.
func clsync(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	path := testenv.NeedTool(t, "clsync")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = t.TempDir()
	data, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("clsync %q does not come back", args)
	}
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	return string(data), cmd.ProcessState.ExitCode()
}

// The options that a real clsync has are in the table, with its letters and
// arguments. (It does not tell optional ones from none.)
func TestRealOptions(t *testing.T) {
	out, code := clsync(t, "--help")
	if code != 22 {
		t.Errorf("exit code %d", code)
	}
	lines := regexp.MustCompile(`(?m)^Info: +\t--(\S+) +(?:-(\S))?(.*)$`).FindAllStringSubmatch(out, -1)
	if len(lines) < 60 {
		t.Fatalf("%d options in %q", len(lines), out)
	}
	for _, l := range lines {
		o, ok := table.Lookup(l[1])
		letter := strings.TrimRight(string(o.Short), "\x00")
		if !ok || letter != l[2] || (o.Arg == cmdline.Required) != strings.Contains(l[3], "argument") {
			t.Errorf("%q: %+v", l[0], o)
		}
	}
}

// What a real clsync refuses before it does anything is refused; what it takes is
// taken, but for what is refused on purpose. It comes to --help when it took all.
func TestRealValues(t *testing.T) {
	const stricter = "negative, blanks, or a number that nobody means"
	for args, why := range map[string]string{
		"-t abc": "", "-t 09": "", "-t 010": "", "-t 0x1f": "", "-t +5": "", "-t 1_5": "", "-t 0b1": "", "-t 0o7": "", "-t 99999999999999999999": "", "-B 128M": "", "-U08": "", "-U1": "", "-UX": "",
		"--background": "", "--background=": "", "--background=x": "", "-b=1": "", "-bd": "", "--only-init": "", "--sync x": "", "--nosuch": "", "--lab x": "", "-M foo": "", "-M so": "",
		"-p saf": "", "-p 0": "", "-p full": "", "-Y file": "", "-Y syslog": "", "-x abc": "", "-x 1,,2": "", "-x 24,": "", "--exit-on-sync-skip": "", "--detach-network on": "",
		"--detach-network everywhere": "", "--pivot-root yes": "", "--splitting 1": "", "--splitting x": "", "--monitor foo": "", "--monitor inotify": "", "--custom-signals 10:a": "",
		"--custom-signals 999:a": "", "--cancel-syscalls mon_stat": "", "--inherit-capabilities=permittied": "", "-z": "", "-l %label": "", "-l 100%": "",
		"-t -1": stricter, "-x 300": stricter, "--modification-signature foo": stricter, "--custom-signals 9:a": stricter, "-l %nosuch%": stricter,
		"-t 1.5": "fractions are new",
	} {
		words := append(strings.Fields(args), "--help")
		if args == "-z" {
			words = []string{"-z"} // no value
		}
		out, _ := clsync(t, append([]string{"-H", NoFile}, words...)...)
		refused := regexp.MustCompile(`(?m)^(Error|\S*clsync):`).MatchString(out)
		line := append([]string{"-W", "w", "-M", "simple", "-S", "h", "-H", NoFile}, words[:max(1, len(words)-1)]...)
		text := faults(env(nil), line...)
		text = strings.ReplaceAll(text, "--custom-signals: there is no file that could have the blocks; name one by --config-file", "")
		if ours := text != ""; ours != refused && why == "" || ours == refused && why != "" {
			t.Errorf("%s: clsync refuses: %v, here: %q\n%.300s", args, refused, text, out)
		}
	}
}

// The same for files. One that is read leaves clsync without a mode.
func TestRealFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.conf")
	for text, differs := range map[string]bool{
		"[default]\nlabel = x\n": false, "[default]\n;c\n": false, "label=x\n[default]\n": false, "[default]x\n": false, " [default] \n label = x\n  # c\n": false, "[]\n": false,
		"[a[b]\n": false, "[a]b]\n": false, "[default]\n = x\n": false, "[default]\nword\n": false, "[default]\r\nlabel = x\r\n": false, "\xef\xbb\xbf[default]\n": false,
		"[default]\nlabel = \xff\n": false, "[default]\nlabel\t=\t x\n": false, "[default]\nlabel =\n": false, "[default]\nretries = x\n": false, "[default]\ndelay-sync = 09\n": false,
		"": false, "# c\n": false, "[default]\nk]=1\n": false, "[default]\n[b\n": false, "[de\tf]\n": false, "[default]\nbackground = \n": false, "[default]\n-- = 'x\n": false,
		"[default]\nnosuch = 1\n": true, "[default]\nlabel[de] = x\n": true, "[default]\nexit-on-sync-skip = x\n": true,
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		out, code := clsync(t, "-H", path)
		refused := code == 255 || regexp.MustCompile(`(?m)^Error: (argument|Unterminated|Cannot open)`).MatchString(out)
		ours := faults(env(map[string]string{path: text}), least("-H", path)...)
		if (ours != "") != (refused != differs) {
			t.Errorf("%q: clsync refuses: %v (%d), here: %q\n%.300s", text, refused, code, ours, out)
		}
	}
}

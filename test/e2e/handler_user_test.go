//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

// A handler with a user of its own, as clsync's --sync-handler-uid and
// --sync-handler-gid have it: it keeps a target of that user's in step, by the user's
// rights alone. The twin is the same handler without a user.
func TestHandlerUser(t *testing.T) {
	beside(t)
	testenv.NeedRoot(t)
	uid, _, gid := testenv.IDs(t, "daemon", "tty")
	can := map[string]bool{"read-source": true, "write-target": true, "scratch": true, "read-secret": false, "list-hidden": false, "write-roots": false, "chown": false, "chmod-roots": false}
	for name, as := range map[string][]string{"user": {"--sync-handler-uid", "daemon", "--sync-handler-gid", "tty"}, "twin": nil} {
		t.Run(name, func(t *testing.T) {
			beside(t)
			m := newMirror(t)
			base := strings.TrimSuffix(m.src, "/src")
			mkdir(t, m.dst+"/roots")
			write(t, m.dst+"/roots/f", "x")
			write(t, m.src+"/f", "x")
			for dir := base; dir != "/"; dir = dir[:max(1, strings.LastIndexByte(dir, '/'))] {
				if err := os.Chmod(dir, 0o755); dir == "/tmp" || err != nil {
					break
				}
			}
			if err := errors.Join(os.Chmod("/tmp", os.ModeSticky|0o777), os.Chown(m.dst, uid, gid), os.WriteFile(base+"/secret", []byte("x"), 0o600), os.Mkdir(base+"/hidden", 0o700)); err != nil {
				t.Fatal(err)
			}
			text := `#!/bin/bash
can() { if "${@:2}" >/dev/null 2>&1; then echo "can $1"; else echo "cannot $1"; fi; }
can read-source cat ./f
can write-target touch DST/new
can scratch touch $TMPDIR/x
can read-secret cat BASE/secret
can list-hidden ls BASE/hidden
can write-roots touch DST/roots/new
can chown chown root DST/new
can chmod-roots chmod 700 DST/roots/f
echo "ids $(id -u) $(id -g) $(id -G)"
cp --no-preserve=all ./f DST/f || exit 1
[ ! -f ./g ] || cp --no-preserve=all ./g DST/g
`
			path := handler(t, "direct", strings.NewReplacer("BASE", base, "DST", m.dst).Replace(text))[3]
			words := append([]string{"-H", "/NULL/", "-M", "direct", "-S", path, "-W", m.src, "-D", m.dst, "-l", "lab", "-t", "0.1", "-w", "0.1"}, as...)
			show, err := clsync(t, words...)("--print-config").Output()
			if err != nil {
				t.Fatal(err)
			}
			// What is shown is run by its own file, with more for it to try.
			toml := strings.Replace(string(show), "[[sync]]", "[[sync]]\nhandler_reads = [\""+base+"/secret\", \""+base+"/hidden\"]", 1)
			toml = strings.Replace(toml, "[service]", "[service]\nstate_dir = \""+m.state+"\"\nlog_format = \"json\"", 1)
			i, j := strings.Index(toml, "runtime_dir ="), 0
			j = i + strings.IndexByte(toml[i:], '\n')
			toml = toml[:i] + "runtime_dir = \"" + m.run + "\"" + toml[j:]
			write(t, base+"/x.toml", toml)
			m.name = "lab"
			m.launch("run", "-c", base+"/x.toml")
			m.await(0, "readiness", limit, m.isReady)
			holds := func(name string) func() bool {
				return func() bool { data, err := os.ReadFile(m.dst + "/" + name); return err == nil && string(data) == "x" }
			}
			m.eventually("the first copy", holds("f"))
			write(t, m.src+"/g", "x")
			m.eventually("the copy of a change", holds("g"))
			for what, want := range can {
				m.await(0, what, limit, says(map[bool]string{true: "can ", false: "cannot "}[want || as == nil]+what))
			}
			ids := "ids 0 0 0"
			if as != nil {
				ids = fmt.Sprintf("ids %d %d %d", uid, gid, gid)
			}
			m.await(0, ids, limit, says(ids))
			clean(t, m.run, map[string]int{"supervisor": 1, "runner": 1, "unknown": 0})
			m.stop()
		})
	}
}

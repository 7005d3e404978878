//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"lockstep/internal/testenv"
	"lockstep/test/peer"
)

// rsync's words do what they say: a first pass with a deletion, and then what changes.
func TestExampleOfLrsync(t *testing.T) {
	testenv.NeedRoot(t)
	m := newMirror(t)
	write(t, m.src+"/f", "x")
	write(t, m.dst+"/old", "x")
	all := calls(t, "lrsync.sh", "/srv/www", m.src, "/backup/www", m.dst)
	if len(all) != 1 || all[0][0] != "lrsync" {
		t.Fatalf("it calls %q", all)
	}
	later := false
	until(t, called(t, "lrsync", append(all[0][1:], "--config-file=/NULL/", "--delay-collect=0.1")...)(), m, "the pass, and a change after it", func() bool {
		_, err := os.Lstat(m.dst + "/old")
		if m.has("f", "x") && err != nil && !later {
			later = true
			write(t, m.src+"/later", "y")
		}
		return m.has("later", "y")
	})
}

// A server moves: what it writes while the first copy is made, and until it is stopped,
// is there before it is started at the other place.
func TestExampleOfMovingAServer(t *testing.T) {
	testenv.NeedRoot(t)
	m := newMirror(t)
	far := t.TempDir()
	r := peer.StartRsyncd(t, far, peer.RsyncdOptions{Module: "var", User: "clsync", Password: "secret"})
	write(t, m.src+"/f", "x")
	dir := t.TempDir()
	path := []string{"/var/www ", m.src + " ", "rsync://clsync@another-host/var/www", r.Target("www"), "/etc/lockstep/another-host", r.PasswordFile(t, dir)}
	script := dir + "/script"
	write(t, script, example(t, "clsync/move-server.sh", path...))
	// The server's last words come as it stops; the start sees whether they are there.
	bin := t.TempDir()
	for name, text := range map[string]string{
		"systemctl": "[ \"$*\" = 'stop apache2' ] && [ -e " + far + "/www/f ] && echo bye >" + m.src + "/last",
		"ssh":       "[ \"$*\" = 'another-host systemctl start apache2' ] && cat " + far + "/www/last",
	} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(program(t, "lockstep"), bin+"/lockstep"); err != nil {
		t.Fatal(err)
	}
	called(t, "clsync", "-M", "rsyncdirect", "-W", m.src, "-D", r.Target("www"), "--", "%RSYNC-ARGS%", "--password-file="+path[5], "%watch-dir%/", "%destination-dir%/") // removes what stays
	cmd := exec.CommandContext(t.Context(), "/bin/sh", script)
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	out, err := cmd.Output()
	if err != nil || string(out) != "bye\n" {
		t.Errorf("%v: the server that starts sees %q", err, out)
	}
}

// Blocks that inherit: one container, two daemons, and rules.
func TestExampleOfContainers(t *testing.T) {
	testenv.NeedRoot(t)
	base, dir := t.TempDir(), t.TempDir()
	src := base + "/web1"
	mkdir(t, src+"/rootfs/var/log", src+"/rootfs/rootfs-readonly")
	for _, name := range []string{"/rootfs/f", "/rootfs/var/log/noise", "/rootfs/rootfs-readonly/f", "/rootfs/dmesg"} {
		write(t, src+name, "x")
	}
	rules := dir + "/rules"
	write(t, rules, example(t, "clsync/rules/containers"))
	conf := []string{"/srv/lxc", base, "/etc/clsync/rules/containers", rules}
	far := map[string]string{}
	for block, module := range map[string]string{"brother": "lxc", "backup": "mirror"} {
		far[block] = t.TempDir()
		secrets := t.TempDir()
		r := peer.StartRsyncd(t, far[block], peer.RsyncdOptions{Module: module, User: "cluster", Password: block})
		conf = append(conf, "rsync://cluster@"+block+"/"+module+"/%label%", r.Target("%label%"), "/etc/lockstep/"+block, r.PasswordFile(t, secrets))
	}
	file := dir + "/containers.conf"
	write(t, file, example(t, "clsync/containers.conf", conf...))
	all := calls(t, "containers.sh", "/etc/clsync/containers.conf", file)
	if len(all) != 2 {
		t.Fatalf("it calls %q", all)
	}
	for _, words := range all {
		m := newMirror(t)
		m.dst = far[words[4]] + "/web1"
		until(t, called(t, words[0], words[1:]...)(), m, "the first pass of "+words[4], func() bool { return m.has("rootfs/f", "x") })
		for _, gone := range []string{"/rootfs/var/log/noise", "/rootfs/rootfs-readonly", "/rootfs/dmesg"} {
			if _, err := os.Lstat(m.dst + gone); err == nil {
				t.Errorf("%s: %s is there", words[4], gone)
			}
		}
	}
}

//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"lockstep/internal/testenv"
	"lockstep/test/peer"
)

// example reads a file of examples/, with other paths in place of its own.
func example(t *testing.T, name string, paths ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../examples", name))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(paths); i += 2 {
		if !bytes.Contains(text, []byte(paths[i])) {
			t.Fatalf("%s says nothing of %s", name, paths[i])
		}
	}
	return strings.NewReplacer(paths...).Replace(string(text))
}

// words are those with which an example of examples/clsync calls lockstep clsync.
func words(t *testing.T, name string, paths ...string) []string {
	t.Helper()
	calls := calls(t, name, paths...)
	if len(calls) != 1 || calls[0][0] != "clsync" {
		t.Fatalf("%s calls %q", name, calls)
	}
	return calls[0][1:]
}

// calls are the words of each call of lockstep, from clsync or the like on.
func calls(t *testing.T, name string, paths ...string) (calls [][]string) {
	t.Helper()
	dir := t.TempDir()
	write(t, dir+"/script", example(t, "clsync/"+name, paths...))
	if err := os.WriteFile(dir+"/lockstep", []byte("#!/bin/sh\nprintf '%s\\n' \"$@\" >"+dir+"/call.$$\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/bin/sh", dir+"/script")
	cmd.Env = []string{"PATH=" + dir}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	files, err := filepath.Glob(dir + "/call.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		calls = append(calls, strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"))
	}
	return calls
}

// until has an example's lockstep run until something is so.
func until(t *testing.T, cmd *exec.Cmd, m *mirror, what string, ok func() bool) {
	t.Helper()
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill() // which has ended, where all went well
	m.eventually(what, ok)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, log.String())
	}
}

// The examples with a handler of this host do what they say.
func TestExamplesOfHandlers(t *testing.T) {
	beside(t)
	has := func(path, text string) func() bool {
		return func() bool {
			data, err := os.ReadFile(path)
			return err == nil && string(data) == text
		}
	}
	t.Run("show-calls", func(t *testing.T) {
		m := newMirror(t)
		write(t, m.src+"/f", "x")
		out, err := clsync(t, words(t, "show-calls.sh", "/opt/global", m.src)...)("--only-initialsync").CombinedOutput()
		if err != nil || !strings.Contains(string(out), " 256 "+m.src+"/f") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("build", func(t *testing.T) {
		testenv.NeedTool(t, "make")
		m := newMirror(t)
		write(t, m.src+"/Makefile", "program: $(SRC)/a.c\n\tcp $< $@\n")
		write(t, m.src+"/a.c", "1")
		run := clsync(t, words(t, "build.sh", "/srv/src", m.src, "/srv/build", m.dst)...)
		until(t, run(), m, "the second build", func() bool {
			if has(m.dst+"/program", "1")() {
				write(t, m.src+"/a.c", "two")
			}
			return has(m.dst+"/program", "two")()
		})
	})
	t.Run("rsyncshell", func(t *testing.T) {
		m := newMirror(t)
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/h.sh", []byte(example(t, "handlers/rsyncshell.sh", "/backup/www", m.dst)), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, dir+"/rules", example(t, "clsync/rules/sample"))
		mkdir(t, m.src+"/dontSync")
		write(t, m.src+"/dontSync/f", "x")
		write(t, m.src+"/f", "x")
		run := clsync(t, append(words(t, "rsyncshell.sh", "/usr/local/lib/clsync/rsyncshell.sh", dir+"/h.sh", "/srv/www", m.src, "/backup/www", m.dst, "/etc/clsync/rules/sample", dir+"/rules"), "-t", "0.1")...)
		until(t, run(), m, "the copy of a change", func() bool {
			if has(m.dst+"/f", "x")() {
				write(t, m.src+"/f", "y")
			}
			return has(m.dst+"/f", "y")()
		})
		if _, err := os.Lstat(m.dst + "/dontSync"); err == nil {
			t.Error("what the rules leave out was copied")
		}
	})
	t.Run("module", func(t *testing.T) {
		testenv.NeedTool(t, "gcc")
		m := newMirror(t)
		object := filepath.Join(t.TempDir(), "copy.so")
		if out, err := exec.CommandContext(t.Context(), "gcc", "-shared", "-fPIC", "-I", "../../include", "-o", object, "../../examples/so/copy.c").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		write(t, m.src+"/f", "x")
		out, err := clsync(t, words(t, "module.sh", "/usr/local/lib/clsync/copy.so", object, "/srv/www", m.src, "/backup/www", m.dst)...)("--only-initialsync").CombinedOutput()
		if err != nil || !has(m.dst+"/f", "x")() {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// sshConfig is a file of ssh's settings that leads to an sshd by a name.
func sshConfig(t *testing.T, s *peer.SSHD, dir, name string) {
	t.Helper()
	key, err := os.ReadFile(s.Identity)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/id", key, 0o600); err != nil {
		t.Fatal(err)
	}
	known := s.KnownHosts(t, dir)
	write(t, dir+"/ssh_config", fmt.Sprintf("Host %s\n\tHostName %s\n\tPort %d\n\tUser root\n\tIdentityFile %s/id\n\tIdentitiesOnly yes\n\tUserKnownHostsFile %s\n", name, s.Host(), s.Port(), dir, known))
}

// The examples for other hosts bring a tree there, and what changes in it.
func TestExamplesForOtherHosts(t *testing.T) {
	beside(t)
	testenv.NeedTool(t, "ssh")
	s := peer.StartSSHD(t, peer.SSHOptions{})
	for _, c := range []struct{ name, toml, script, source, program, settings, host string }{
		{"nodes", "nodes.toml", "nodes.sh", "/opt/global", "/usr/local/lib/lockstep/nodes.sh", "/etc/lockstep/nodes", "node1"},
		{"web1", "containers.toml", "container.sh", "/srv/lxc/web1", "/usr/local/lib/lockstep/container.sh", "/etc/lockstep/brother", "brother"},
	} {
		t.Run(c.toml, func(t *testing.T) {
			m := newMirror(t)
			m.name = c.name
			dir := t.TempDir()
			settings := filepath.Join(dir, "settings")
			mkdir(t, settings)
			sshConfig(t, s, settings, c.host)
			second := filepath.Join(dir, "second")
			mkdir(t, second)
			paths := []string{c.settings, settings}
			if c.host == "brother" {
				paths = append(paths, "/srv/lxc/$label/", m.dst+"/")
			} else {
				write(t, settings+"/list", fmt.Sprintf("%s:%s/\n%s:%s/\n", c.host, m.dst, c.host, second))
			}
			if err := os.WriteFile(dir+"/h.sh", []byte(example(t, "handlers/"+c.script, paths...)), 0o755); err != nil {
				t.Fatal(err)
			}
			paths = []string{c.source, m.src, c.program, dir + "/h.sh", c.settings, settings, "15s", "100ms", "5s", "100ms"}
			text := strings.NewReplacer(paths...).Replace(example(t, "handlers/"+c.toml))
			text = strings.Replace(text, "delay = \"1s\"", "delay = \"100ms\"", 1)
			text = strings.Replace(text, "/run/web1.state", dir+"/state", 1)
			write(t, dir+"/x.toml", "[service]\nruntime_dir = \""+m.run+"\"\nstate_dir = \""+m.state+"\"\nlog_format = \"json\"\n"+text)
			mkdir(t, m.src+"/d")
			write(t, m.src+"/d/f", "x")
			m.launch("run", "-c", dir+"/x.toml")
			m.await(0, "readiness", limit, m.isReady)
			m.alike()
			write(t, m.src+"/d/new", "y")
			if err := os.Rename(m.src+"/d/f", m.src+"/moved"); err != nil {
				t.Fatal(err)
			}
			m.alike()
			m.stop()
			if c.host == "brother" {
				return
			}
			if data, err := os.ReadFile(second + "/d/new"); err != nil || string(data) != "y" {
				t.Errorf("the second node: %q %v", data, err)
			}
		})
	}
}

// The example with uftp brings files to a receiver, each under its path, at the start and
// when they change. (By the address of one host: not every machine of a test has a way for
// multicast.)
func TestExampleOfUftp(t *testing.T) {
	beside(t)
	testenv.NeedTool(t, "uftp")
	m := newMirror(t)
	dir := t.TempDir()
	port := udpPort(t)
	receiver := exec.Command(testenv.NeedTool(t, "uftpd"), "-d", "-I", "lo", "-M", "239.255.20.1", "-p", port, "-D", m.dst, "-T", dir, "-x", "1")
	var said bytes.Buffer
	receiver.Stderr = &said
	if err := receiver.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = receiver.Process.Kill()
		_ = receiver.Wait()
		if t.Failed() {
			t.Logf("uftpd: %s", said.String())
		}
	})
	if err := os.WriteFile(dir+"/h.sh", []byte(example(t, "handlers/uftp.sh", "-M 239.255.20.1", "-I lo -p "+port+" -M 127.0.0.1")), 0o755); err != nil {
		t.Fatal(err)
	}
	text := example(t, "handlers/uftp.toml", "/opt/global", m.src, "/usr/local/lib/lockstep/uftp.sh", dir+"/h.sh", "\"1s\"", "\"100ms\"", "\"5s\"", "\"100ms\"")
	write(t, dir+"/x.toml", "[service]\nruntime_dir = \""+m.run+"\"\nstate_dir = \""+m.state+"\"\nlog_format = \"json\"\n"+text)
	m.name = "global"
	mkdir(t, m.src+"/d")
	write(t, m.src+"/d/f", "x")
	has := func(name, text string) func() bool {
		return func() bool {
			data, err := os.ReadFile(m.dst + "/" + name)
			return err == nil && string(data) == text
		}
	}
	m.launch("run", "-c", dir+"/x.toml")
	m.await(0, "readiness", limit, m.isReady)
	m.eventually("the file of the first pass", has("d/f", "x"))
	write(t, m.src+"/d/f", "changed")
	write(t, m.src+"/new name", "y")
	m.eventually("the change", has("d/f", "changed"))
	m.eventually("what came", has("new name", "y"))
	m.stop()
}

// udpPort is a port of UDP that nobody has.
func udpPort(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(c.LocalAddr().String())
	if err = errors.Join(err, c.Close()); err != nil {
		t.Fatal(err)
	}
	return port
}

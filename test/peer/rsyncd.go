package peer

import (
	"fmt"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

// RsyncdOptions say what an rsync daemon serves.
type RsyncdOptions struct {
	Host           string // the address it listens on; 127.0.0.1 if empty
	Module         string // its name; "data" if empty
	User, Password string // who may come in; anybody if User is empty
	ReadOnly       bool
	MaxConnections int // at once; 0: no limit
}

// Rsyncd is an rsync daemon that serves one directory as root, so that owners
// are kept.
type Rsyncd struct {
	daemon
	o       RsyncdOptions
	dir     string // of its files
	content string // the directory that it serves
}

// StartRsyncd starts one that serves content.
func StartRsyncd(t testing.TB, content string, o RsyncdOptions) *Rsyncd {
	t.Helper()
	testenv.NeedRoot(t)
	program := testenv.NeedTool(t, "rsync")
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	if o.Module == "" {
		o.Module = "data"
	}
	dir := t.TempDir()
	r := &Rsyncd{o: o, dir: dir, content: content}
	r.daemon = daemon{argv: []string{program, "--daemon", "--no-detach", "--config=" + dir + "/rsyncd.conf"}, host: o.Host, log: dir + "/log"}
	if err := r.secret(o.Password); err != nil {
		t.Fatal(err)
	}
	r.launch(t, func(uint16) error { return r.configure(o.Module) })
	return r
}

// configure writes the file that the daemon reads at each connection.
func (r *Rsyncd) configure(module string) error {
	lines := []string{
		fmt.Sprintf("port = %d", r.port),
		"address = " + r.host,
		"log file = " + r.log,
		"lock file = " + r.dir + "/lock",
		"reverse lookup = no",
		"[" + module + "]",
		"path = " + r.content,
		"use chroot = yes",
		"uid = 0",
		"gid = 0",
		"numeric ids = yes",
		fmt.Sprintf("read only = %v", r.o.ReadOnly),
		fmt.Sprintf("max connections = %d", r.o.MaxConnections),
	}
	if r.o.User != "" {
		lines = append(lines, "auth users = "+r.o.User, "secrets file = "+r.dir+"/secrets")
	}
	return writeFile(r.dir+"/rsyncd.conf", strings.Join(lines, "\n")+"\n", 0o600)
}

func (r *Rsyncd) secret(password string) error {
	return writeFile(r.dir+"/secrets", r.o.User+":"+password+"\n", 0o600)
}

// Target is how a configuration names a directory of the module ("" for the
// module itself).
func (r *Rsyncd) Target(path string) string { return r.TargetBy(r.Addr(), path) }

// TargetBy is the same by way of another address, a relay's.
func (r *Rsyncd) TargetBy(addr, path string) string {
	user := ""
	if r.o.User != "" {
		user = r.o.User + "@"
	}
	return "rsync://" + user + addr + "/" + strings.TrimSuffix(r.o.Module+"/"+path, "/")
}

// PasswordFile makes a file in dir that holds the right password.
func (r *Rsyncd) PasswordFile(t testing.TB, dir string) string {
	t.Helper()
	path := dir + "/rsyncd.password"
	if err := writeFile(path, r.o.Password+"\n", 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// RefusePassword lets the password in no more, until restore is called.
func (r *Rsyncd) RefusePassword(t testing.TB) (restore func()) {
	t.Helper()
	if r.o.User == "" {
		t.Fatal("this rsync daemon asks for no password")
	}
	r.rewrite(t, r.secret, "not "+r.o.Password)
	return func() { t.Helper(); r.rewrite(t, r.secret, r.o.Password) }
}

// HideModule gives the module another name, until restore is called.
func (r *Rsyncd) HideModule(t testing.TB) (restore func()) {
	t.Helper()
	r.rewrite(t, r.configure, "not-"+r.o.Module)
	return func() { t.Helper(); r.rewrite(t, r.configure, r.o.Module) }
}

func (r *Rsyncd) rewrite(t testing.TB, write func(string) error, value string) {
	t.Helper()
	if err := write(value); err != nil {
		t.Fatal(err)
	}
}

//go:build hostile

package hostile

import (
	"bufio"
	"encoding/gob"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/test/churn"
)

// actVar has the test binary be another process: an act of nobody's, or a twin.
const actVar = "LOCKSTEP_HOSTILE"

// acts are what those processes do, with words.
func acts() map[string]func(words []string) error {
	return map[string]func([]string) error{"create": create, "swap": swap, "mount": mountOver, "do": do, "read": readNaively}
}

func TestMain(m *testing.M) {
	if act, ok := acts()[os.Getenv(actVar)]; ok {
		if err := act(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Geteuid() != 0 {
		os.Exit(m.Run())
	}
	remove, err := plant()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := remove(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// acting is a process that does an act, as a user.
func acting(uid uint32, act string, words ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", words...) // the binary may be where nobody can look
	cmd.Env = []string{actVar + "=" + act}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	return cmd
}

// asNobody does small things in the source, each a word and its operands, as nobody.
func (m *mirror) asNobody(steps ...string) {
	m.t.Helper()
	if err := acting(nobody, "do", append([]string{m.src}, steps...)...).Run(); err != nil {
		m.t.Fatalf("%q: %v", steps, err)
	}
}

// do makes what its steps say, below a directory.
func do(words []string) error {
	if err := os.Chdir(words[0]); err != nil {
		return err
	}
	for _, step := range words[1:] {
		f := strings.Split(step, " ")
		var err error
		switch f[0] {
		case "dir":
			err = os.MkdirAll(f[1], 0o755)
		case "write":
			err = os.WriteFile(f[1], []byte(f[2]), 0o644)
		case "append":
			var file *os.File
			if file, err = os.OpenFile(f[1], os.O_APPEND|os.O_WRONLY, 0); err == nil {
				_, err = file.WriteString(f[2])
				file.Close()
			}
		case "size":
			var size int64
			if size, err = strconv.ParseInt(f[2], 10, 64); err == nil {
				if err = os.WriteFile(f[1], nil, 0o644); err == nil {
					err = os.Truncate(f[1], size)
				}
			}
		case "mapped":
			err = writeMapped(f[1], f[2])
		case "mode":
			var mode uint64
			if mode, err = strconv.ParseUint(f[2], 8, 32); err == nil {
				err = unix.Chmod(f[1], uint32(mode))
			}
		case "link":
			err = os.Symlink(f[2], f[1])
		case "hard":
			err = os.Link(f[2], f[1])
		case "fifo":
			err = unix.Mkfifo(f[1], 0o644)
		case "socket":
			err = unix.Mknod(f[1], unix.S_IFSOCK|0o644, 0)
		case "rename":
			err = os.Rename(f[1], f[2])
		case "remove":
			err = os.RemoveAll(f[1])
		default:
			err = fmt.Errorf("no step")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", step, err)
		}
	}
	return nil
}

// writeMapped writes through a shared mapping alone, of which no event tells, and at
// last by the one call that one tells of.
func writeMapped(path, text string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	m, err := unix.Mmap(int(f.Fd()), 0, len(text), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	copy(m, text)
	if err := unix.Msync(m, unix.MS_SYNC); err != nil {
		return err
	}
	return unix.Munmap(m)
}

// made is one entry that nobody has made.
type made struct {
	Rel  string
	Kind uint32
	Text string // of a file, or of a symbolic link
}

// maker makes entries below a root.
type maker struct {
	root  string
	r     *rand.Rand
	dirs  []string
	files []string
	all   []made
}

// create makes so many entries of all kinds, and tells of each: root, seed, number, how
// many trees are too deep to be named, how deep one more is in steps of one byte.
func create(words []string) error {
	var n [4]uint64
	for i := range n {
		v, err := strconv.ParseUint(words[1+i], 10, 64)
		if err != nil {
			return err
		}
		n[i] = v
	}
	c := &maker{root: words[0], r: churn.Rand(n[0], 320), dirs: []string{""}}
	for i := range n[2] {
		if err := c.deep(fmt.Sprintf("deep%d", i), strings.Repeat("n", 120), 36); err != nil {
			return err
		}
	}
	if err := c.deep("narrow", "n", int(n[3])); err != nil {
		return err
	}
	for _, name := range churn.Names(n[0], int(n[1])-len(c.all)) {
		if err := c.one(name); err != nil {
			return fmt.Errorf("%+q: %w", name, err)
		}
	}
	return gob.NewEncoder(os.Stdout).Encode(c.all)
}

func (c *maker) one(name string) error {
	const longest = 1500 // then nothing here is too long to be named
	rel := c.dirs[c.r.IntN(len(c.dirs))] + name
	path, kind, text := c.root+"/"+rel, uint32(unix.S_IFREG), ""
	var err error
	switch p := c.r.IntN(100); {
	case p < 8:
		kind, err = unix.S_IFDIR, os.Mkdir(path, 0o755)
		if len(rel) < longest {
			c.dirs = append(c.dirs, rel+"/")
		}
	case p < 16:
		kind, text = unix.S_IFLNK, []string{churn.HostileName(c.r), "/etc/passwd", "../../..", "/proc/self/root", "."}[c.r.IntN(5)]
		err = os.Symlink(text, path)
	case p < 20:
		kind, err = unix.S_IFIFO, unix.Mkfifo(path, 0o600)
	case p < 24:
		kind, err = unix.S_IFSOCK, unix.Mknod(path, unix.S_IFSOCK|0o600, 0)
	case p < 30 && len(c.files) > 0:
		from := c.files[c.r.IntN(len(c.files))]
		var b []byte
		if b, err = os.ReadFile(c.root + "/" + from); err == nil {
			text, err = string(b), os.Link(c.root+"/"+from, path)
		}
	default:
		text = string(churn.Text(c.r, c.r.IntN(60))) + name
		err = os.WriteFile(path, []byte(text), 0o644)
		c.files = append(c.files, rel)
	}
	c.all = append(c.all, made{rel, kind, text})
	return err
}

// deep makes a chain of directories, with a file in each.
func (c *maker) deep(top, name string, levels int) error {
	fd, err := unix.Open(c.root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	rel := top
	for i := range levels {
		if err != nil {
			return err
		}
		at := fd
		step := name
		if i == 0 {
			step = top
		} else {
			rel += "/" + name
		}
		if err = unix.Mkdirat(at, step, 0o755); err != nil {
			return err
		}
		if fd, err = unix.Openat(at, step, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
			return err
		}
		_ = unix.Close(at)
		var f int
		if f, err = unix.Openat(fd, "f", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644); err == nil {
			err = unix.Close(f)
		}
		c.all = append(c.all, made{rel, unix.S_IFDIR, ""}, made{rel + "/f", unix.S_IFREG, ""})
	}
	_ = unix.Close(fd)
	return err
}

// created has nobody create, and gives what there is then.
func (m *mirror) created(seed uint64, n, deep, narrow int) []made {
	m.t.Helper()
	cmd := acting(nobody, "create", m.src, fmt.Sprint(seed), fmt.Sprint(n), fmt.Sprint(deep), fmt.Sprint(narrow))
	out, err := cmd.StdoutPipe()
	must(m.t, err)
	must(m.t, cmd.Start())
	var all []made
	err = gob.NewDecoder(bufio.NewReader(out)).Decode(&all)
	if wait := cmd.Wait(); wait != nil {
		err = wait
	}
	must(m.t, err)
	return all
}

// swapped is nobody at work, exchanging.
type swapped struct {
	cmd   *exec.Cmd
	count atomic.Int64
	done  chan struct{}
}

// swapping has nobody exchange, until stop.
func (m *mirror) swapping() *swapped {
	m.t.Helper()
	s := &swapped{cmd: acting(nobody, "swap", m.src), done: make(chan struct{})}
	out, err := s.cmd.StdoutPipe()
	must(m.t, err)
	must(m.t, s.cmd.Start())
	go func() {
		defer close(s.done)
		var b [64]byte
		for {
			n, err := out.Read(b[:])
			s.count.Add(int64(n) * perByte)
			if err == io.EOF || err != nil {
				return
			}
		}
	}()
	return s
}

// stop ends it, and gives how many exchanges there were.
func (s *swapped) stop(t *testing.T) int64 {
	t.Helper()
	_ = s.cmd.Process.Kill()
	<-s.done
	_ = s.cmd.Wait() // it was killed
	return s.count.Load()
}

// perByte is after how many exchanges the one who makes them says so.
const perByte = 64

// pair are two names of one directory that change places, over and over.
type pair struct{ dir, one, other string }

// pairs: a directory and a link that leads out, at each depth; a file and a link; a
// file and a FIFO.
func pairs() []pair {
	return []pair{{"", "a", "la"}, {"a", "b", "lb"}, {"a/b", "c", "lc"}, {"a/b/c", "d", "ld"}, {"", "r", "rl"}, {"a/b", "r", "rl"}, {"", "g", "p"}, {"a", "g", "p"}}
}

// swap exchanges as fast as it can, and writes to what is exchanged, so that there is
// always something to be copied. It holds what it works on: no link leads it away.
func swap(words []string) error {
	var dirs, files []int
	for _, p := range pairs() {
		fd, err := unix.Open(filepath.Join(words[0], p.dir), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		dirs = append(dirs, fd)
		at := filepath.Join(words[0], p.dir, p.one)
		if info, err := os.Lstat(at); err == nil && info.IsDir() {
			at += "/f"
		}
		file, err := unix.Open(at, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		files = append(files, file)
	}
	all := pairs()
	for i := 0; ; i++ {
		k := i % len(all)
		if err := unix.Renameat2(dirs[k], all[k].one, dirs[k], all[k].other, unix.RENAME_EXCHANGE); err != nil {
			return fmt.Errorf("%v: %w", all[k], err)
		}
		if i%perByte == 0 {
			if _, err := os.Stdout.Write([]byte{'.'}); err != nil {
				return err
			}
			if _, err := unix.Pwrite(files[(i/perByte)%len(files)], fmt.Appendf(nil, "own %d", i), 0); err != nil {
				return err
			}
		}
	}
}

// mountOver mounts over the tree in a mount namespace of nobody's own, writes there,
// says so, and stays until its input ends.
func mountOver(words []string) error {
	if err := unix.Mount("hostile", words[0], "tmpfs", 0, "size=1m"); err != nil {
		return err
	}
	if err := os.WriteFile(words[0]+"/other", []byte("x"), 0o644); err != nil {
		return err
	}
	fmt.Println("mounted")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func needUserNamespaces(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		testenv.Lacks(t, "no user namespace for nobody: "+err.Error())
	}
}

// readNaively is a plain reader: it looks what a name is, and opens it.
func readNaively(words []string) error {
	for {
		if info, err := os.Lstat(words[0]); err == nil && info.Mode().IsRegular() {
			_, _ = os.ReadFile(words[0]) // what it is by now
		}
	}
}

package meter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Machine is what a result depends on.
type Machine struct {
	CPU        string `json:"cpu"`
	Cores      int    `json:"cores"`
	MemoryMiB  int64  `json:"memory_mib"`
	Kernel     string `json:"kernel"`
	System     string `json:"system"`
	FileSystem string `json:"file_system"` // of the scratch trees
	Go         string `json:"go"`
}

// ThisMachine describes where scratch lies.
func ThisMachine(scratch string) Machine {
	m := Machine{Cores: runtime.NumCPU(), Go: runtime.Version(), CPU: "unknown", System: "unknown"}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.CPU = value(string(text), "model name", ":")
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		m.MemoryMiB = field(string(text), "MemTotal") >> 10
	}
	if text, err := os.ReadFile("/etc/os-release"); err == nil {
		m.System = strings.Trim(value(string(text), "PRETTY_NAME", "="), `"`)
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	m.FileSystem = fileSystem(scratch)
	return m
}

func value(text, key, sep string) string {
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(line, sep); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

func fileSystem(path string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return "unknown"
	}
	switch st.Type {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	}
	return fmt.Sprintf("type %#x", st.Type)
}

// FirstLine runs a command and returns the first line of what it says that is
// not empty.
func FirstLine(words ...string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, _ := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if s := strings.TrimSpace(line); s != "" {
			return s
		}
	}
	return "unknown"
}

// Sysctls sets kernel variables and remembers what they were.
type Sysctls struct {
	lock string // a file: whoever else changes these variables holds it too
}

// NewSysctls changes variables only while it holds the lock file: two that
// change one variable would each restore what the other one has set.
func NewSysctls(lock string) *Sysctls { return &Sysctls{lock: lock} }

// Set sets a variable until restore is called, and holds the lock until then.
func (s *Sysctls) Set(ctx context.Context, name string, value int64) (restore func() error, err error) {
	f, err := s.hold(ctx)
	if err != nil {
		return nil, err
	}
	before := Sysctl(name)
	if err := write(name, value); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error { return errors.Join(write(name, before), f.Close()) }, nil
}

// hold takes the lock; closing the file gives it back.
func (s *Sysctls) hold(ctx context.Context) (*os.File, error) {
	f, err := os.OpenFile(s.lock, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := wait(ctx, f); err != nil {
		return nil, errors.Join(fmt.Errorf("%s is held by another run: %w", s.lock, err), f.Close())
	}
	return f, nil
}

func write(name string, value int64) error {
	if err := os.WriteFile(sysctlPath(name), []byte(strconv.FormatInt(value, 10)), 0o644); err != nil {
		return fmt.Errorf("set %s to %d: %w", name, value, err)
	}
	return nil
}

func sysctlPath(name string) string {
	return filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
}

// Raise sets a variable for the whole run; the lock is held only while it
// changes.
func (s *Sysctls) Raise(ctx context.Context, name string, value int64) (restore func() error, err error) {
	before := Sysctl(name)
	once := func(ctx context.Context, value int64) error {
		f, err := s.hold(ctx)
		if err != nil {
			return err
		}
		return errors.Join(write(name, value), f.Close())
	}
	return func() error { return once(context.Background(), before) }, once(ctx, value)
}

// wait takes the lock; flock cannot be interrupted by a context.
func wait(ctx context.Context, f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Sysctl reads a numeric variable; 0 when there is none.
func Sysctl(name string) int64 {
	text, err := os.ReadFile(sysctlPath(name))
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n
}

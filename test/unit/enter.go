package unit

import (
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// Enter makes this process the unit's main process, in the order of systemd's
// own executor. It returns only when it fails.
func (p *Plan) Enter(h Host, env []string) error {
	runtime.LockOSThread() // rights, namespaces and filters are a thread's own, until it executes
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"join the groups", h.join},
		{"leave the host's mounts", func() error { return unix.Unshare(unix.CLONE_NEWNS) }},
		{"make a host", h.make},
		{"directories", p.makeDirs},
		{"keyring", p.keyring},
		{"limits", p.limits},
		{"namespaces", func() error { return unix.Unshare(int(unix.CLONE_NEWNS | p.Namespaces)) }},
		{"mounts", p.mount},
		{"working directory", func() error { unix.Umask(p.Umask); return os.Chdir("/") }},
		{"bounding set", p.bound},
		{"no_new_privs", p.noNewPrivs},
		{"filters", p.filter},
		{p.Exec[0], func() error { return unix.Exec(p.Exec[0], p.Exec, append(env, p.environment()...)) }},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

func (h Host) join() error {
	for _, procs := range h.Groups {
		if err := os.WriteFile(procs, []byte("0"), 0); err != nil {
			return err
		}
	}
	return nil
}

func (p *Plan) makeDirs() error {
	for _, d := range p.Made {
		if err := os.MkdirAll(d.Path, 0o755); err != nil {
			return err
		}
		if err := os.Chmod(d.Path, os.FileMode(d.Mode)); err != nil {
			return err
		}
	}
	return nil
}

func (p *Plan) keyring() error {
	if !p.Keyring {
		return nil
	}
	_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0) // without a name
	return err
}

func (p *Plan) limits() error {
	for _, l := range p.Tunable {
		var now unix.Rlimit
		if err := unix.Getrlimit(l.Resource, &now); err != nil {
			return err
		}
		// A container may be without CAP_SYS_RESOURCE: then a lower limit stays.
		value := l.Value
		if held, err := cap.GetProc().GetFlag(cap.Effective, cap.SYS_RESOURCE); err != nil || !held {
			value = min(value, now.Max)
		}
		if err := unix.Setrlimit(l.Resource, &unix.Rlimit{Cur: value, Max: value}); err != nil {
			return fmt.Errorf("resource %d: %w", l.Resource, err)
		}
	}
	return nil
}

func (p *Plan) bound() error {
	kept := map[cap.Value]bool{}
	for _, c := range p.Caps {
		kept[c] = true
	}
	for c := range cap.MaxBits() {
		if !kept[c] {
			// Raw: libcap's own call changes all threads.
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil {
				return fmt.Errorf("%v: %w", c, err)
			}
		}
	}
	return nil
}

func (p *Plan) noNewPrivs() error {
	if !p.NoNewPrivs {
		return nil
	}
	return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}

// filter installs the list of what is allowed last: it may lack what installing
// takes.
func (p *Plan) filter() error {
	for _, allow := range []bool{false, true} {
		for _, f := range p.Filters {
			if f.Allow != allow {
				continue
			}
			if err := f.load(); err != nil {
				return err
			}
		}
	}
	return nil
}

// environment is what systemd tells the process.
func (p *Plan) environment() []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "LANG=C.UTF-8"}
	if p.Watchdog > 0 {
		env = append(env, "WATCHDOG_USEC="+strconv.FormatInt(p.Watchdog.Microseconds(), 10), "WATCHDOG_PID="+strconv.Itoa(os.Getpid()))
	}
	return env
}

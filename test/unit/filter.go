package unit

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	seccomp "github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"
)

// Filter is one filter of system calls. systemd installs one for each setting,
// and so does this.
type Filter struct {
	Allow bool // what no rule names is refused; else it is allowed
	Rules []Rule
}

// Rule is about one call: what it answers, and for which arguments.
type Rule struct {
	Call string
	Err  unix.Errno // 0: it is allowed
	If   []seccomp.ScmpCondition
}

// group are the calls of one of systemd's groups, nil when there is none.
func group(name string) []string {
	if !strings.HasPrefix(name, "@") {
		return []string{name}
	}
	out, err := exec.Command("systemd-analyze", "--no-pager", "syscall-filter", name).Output()
	if err != nil {
		return nil
	}
	var all []string
	for line := range strings.Lines(string(out)) {
		if word := strings.TrimSpace(line); strings.HasPrefix(line, " ") && !strings.HasPrefix(word, "#") {
			all = append(all, group(word)...)
		}
	}
	return all
}

// calls is SystemCallFilter=, as a list of what is allowed.
func calls(p *Plan, v []string) error {
	allowed := group("@default") // by systemd.exec(5)
	if len(v) == 0 || strings.HasPrefix(v[0], "~") {
		return errors.New("only a list of what is allowed is known here")
	}
	for _, line := range v {
		words, denied := strings.CutPrefix(line, "~")
		for _, word := range strings.Fields(words) {
			names := group(word)
			if len(names) == 0 {
				return fmt.Errorf("%s: there is no such group", word)
			}
			if _, err := seccomp.GetSyscallFromName(names[0]); err != nil && word == names[0] {
				return fmt.Errorf("%s: %w", word, err)
			}
			if denied {
				allowed = slices.DeleteFunc(allowed, func(name string) bool { return slices.Contains(names, name) })
			} else {
				allowed = append(allowed, names...)
			}
		}
	}
	slices.Sort(allowed)
	f := Filter{Allow: true}
	for _, name := range slices.Compact(allowed) {
		f.Rules = append(f.Rules, Rule{Call: name})
	}
	p.Filters = append(p.Filters, f)
	return nil
}

// refuse adds a filter that answers EPERM to calls.
func (p *Plan) refuse(names ...string) {
	var f Filter
	for _, name := range names {
		f.Rules = append(f.Rules, Rule{Call: name, Err: unix.EPERM})
	}
	p.Filters = append(p.Filters, f)
}

// families is RestrictAddressFamilies=, as a list of what is allowed.
func families(p *Plan, v []string) error {
	known := map[string]uint64{"AF_UNIX": unix.AF_UNIX, "AF_INET": unix.AF_INET, "AF_INET6": unix.AF_INET6, "AF_NETLINK": unix.AF_NETLINK}
	var allowed []uint64
	for _, word := range strings.Fields(strings.Join(v, " ")) {
		n, ok := known[word]
		if !ok {
			return fmt.Errorf("%s is not known here", word)
		}
		allowed = append(allowed, n)
	}
	var f Filter
	refuse := func(op seccomp.ScmpCompareOp, family uint64) {
		f.Rules = append(f.Rules, Rule{"socket", unix.EAFNOSUPPORT, []seccomp.ScmpCondition{{Argument: 0, Op: op, Operand1: family}}})
	}
	const most = 45 // AF_MCTP
	for family := range uint64(most + 1) {
		if !slices.Contains(allowed, family) {
			refuse(seccomp.CompareEqual, family)
		}
	}
	refuse(seccomp.CompareGreater, most)
	p.Filters = append(p.Filters, f)
	return nil
}

// masked is a condition on some bits of an argument.
func masked(argument uint, mask, value uint64) []seccomp.ScmpCondition {
	return []seccomp.ScmpCondition{{Argument: argument, Op: seccomp.CompareMaskedEqual, Operand1: mask, Operand2: value}}
}

// namespaces is RestrictNamespaces=, as a list of what is allowed. The flags of
// clone3 are in memory, where no filter sees them: it is not there at all.
func namespaces(p *Plan, v []string) error {
	flags := map[string]uint64{"mnt": unix.CLONE_NEWNS, "pid": unix.CLONE_NEWPID, "net": unix.CLONE_NEWNET, "ipc": unix.CLONE_NEWIPC,
		"uts": unix.CLONE_NEWUTS, "cgroup": unix.CLONE_NEWCGROUP, "user": unix.CLONE_NEWUSER}
	allowed := strings.Fields(strings.Join(v, " "))
	for _, word := range allowed {
		if flags[word] == 0 {
			return fmt.Errorf("%s is not known here", word)
		}
	}
	f := Filter{Rules: []Rule{
		{Call: "clone3", Err: unix.ENOSYS},
		{"setns", unix.EPERM, []seccomp.ScmpCondition{{Argument: 1, Op: seccomp.CompareEqual}}},
	}}
	for word, flag := range flags {
		if slices.Contains(allowed, word) {
			continue
		}
		f.Rules = append(f.Rules, Rule{"clone", unix.EPERM, masked(0, flag, flag)}, Rule{"unshare", unix.EPERM, masked(0, flag, flag)},
			Rule{"setns", unix.EPERM, masked(1, flag, flag)})
	}
	p.Filters = append(p.Filters, f)
	return nil
}

// lockPersonality leaves the one that is in force, the usual one.
func (p *Plan) lockPersonality() {
	p.Filters = append(p.Filters, Filter{Rules: []Rule{{"personality", unix.EPERM, []seccomp.ScmpCondition{{Argument: 0, Op: seccomp.CompareNotEqual}}}}})
}

// noExecMemory is MemoryDenyWriteExecute=.
func (p *Plan) noExecMemory() {
	const shmExec = 0o100000
	both := uint64(unix.PROT_WRITE | unix.PROT_EXEC)
	p.Filters = append(p.Filters, Filter{Rules: []Rule{
		{"mmap", unix.EPERM, masked(2, both, both)},
		{"mprotect", unix.EPERM, masked(2, unix.PROT_EXEC, unix.PROT_EXEC)},
		{"pkey_mprotect", unix.EPERM, masked(2, unix.PROT_EXEC, unix.PROT_EXEC)},
		{"shmat", unix.EPERM, masked(2, shmExec, shmExec)},
	}})
}

// noRealtime is RestrictRealtime=: of the policies the ordinary ones remain.
func (p *Plan) noRealtime() {
	const idle = 5
	var f Filter
	for _, policy := range []uint64{unix.SCHED_FIFO, unix.SCHED_RR, unix.SCHED_DEADLINE} {
		f.Rules = append(f.Rules, Rule{"sched_setscheduler", unix.EPERM, []seccomp.ScmpCondition{{Argument: 1, Op: seccomp.CompareEqual, Operand1: policy}}})
	}
	f.Rules = append(f.Rules, Rule{"sched_setscheduler", unix.EPERM, []seccomp.ScmpCondition{{Argument: 1, Op: seccomp.CompareGreater, Operand1: idle}}})
	p.Filters = append(p.Filters, f)
}

// noSetID is RestrictSUIDSGID=. The mode that openat2 is given is in memory, where
// no filter sees it: it is not there at all.
func (p *Plan) noSetID() {
	f := Filter{Rules: []Rule{{Call: "openat2", Err: unix.ENOSYS}}}
	for call, argument := range map[string]uint{"chmod": 1, "fchmod": 1, "fchmodat": 2, "fchmodat2": 2, "mkdir": 1, "mkdirat": 2, "mknod": 1, "mknodat": 2, "creat": 1} {
		for _, bit := range []uint64{unix.S_ISUID, unix.S_ISGID} {
			f.Rules = append(f.Rules, Rule{call, unix.EPERM, masked(argument, bit, bit)})
		}
	}
	p.Filters = append(p.Filters, f)
}

// load installs the filter on this thread; the native architecture is the only
// one that it lets do anything.
func (f Filter) load() error {
	usual := seccomp.ActAllow
	if f.Allow {
		usual = seccomp.ActErrno.SetReturnCode(int16(unix.EPERM))
	}
	filter, err := seccomp.NewFilter(usual)
	if err != nil {
		return err
	}
	defer filter.Release()
	if err := filter.SetBadArchAction(seccomp.ActKillProcess); err != nil {
		return err
	}
	for _, r := range f.Rules {
		call, err := seccomp.GetSyscallFromName(r.Call)
		if err != nil {
			continue // of another architecture, or too new for libseccomp: so does systemd
		}
		action := seccomp.ActAllow
		if r.Err != 0 {
			action = seccomp.ActErrno.SetReturnCode(int16(r.Err))
		}
		if len(r.If) == 0 {
			err = filter.AddRule(call, action)
		} else {
			err = filter.AddRuleConditional(call, action, r.If)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", r.Call, err)
		}
	}
	return filter.Load()
}

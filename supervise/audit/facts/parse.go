package facts

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Status is what the kernel says of one thread.
type Status struct {
	UIDs, GIDs [4]uint64 // real, effective, saved, of the file system
	Groups     []uint64
	Caps       map[string]uint64 // by the names of Sets
	NoNewPrivs bool
	Seccomp    uint64 // mode; 2: filters
	Filters    uint64
	Tracer     uint64
}

// Sets are the names of the sets of capabilities.
func Sets() []string { return []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} }

// ParseStatus parses /proc/PID/status (proc_pid_status(5)). A line that is missing
// is an error: it would say the best. (The name is the one line that is the
// process's own; the kernel escapes it.)
func ParseStatus(text []byte) (s Status, err error) {
	lines := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, ok := strings.Cut(line, ":")
		if ok && lines[key] == "" { // the name comes first and is no key
			lines[key] = strings.TrimSpace(value)
		}
	}
	number := func(key string, base int) uint64 {
		n, e := strconv.ParseUint(lines[key], base, 64)
		if e != nil && err == nil {
			err = fmt.Errorf("no number in the line %q: %q", key, lines[key])
		}
		return n
	}
	s.Caps = map[string]uint64{}
	for _, set := range Sets() {
		s.Caps[set] = number(set, 16)
	}
	s.NoNewPrivs = number("NoNewPrivs", 10) == 1
	s.Seccomp = number("Seccomp", 10)
	s.Filters = number("Seccomp_filters", 10)
	s.Tracer = number("TracerPid", 10)
	if err != nil {
		return s, err
	}
	for key, ids := range map[string]*[4]uint64{"Uid": &s.UIDs, "Gid": &s.GIDs} {
		words, e := numbers(lines[key])
		if e != nil || len(words) != len(ids) {
			return s, fmt.Errorf("the line %q has not four ids: %q", key, lines[key])
		}
		copy(ids[:], words)
	}
	if _, ok := lines["Groups"]; !ok {
		return s, fmt.Errorf("no line %q", "Groups")
	}
	s.Groups, err = numbers(lines["Groups"])
	return s, err
}

func numbers(text string) ([]uint64, error) {
	var all []uint64
	for word := range strings.FieldsSeq(text) {
		n, err := strconv.ParseUint(word, 10, 64)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}

// stat parses /proc/PID/stat. The name in parentheses may hold anything.
func (p *Process) stat(text []byte) error {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return fmt.Errorf("stat: %d bytes without a name", len(text))
	}
	p.Name = string(text[open+1 : end])
	f := strings.Fields(string(text[end+1:]))
	if len(f) < 20 {
		return fmt.Errorf("stat: %d fields", len(f))
	}
	if f[0] == "Z" || f[0] == "X" {
		return ErrGone
	}
	var err error
	if p.PPID, err = strconv.Atoi(f[1]); err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	if p.Start, err = strconv.ParseUint(f[19], 10, 64); err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	return nil
}

// ParseGroups parses /proc/PID/cgroup (cgroups(7)). A path may hold a colon.
func ParseGroups(text []byte) ([]Group, error) {
	var all []Group
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) != 3 {
			return nil, fmt.Errorf("cgroup: %q has no three fields", line)
		}
		all = append(all, Group{Controllers: f[1], Path: f[2]})
	}
	return all, nil
}

// ParseLimits parses /proc/PID/limits: a name with blanks, then two numbers (or
// unlimited) and a unit, in columns.
func ParseLimits(text []byte) (map[string]Limit, error) {
	all := map[string]Limit{}
	for number, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		if number == 0 {
			continue // titles
		}
		const name, soft, hard = 26, 47, 68
		if len(line) < soft {
			return nil, fmt.Errorf("limits: %q is too short", line)
		}
		one := Limit{Soft: strings.TrimSpace(line[name:soft]), Hard: strings.TrimSpace(line[soft:min(hard, len(line))])}
		if one.Soft == "" || one.Hard == "" {
			return nil, fmt.Errorf("limits: %q has no two numbers", line)
		}
		all[strings.TrimSpace(line[:name])] = one
	}
	return all, nil
}

// Words are strings that end with a zero byte each.
func Words(text []byte) []string {
	text = bytes.TrimSuffix(text, []byte{0})
	if len(text) == 0 {
		return nil
	}
	return strings.Split(string(text), "\x00")
}

// Kind is what a descriptor is open on, without what tells two of a kind apart. The
// kernel's own words never begin with a slash; what does is a name, but for
// memory files.
func Kind(to string) string {
	switch {
	case strings.HasPrefix(to, "/memfd:"):
		return "memfd"
	case strings.HasPrefix(to, "/"):
		return to
	}
	if rest, ok := strings.CutPrefix(to, "anon_inode:"); ok {
		return strings.Trim(rest, "[]")
	}
	kind, _, _ := strings.Cut(to, ":")
	return kind
}

// Package mountinfo reads the mount table of a process.
//
// Trust: linked into the supervisor. Mount points and sources may be anybody's
// words (a user namespace can mount); the table's form is the kernel's.
//
// Invariant: a line that is not understood is an error, because a mount that
// is overlooked could be emptied on the target.
package mountinfo

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Mount is one line of /proc/self/mountinfo (proc_pid_mountinfo(5)).
type Mount struct {
	ID      int
	Parent  int
	Dev     string   // major:minor of the superblock
	Root    string   // the directory of the file system that is shown
	Point   string   // where it is shown
	Flags   []string // of the mount itself: ro, nosuid and the like
	Type    string
	Source  string
	Options []string // of the superblock; of a v1 cgroup hierarchy, its controllers
}

// Read reads the caller's mount table.
func Read() ([]Mount, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("the mount table cannot be read: %w", err)
	}
	return Parse(data)
}

// Parse parses a mount table.
func Parse(data []byte) ([]Mount, error) {
	var list []Mount
	for number, line := range bytes.Split(data, []byte{'\n'}) {
		if len(line) == 0 {
			continue
		}
		one, err := parse(string(line))
		if err != nil {
			return nil, fmt.Errorf("mount table, line %d: %w", number+1, err)
		}
		list = append(list, one)
	}
	return list, nil
}

// parse reads: id parent major:minor root point options [tags…] - type source superoptions.
// The source may be empty, and then there are two blanks in a row.
func parse(line string) (Mount, error) {
	f := strings.Split(line, " ")
	dash := slices.Index(f, "-")
	if dash < 6 || len(f) < dash+3 {
		return Mount{}, fmt.Errorf("%q has too few fields", line)
	}
	id, err := strconv.Atoi(f[0])
	if err != nil {
		return Mount{}, fmt.Errorf("%q is no mount id", f[0])
	}
	parent, err := strconv.Atoi(f[1])
	if err != nil {
		return Mount{}, fmt.Errorf("%q is no mount id", f[1])
	}
	one := Mount{ID: id, Parent: parent, Dev: f[2], Root: unescape(f[3]), Point: unescape(f[4]), Flags: strings.Split(f[5], ","),
		Type: unescape(f[dash+1]), Source: unescape(f[dash+2])}
	if len(f) > dash+3 {
		one.Options = strings.Split(f[dash+3], ",")
	}
	// A point that no path reaches ends with seq_path's word for that.
	if point := strings.TrimSuffix(one.Point, "//deleted"); !strings.HasPrefix(point+"/", "/") || strings.Contains(point, "//") || len(point) > 1 && strings.HasSuffix(point, "/") {
		return Mount{}, fmt.Errorf("%q is no absolute path as the kernel writes one", one.Point)
	}
	return one, nil
}

// unescape undoes the kernel's mangle_path: blank, tab, newline, backslash and
// # are written as \ooo.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

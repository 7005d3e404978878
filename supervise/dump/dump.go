// Package dump writes where a service stands into files, for a person who looks for
// a fault.
//
// Trust: linked into the supervisor, which is root. The directory is the runtime
// directory, which it has locked and root alone can write; no client names a place.
// What is written is numbers, words of the supervisor's and what root wrote: the
// paths of a queue are hostile, and are in no dump.
//
// Invariants: each dump is a directory of its own; Kept of them are kept, the newest.
package dump

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"lockstep/supervise/picture"
)

const (
	// Kept is how many dumps stay, so that who may ask for them cannot fill the
	// file system.
	Kept = 8

	prefix = "dump-"
	layout = "20060102-150405"
)

// Write writes a dump below dir, and returns where.
func Write(dir string, now time.Time, s picture.Status) (path string, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", fmt.Errorf("dump: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	before, err := dumps(root)
	if err != nil {
		return "", fmt.Errorf("dump: %w", err)
	}
	name, err := fresh(root, before, now)
	if err != nil {
		return "", fmt.Errorf("dump: %w", err)
	}
	if err := fill(root, name, s); err != nil {
		return "", errors.Join(fmt.Errorf("dump: %w", err), root.RemoveAll(name))
	}
	for len(before) >= Kept {
		err = errors.Join(err, root.RemoveAll(before[0]))
		before = before[1:]
	}
	return filepath.Join(dir, name), err
}

// dumps are those that there are, in the order in which they were made.
func dumps(root *os.Root) ([]string, error) {
	all, err := fs.ReadDir(root.FS(), ".")
	var names []string
	for _, e := range all {
		if strings.HasPrefix(e.Name(), prefix) && e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// fresh makes a directory behind all before.
func fresh(root *os.Root, before []string, now time.Time) (string, error) {
	base := prefix + now.UTC().Format(layout)
	n := 0
	if len(before) > 0 {
		if digits, same := strings.CutPrefix(before[len(before)-1], base+"-"); same {
			last, err := strconv.Atoi(digits)
			if err != nil {
				return "", err
			}
			n = last + 1
		}
	}
	for ; ; n++ {
		name := fmt.Sprintf("%s-%04d", base, n)
		err := root.Mkdir(name, 0o750)
		if err == nil || !errors.Is(err, fs.ErrExist) || n > 9999 {
			return name, err
		}
	}
}

// fill writes the files, in clsync's places as far as they have any sense here:
// instance, queue and threads; each sync has a directory, and each target a file.
func fill(root *os.Root, name string, s picture.Status) error {
	var all strings.Builder
	fmt.Fprintf(&all, "version\t%s\nbuild\t%s\npid\t%d\n", picture.Running().Version, picture.Running().Build, os.Getpid())
	for _, one := range s.Syncs {
		fmt.Fprintf(&all, "sync\t%s\t%s\n", one.Name, one.State)
	}
	if err := root.WriteFile(name+"/instance", []byte(all.String()), 0o640); err != nil {
		return err
	}
	for _, one := range s.Syncs {
		dir := name + "/" + one.Name
		for _, d := range []string{dir, dir + "/queue", dir + "/threads"} {
			if err := root.Mkdir(d, 0o750); err != nil {
				return err
			}
		}
		text := fmt.Sprintf("status == %s\nwhy\t%s\n%s", one.State, one.Why, lines(one.Numbers, nil))
		if err := root.WriteFile(dir+"/instance", []byte(text), 0o640); err != nil {
			return err
		}
		for i, t := range one.Targets {
			head := fmt.Sprintf("target\t%s\nstatus == %s\nwhy\t%s\n", t.Target, t.State, t.Why)
			for part, names := range map[string][]string{"queue": queued(), "threads": threads()} {
				if err := root.WriteFile(dir+"/"+part+"/"+strconv.Itoa(i+1), []byte(head+lines(t.Numbers, names)), 0o640); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// queued are the numbers about what waits for a target.
func queued() []string { return []string{"queue", "big", "doubt", "too_long", "synced", "last_sync"} }

// threads are those about its commands.
func threads() []string {
	return []string{"in_flight", "jobs", "failed", "attempts", "fault", "last_code", "last_end", "initials", "held", "held_deletes", "held_entries", "list_done"}
}

// lines are numbers, one a line: those of names, or all.
func lines(numbers map[string]uint64, names []string) string {
	if names == nil {
		names = slices.Sorted(maps.Keys(numbers))
	}
	var b strings.Builder
	for _, n := range names {
		fmt.Fprintf(&b, "%s\t%d\n", n, numbers[n])
	}
	return b.String()
}

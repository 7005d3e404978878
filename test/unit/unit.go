// Package unit reads the unit files of dist/systemd, and starts a program under
// what they say: it does to a process what systemd would, so that lockstep can be
// run under its own unit where no systemd runs.
//
// Trust: tests only; it shares no code with the product.
//
// Invariants: a setting that is not known here, or a value of it, is an error:
// nothing of a unit is left out in silence.
package unit

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Setting is one assignment of a unit file.
type Setting struct {
	Section, Key, Value string
}

// Parse reads a unit and its drop-ins, in this order, as those of an instance.
func Parse(instance string, files ...string) ([]Setting, error) {
	var all []Setting
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		section := ""
		for n, line := range strings.Split(string(data), "\n") {
			line = strings.TrimSpace(line)
			key, value, ok := strings.Cut(line, "=")
			switch {
			case line == "" || line[0] == '#' || line[0] == ';':
			case line[0] == '[' && line[len(line)-1] == ']':
				section = line[1 : len(line)-1]
			case !ok || section == "" || strings.HasSuffix(line, "\\"):
				return nil, fmt.Errorf("%s:%d: %q is not read here", file, n+1, line)
			default:
				value, err := expand(strings.TrimSpace(value), instance)
				if err != nil {
					return nil, fmt.Errorf("%s:%d: %w", file, n+1, err)
				}
				all = append(all, Setting{section, strings.TrimSpace(key), value})
			}
		}
	}
	return all, nil
}

// expand replaces the one specifier that is used, the instance's name.
func expand(value, instance string) (string, error) {
	value = strings.ReplaceAll(value, "%i", instance)
	if strings.Contains(value, "%") {
		return "", fmt.Errorf("%q: a specifier that is not known here", value)
	}
	return value, nil
}

// Values are those of a key of [Service]; an empty one takes back what was
// before it.
func Values(all []Setting, key string) []string {
	var values []string
	for _, s := range all {
		switch {
		case s.Section != "Service" || s.Key != key:
		case s.Value == "":
			values = nil
		default:
			values = append(values, s.Value)
		}
	}
	return values
}

// keys are those of [Service], each once, in the order of the file.
func keys(all []Setting) []string {
	var names []string
	for _, s := range all {
		if s.Section == "Service" && !slices.Contains(names, s.Key) {
			names = append(names, s.Key)
		}
	}
	return names
}

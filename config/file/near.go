package file

import (
	"slices"
	"strings"

	"lockstep/config/keys"
	"lockstep/internal/nearest"
)

// group lists the keys below a name: retry.initial and retry.max below retry.
func group(name string) []string {
	var out []string
	for _, k := range keys.Table() {
		if strings.HasPrefix(k.Name, name+".") {
			out = append(out, k.Name)
		}
	}
	return out
}

// example writes a group of keys with their defaults.
func example(name string) string {
	var parts []string
	for _, full := range group(name) {
		k, _ := keys.Lookup(full)
		parts = append(parts, full[len(name)+1:]+" = "+Literal(k))
	}
	return name + " = { " + strings.Join(parts, ", ") + " }"
}

// Literal is how the default of a key is written in a file.
func Literal(k keys.Key) string {
	switch {
	case k.List:
		return "[]"
	case k.Switch():
		return "false"
	case k.Number:
		return k.Default
	case k.Default == "":
		return `"…"`
	}
	return `"` + k.Default + `"`
}

func groups() []string {
	var out []string
	for _, k := range keys.Table() {
		if first, _, grouped := strings.Cut(k.Name, "."); grouped && !slices.Contains(out, first) {
			out = append(out, first)
		}
	}
	return out
}

// near is the candidate that may have been meant, or "".
func near(name string, candidates []string) string {
	name = strings.ReplaceAll(name, "-", "_")
	best, least := "", 3
	for _, c := range candidates {
		for _, form := range []string{c, strings.ReplaceAll(c, ".", "_"), c[strings.LastIndexByte(c, '.')+1:]} {
			limit := min(2, len(form)/3)
			if d := nearest.Distance(name, form); d <= limit && d < least {
				best, least = c, d
			}
		}
	}
	return best
}

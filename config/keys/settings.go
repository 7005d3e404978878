package keys

import (
	"slices"
	"strconv"

	"lockstep/config"
)

// Setting is the value of one key, as it would be written.
type Setting struct {
	Name   string
	Values []string
}

// Settings are the values of the keys of a scope, for a person and for JSON: of all
// but those by which a sync is known.
func Settings(cfg config.Config, scope Scope) ([]Setting, map[string]any) {
	var list []Setting
	values := map[string]any{}
	for _, k := range Table() {
		if k.Scope != scope || k.Name == "source" || k.Name == "targets" || k.Name == "name" {
			continue
		}
		v := k.Values(cfg)
		list = append(list, Setting{k.Name, v})
		values[k.Name] = typed(k, v)
	}
	return list, values
}

// typed is a value in JSON's types.
func typed(k Key, v []string) any {
	switch {
	case k.List:
		return append([]string{}, slices.Clone(v)...)
	case len(v) == 0:
		return nil
	case k.Switch():
		return v[0] == "true"
	case k.Number:
		if n, err := strconv.ParseUint(v[0], 10, 64); err == nil {
			return n
		}
	}
	return v[0]
}

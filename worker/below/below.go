// Package below has what a directory's end or another place of it does to what is
// known by path.
//
// Trust: part of the worker, untrusted. Pure.
// Imports: the standard library only.
package below

import "strings"

// Within says whether path is dir or below it. (It is asked for each of many: it
// makes no string.)
func Within(path, dir string) bool {
	return len(path) >= len(dir) && path[:len(dir)] == dir && (len(path) == len(dir) || path[len(dir)] == '/')
}

// Covers says whether a path, or a directory above it ("" is above all), is among
// those of a map. What it takes depends on the path, and not on how many there are.
func Covers[T any](m map[string]T, rel string) bool {
	for rel != "" {
		if _, there := m[rel]; there {
			return true
		}
		rel = rel[:max(strings.LastIndexByte(rel, '/'), 0)]
	}
	_, there := m[""]
	return there
}

// Cut removes a path and all below it.
func Cut[T any](m map[string]T, rel string) {
	for at := range m {
		if Within(at, rel) {
			delete(m, at)
		}
	}
}

// Move gives a path and all below it another place, and returns it.
func Move[T any](m map[string]T, from, to string) (places []string) {
	moved := map[string]T{}
	for at, v := range m {
		if Within(at, from) {
			moved[to+at[len(from):]] = v
			delete(m, at)
		}
	}
	for at, v := range moved {
		m[at] = v
		places = append(places, at)
	}
	return places
}

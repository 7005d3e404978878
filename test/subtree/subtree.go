// Package subtree has what a change of a directory does to a map by path, for
// tests that follow what is told of a tree.
//
// Trust: linked into tests only. It shares no code with the product, so that a
// mistake of the product (worker/below) cannot hide itself here.
//
// Invariant: "" is the root, and every path is below it.
package subtree

import "strings"

// Has says whether path is dir or below it.
func Has(dir, path string) bool {
	return dir == "" || path == dir || strings.HasPrefix(path, dir+"/")
}

// Any says whether path is one of the keys or below one.
func Any[T any](m map[string]T, path string) bool {
	for dir := range m {
		if Has(dir, path) {
			return true
		}
	}
	return false
}

// Cut removes dir and what is below it.
func Cut[T any](m map[string]T, dir string) {
	for path := range m {
		if Has(dir, path) {
			delete(m, path)
		}
	}
}

// Move gives from and what is below it the place to.
func Move[T any](m map[string]T, from, to string) {
	moved := map[string]T{}
	for path, v := range m {
		if Has(from, path) {
			moved[to+path[len(from):]] = v
			delete(m, path)
		}
	}
	for path, v := range moved {
		m[path] = v
	}
}

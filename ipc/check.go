package ipc

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

var (
	errRel   = errors.New("not a path below a root")
	errEntry = errors.New("not an entry of a list")
)

// CheckRel refuses what is not a Rel: 1 to MaxRel bytes, no NUL, no slash at
// either end, no empty, "." or ".." component.
func CheckRel(s string) error {
	if len(s) > MaxRel || !components(s) {
		return errRel
	}
	return nil
}

// checkName tells whether s is one component, of at most 255 bytes.
func checkName(s string) bool {
	return len(s) <= maxName && components(s) && strings.IndexByte(s, '/') < 0
}

func components[T string | []byte](s T) bool {
	start := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] == 0 {
			return false
		}
		if i < len(s) && s[i] != '/' {
			continue
		}
		switch string(s[start:i]) {
		case "", ".", "..":
			return false
		}
		start = i + 1
	}
	return true
}

// CheckList refuses what is not a list of JobList and JobAttr: entries that end
// with NUL, each "./" and a Rel, or "." for the root itself. The prefix keeps
// rsync from taking an entry for a comment; refusing "." and ".." components
// keeps it from moving the entry on the target.
func CheckList(b []byte) error {
	return entries(b, func(e []byte) bool {
		rel, ok := bytes.CutPrefix(e, []byte("./"))
		return string(e) == "." || ok && len(rel) <= MaxRel && components(rel)
	})
}

// CheckRules refuses what is not the rules of JobInitial and JobPrune: entries
// that end with NUL, each "- /", "H /" or "+ /", a path below the root, perhaps
// with escapes, and perhaps "/", "/*", "/**" or "/***"; or "- *".
func CheckRules(b []byte) error {
	return entries(b, func(e []byte) bool {
		if string(e) == "- *" {
			return true
		}
		if len(e) < 3 || len(e) > 2*MaxRel+8 {
			return false
		}
		// The suffixes with stars pass for components.
		kind, path := string(e[:3]), bytes.TrimSuffix(e[3:], []byte("/"))
		return (kind == "- /" || kind == "H /" || kind == "+ /") && components(path)
	})
}

func entries(b []byte, valid func([]byte) bool) error {
	if len(b) > MaxList {
		return fmt.Errorf("list of %d bytes: at most %d are allowed", len(b), MaxList)
	}
	for len(b) > 0 {
		n := bytes.IndexByte(b, 0)
		if n < 0 || !valid(b[:n]) {
			return fmt.Errorf("%w: %.64q", errEntry, b[:max(n, 0)])
		}
		b = b[n+1:]
	}
	return nil
}

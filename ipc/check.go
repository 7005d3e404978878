package ipc

import (
	"bytes"
	"fmt"
	"strings"
)

// IsRel tells whether s is a Rel: 1 to MaxRel bytes, no NUL, no slash at either
// end, no empty, "." or ".." component.
func IsRel(s string) bool { return len(s) <= MaxRel && components(s) }

// isName tells whether s is one component, of at most 255 bytes.
func isName(s string) bool {
	return len(s) <= maxName && components(s) && strings.IndexByte(s, '/') < 0
}

func components(s string) bool {
	for c := range strings.SplitSeq(s, "/") {
		if c == "" || c == "." || c == ".." || strings.IndexByte(c, 0) >= 0 {
			return false
		}
	}
	return true
}

// CheckList refuses what is not a list of JobList and JobAttr: entries that end
// with NUL, each "./" and a Rel, or "." for the root itself. The prefix keeps
// rsync from taking an entry for a comment; refusing "." and ".." components
// keeps it from moving the entry on the target.
func CheckList(b []byte) error {
	return entries(b, func(e string) bool {
		rel, ok := strings.CutPrefix(e, "./")
		return e == "." || ok && IsRel(rel)
	})
}

// CheckRules refuses what is not the rules of JobInitial, JobPrune and JobContent: entries
// that end with NUL, each "- /", "H /" or "+ /", a path below the root, perhaps
// with escapes, and perhaps "/", "/*", "/**" or "/***"; or "- *".
func CheckRules(b []byte) error {
	return entries(b, func(e string) bool {
		if e == "- *" {
			return true
		}
		if len(e) < 3 || len(e) > 2*MaxRel+8 {
			return false
		}
		// The suffixes with stars pass for components.
		kind, path := e[:3], strings.TrimSuffix(e[3:], "/")
		return (kind == "- /" || kind == "H /" || kind == "+ /") && components(path)
	})
}

func entries(b []byte, valid func(string) bool) error {
	if len(b) > MaxList {
		return fmt.Errorf("list of %d bytes: at most %d are allowed", len(b), MaxList)
	}
	for len(b) > 0 {
		n := bytes.IndexByte(b, 0)
		if n < 0 || !valid(string(b[:n])) {
			return fmt.Errorf("not an entry of a list: %.64q", b[:max(n, 0)])
		}
		b = b[n+1:]
	}
	return nil
}

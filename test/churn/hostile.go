package churn

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// hostileParts are what names are made of besides random bytes: what shells,
// rsync's options, lists and rules, terminals and decoders could take as
// something else than a name.
func hostileParts() []string {
	return []string{
		"-", "--", "-e sh", "-e", "--rsh=x", "--delete", "--files-from=x", "--rsync-path=sh", "#", "#x", ";", ";x", "*", "**", "?", "[", "]", "[!a]", "[a-z]",
		"\\", "\\\\", "\\n", "\\#012", "\n", "\r", "\r\n", "\t", " ", "  ", "\x1b[31m", "\x1b]0;t\a", "\x1b[2J", "\x9b31m", "\x07", "\x7f", "\x01",
		"\u202e", "\u2066", "\u200b", "\ufeff", "\xff", "\xc3", "\xc3\x28", "\xed\xa0\x80", "\xf8\x88\x80\x80\x80", "é", "e\u0301", "日本",
		"host:x", "user@host:y", "rsync:", "host::mod", ".", "..", "...", ".x", "~", "~root", "$HOME", "${IFS}", "`id`", "$(id)", "%s%n", "%00", "'", "\"", "!", "&", "|", "<", ">", "{}", "{a,b}", "=",
		"+ x", "- x", "- *", "+ /", ":- .rsync-filter", ".rsync-filter", ". x", "P x", "R x", "!", "H x", "merge x", "exclude x", "_", ",", "con", ".~tmp~",
	}
}

// HostileName makes one name: never empty, "." or "..", at most 255 bytes,
// every byte but slash and NUL possible.
func HostileName(r *rand.Rand) string {
	parts := hostileParts()
	var b strings.Builder
	switch r.IntN(6) {
	case 0: // one part alone
		b.WriteString(parts[r.IntN(len(parts))])
	case 1, 2: // several
		for range 2 + r.IntN(4) {
			b.WriteString(parts[r.IntN(len(parts))])
		}
	case 3: // random bytes
		for range 1 + r.IntN(40) {
			b.WriteByte(anyByte(r))
		}
	case 4: // as long as a name can be
		b.WriteString(parts[r.IntN(len(parts))])
		for b.Len() < 255 {
			b.WriteByte(anyByte(r))
		}
	default: // trailing and leading blanks and dots
		b.WriteString([]string{" ", "-", ".", "\n", "#"}[r.IntN(5)])
		b.WriteString(parts[r.IntN(len(parts))])
		b.WriteString([]string{" ", "  ", "\n", ".", "\\", "/"[:0]}[r.IntN(6)])
	}
	name := strings.ReplaceAll(b.String(), "/", "|")
	if len(name) > 255 {
		name = name[:255]
	}
	if name == "." || name == ".." {
		name += "x"
	}
	return name
}

func anyByte(r *rand.Rand) byte {
	for {
		if c := byte(r.IntN(256)); c != 0 && c != '/' {
			return c
		}
	}
}

// Hostile makes n entries with hostile names in a few directories, which have
// hostile names themselves, and returns the paths below root of those that are
// no directory. Kinds: files, symbolic links, FIFOs, hard links.
func Hostile(root string, seed uint64, n int) ([]string, error) {
	r := Rand(seed, 300)
	dirs := []string{"."}
	var made []string
	for len(made) < n {
		rel := filepath.Join(dirs[r.IntN(len(dirs))], HostileName(r))
		path := filepath.Join(root, rel)
		if _, err := os.Lstat(path); err == nil {
			continue
		}
		if len(dirs) < 1+n/40 && r.IntN(10) == 0 && len(rel) < 2500 {
			if err := os.Mkdir(path, 0o755); err != nil {
				return nil, fmt.Errorf("%q: %w", rel, err)
			}
			dirs = append(dirs, rel)
			continue
		}
		if err := hostileOne(root, path, made, r); err != nil {
			return nil, fmt.Errorf("%q: %w", rel, err)
		}
		made = append(made, rel)
	}
	return made, nil
}

func hostileOne(root, path string, made []string, r *rand.Rand) error {
	switch p := r.IntN(20); {
	case p == 0:
		return os.Symlink(HostileName(r), path)
	case p == 1:
		return unix.Mkfifo(path, 0o600)
	case p == 2 && len(made) > 0:
		return os.Link(filepath.Join(root, made[r.IntN(len(made))]), path)
	default:
		return os.WriteFile(path, Text(r, r.IntN(40)), 0o644)
	}
}

// Package macro takes apart texts with %names% in them.
//
// Trust: pure; texts are of whoever configures the daemon. Names of files never
// come here.
// Imports: the standard library alone.
//
// Invariant: a text is cut once, from left to right; what a name stands for is
// not looked at again.
package macro

import "strings"

// Piece is a part of a text: a name between percent signs, or what stands as it
// is.
type Piece struct {
	Name string
	Text string // when Name is empty: any percent sign in it means itself
}

// Cut takes a text apart. %% is a percent sign; so is one that no name and second
// percent sign follow.
func Cut(text string) []Piece {
	var out []Piece
	var plain strings.Builder
	for text != "" {
		before, rest, found := strings.Cut(text, "%")
		plain.WriteString(before)
		if !found {
			break
		}
		name, after, closed := strings.Cut(rest, "%")
		switch {
		case closed && name == "":
			plain.WriteByte('%')
			text = after
		case closed && isName(name):
			if plain.Len() > 0 {
				out = append(out, Piece{Text: plain.String()})
				plain.Reset()
			}
			out = append(out, Piece{Name: name})
			text = after
		default:
			plain.WriteByte('%')
			text = rest
		}
	}
	if plain.Len() > 0 {
		out = append(out, Piece{Text: plain.String()})
	}
	return out
}

// isName takes letters, digits, dashes and underscores after a letter.
func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c != '-' && c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != ""
}

// Quote writes a text so that Cut returns it as it is.
func Quote(text string) string { return strings.ReplaceAll(text, "%", "%%") }

// RunTime lists the names that get their values whenever a handler is called.
func RunTime() []string {
	return []string{"INCLUDE-LIST", "INCLUDE-LIST-PATH", "EXCLUDE-LIST-PATH", "EVENT-MASK", "TYPE", "RSYNC-ARGS"}
}

// PID is the name of the daemon's process id.
const PID = "PID"

// Package nearest finds the name that somebody may have meant.
//
// Trust: pure; used where what a person wrote is checked.
//
// Invariant: what is proposed is one of the candidates.
package nearest

// Of is the candidate that may have been meant, or "".
func Of(name string, candidates []string) string {
	best, least := "", 4
	for _, c := range candidates {
		if d := Distance(name, c); d <= min(3, (len(c)+1)/3) && d < least {
			best, least = c, d
		}
	}
	return best
}

// Ask is a question that follows a message: "; did you mean NAME?", or nothing.
func Ask(name string) string {
	if name == "" {
		return ""
	}
	return "; did you mean " + name + "?"
}

// Distance counts the bytes that have to be changed, added or removed. Of what
// is longer than any name it is only said that it is far.
func Distance(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return longest
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

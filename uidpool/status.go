package uidpool

import (
	"strconv"
	"strings"
)

// uids reads the four of the line "Uid:" of /proc/PID/status (proc(5)).
func uids(status []byte) []int {
	for line := range strings.Lines(string(status)) {
		rest, ok := strings.CutPrefix(line, "Uid:")
		if !ok {
			continue
		}
		var out []int
		for word := range strings.FieldsSeq(rest) {
			if uid, err := strconv.Atoi(word); err == nil {
				out = append(out, uid)
			}
		}
		return out
	}
	return nil
}

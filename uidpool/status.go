package uidpool

import (
	"errors"
	"strconv"
	"strings"
)

// hasUID looks for uid among the four of the line "Uid:" of /proc/PID/status
// (proc_pid_status(5)).
func hasUID(status []byte, uid int) (bool, error) {
	for line := range strings.Lines(string(status)) {
		rest, ok := strings.CutPrefix(line, "Uid:")
		if !ok {
			continue
		}
		for word := range strings.FieldsSeq(rest) {
			n, err := strconv.ParseUint(word, 10, 32)
			if err != nil {
				return false, err
			}
			if n == uint64(uid) {
				return true, nil
			}
		}
		return false, nil
	}
	return false, errors.New("uid registry: a process status has no uids")
}

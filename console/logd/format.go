package logd

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"strings"
	"unicode/utf8"

	"lockstep/console"
)

// ident is what a daemon calls us.
const ident = "lockstep"

// facility is daemon, of syslog(3).
const facility = 3

// maxText is how much of a record there is in a message: a name of 4,096 bytes, all
// of them escaped, and what is said about it.
const maxText = 24 << 10

// severity is that of syslog(3).
func severity(l slog.Level) int {
	switch {
	case l >= slog.LevelError:
		return 3
	case l >= slog.LevelWarn:
		return 4
	case l >= slog.LevelInfo:
		return 6
	}
	return 7
}

// syslogPacket is a message as syslog(3) writes it to the local socket: the form of
// RFC 3164 without a host. (RFC 5424 is for the network; not all daemons read it
// there.)
func syslogPacket(r console.Record, pid int) []byte {
	return fmt.Appendf(nil, "<%d>%s %s[%d]: %s", facility<<3|severity(r.Level), r.Time.Local().Format("Jan _2 15:04:05"), ident, pid, cut(r.Text))
}

// journalPacket is a message in the journal's own protocol: fields, each a line.
func journalPacket(r console.Record, pid int) []byte {
	out := appendField(nil, "MESSAGE", cut(r.Text))
	out = appendField(out, "PRIORITY", fmt.Sprint(severity(r.Level)))
	out = appendField(out, "SYSLOG_FACILITY", fmt.Sprint(facility))
	out = appendField(out, "SYSLOG_IDENTIFIER", ident)
	out = appendField(out, "SYSLOG_PID", fmt.Sprint(pid))
	for _, f := range r.Fields {
		out = appendField(out, fieldName(f.Key), cut(f.Value))
	}
	return out
}

// appendField adds a field; one with a newline has its length before it.
func appendField(out []byte, name, value string) []byte {
	out = append(out, name...)
	if !strings.Contains(value, "\n") {
		return append(append(append(out, '='), value...), '\n')
	}
	out = binary.LittleEndian.AppendUint64(append(out, '\n'), uint64(len(value)))
	return append(append(out, value...), '\n')
}

// fieldName is one that the journal takes, and that nobody else gives.
func fieldName(key string) string {
	name := strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z':
			return c - 'a' + 'A'
		case c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
			return c
		}
		return '_'
	}, key)
	return "LOCKSTEP_" + name[:min(len(name), 50)]
}

// cut keeps a message within what a daemon takes.
func cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	end := maxText
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + " […cut]"
}

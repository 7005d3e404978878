package output

import (
	"encoding/base64"
	"unicode"
	"unicode/utf8"
)

// AppendName adds a member to an object: a name that is not UTF-8 as base64 of its bytes.
func AppendName(b []byte, key, name string) []byte {
	b = append(append(b, '"'), key...)
	if !utf8.ValidString(name) {
		b = append(b, `_b64":"`...)
		return append(base64.StdEncoding.AppendEncode(b, []byte(name)), '"')
	}
	return append(appendQuoted(append(b, `":"`...), name), '"')
}

// appendQuoted writes valid UTF-8 as the inside of a JSON string in which each
// character is printable: no terminal obeys it.
func appendQuoted(b []byte, s string) []byte {
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case unicode.IsPrint(r):
			b = utf8.AppendRune(b, r)
		case r > 0xffff:
			r -= 0x10000
			b = appendHex(appendHex(b, 0xd800+r>>10), 0xdc00+r&0x3ff)
		default:
			b = appendHex(b, r)
		}
	}
	return b
}

func appendHex(b []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	return append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// Package octet makes bytes into characters for matchers that work with runes,
// and names the character classes of POSIX.
//
// Trust: a leaf of rules, linked where it is. Names are hostile.
// Imports: none.
//
// Invariant: one byte is one character, and no two bytes are the same one, so a
// name that is not UTF-8 is a name like any other.
package octet

// Widen turns each byte from 0x80 on into the rune of that number. A matcher of
// runes takes all invalid bytes for the same one, so that "\xff" would match
// "\xfe"; git and the C locale match bytes.
func Widen(s string) string {
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			n++
		}
	}
	if n == 0 {
		return s
	}
	b := make([]byte, 0, len(s)+n)
	for i := 0; i < len(s); i++ {
		b = AppendWide(b, s[i])
	}
	return string(b)
}

// AppendWide appends one byte as Widen writes it.
func AppendWide(b []byte, c byte) []byte {
	if c < 0x80 {
		return append(b, c)
	}
	return append(b, 0xc0|c>>6, 0x80|c&0x3f)
}

// Class returns the test of a POSIX character class in the C locale, by its
// name without the colons.
func Class(name string) (func(byte) bool, bool) {
	between := func(lo, hi byte) func(byte) bool {
		return func(c byte) bool { return lo <= c && c <= hi }
	}
	switch name {
	case "alnum":
		return IsAlnum, true
	case "alpha":
		return func(c byte) bool { return IsAlnum(c) && c > '9' }, true
	case "blank":
		return func(c byte) bool { return c == ' ' || c == '\t' }, true
	case "cntrl":
		return func(c byte) bool { return c < 0x20 || c == 0x7f }, true
	case "digit":
		return between('0', '9'), true
	case "graph":
		return between(0x21, 0x7e), true
	case "lower":
		return between('a', 'z'), true
	case "print":
		return between(0x20, 0x7e), true
	case "punct":
		return func(c byte) bool { return c > 0x20 && c < 0x7f && !IsAlnum(c) }, true
	case "space":
		return func(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }, true
	case "upper":
		return between('A', 'Z'), true
	case "xdigit":
		return func(c byte) bool { return IsAlnum(c) && (c <= '9' || c|0x20 <= 'f') }, true
	}
	return nil, false
}

// IsAlnum says whether c is a letter or a digit of ASCII.
func IsAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' && c < 0x80
}

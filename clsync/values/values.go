// Package values reads the values of clsync's options.
//
// Trust: pure; it reads what whoever configures the daemon wrote.
// Imports: the table of options.
//
// Invariant: a text that is not understood is a Fault, which says why and what to
// write instead.
package values

import (
	"errors"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"lockstep/clsync/table"
	"lockstep/internal/escape"
	"lockstep/internal/nearest"
)

// Fault is why a value cannot be, and what could.
type Fault struct{ Reason, Advice string }

func (f Fault) Error() string { return f.Reason }

// Word reads a text that is free, or one of some words.
func Word(o table.Option, text string) (string, error) {
	if strings.Contains(text, "\x00") {
		return "", Fault{"holds a NUL byte", "take it out"}
	}
	if o.Type != table.Choice {
		return text, nil
	}
	if text == "" {
		return o.Default, nil
	}
	for _, w := range strings.Split(o.Words, "|") {
		if name, means, other := strings.Cut(w, "="); text == name {
			if other {
				return means, nil
			}
			return name, nil
		}
	}
	return "", Fault{quote(text) + " is unknown", "write " + oneOf(o.Words, text)}
}

func quote(text string) string { return `"` + escape.Name(text) + `"` }

func oneOf(words, text string) string {
	var list []string
	for _, w := range strings.Split(words, "|") {
		if !strings.Contains(w, "=") {
			list = append(list, w)
		}
	}
	if len(list) == 1 {
		return list[0]
	}
	const most = 16
	if len(list) > most {
		return "one of its " + strconv.Itoa(len(list)) + " words" + nearest.Ask(nearest.Of(text, list))
	}
	return strings.Join(list[:len(list)-1], ", ") + " or " + list[len(list)-1]
}

// List reads paths or words with commas between them.
func List(o table.Option, text string) ([]string, error) {
	var out []string
	for _, one := range strings.Split(text, ",") {
		switch {
		case o.Type == table.Paths && one == "":
			out = nil
		case o.Type == table.Paths:
			out = append(out, one)
		default:
			w, err := Word(table.Option{Type: table.Choice, Words: o.Words}, strings.TrimPrefix(strings.Trim(one, Blanks), prefix(o)))
			if err != nil {
				return nil, err
			}
			if w == "*" { // all but the number of names
				out = slices.DeleteFunc(strings.Split(o.Words, "|"), func(s string) bool { return s == "*" || s == "nlink" })
			} else if w != "" && !slices.Contains(out, w) {
				out = append(out, w)
			}
		}
	}
	return out, nil
}

func prefix(o table.Option) string {
	if o.Name == "preserve-capabilities" {
		return "CAP_"
	}
	return ""
}

// Blanks are what strtol(3) skips.
const Blanks = " \t\n\v\f\r"

const adviseNumber = "write a number such as 0, 1 or 30"

// Number reads as strtol(3) does with base 0; nothing is 0.
func Number(text string) (int64, error) {
	s := strings.Trim(text, Blanks)
	if s == "" {
		return 0, nil
	}
	sign, digits := "", s
	if s[0] == '-' || s[0] == '+' {
		sign, digits = s[:1], s[1:]
	}
	base := 10
	switch {
	case strings.HasPrefix(digits, "0x"), strings.HasPrefix(digits, "0X"):
		base, digits = 16, digits[2:]
	case len(digits) > 1 && digits[0] == '0':
		base, digits = 8, digits[1:]
	}
	if strings.ContainsAny(digits, "+-_") {
		digits = ""
	}
	n, err := strconv.ParseInt(sign+digits, base, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, Fault{quote(text) + " is too large", "write a smaller number"}
	case err != nil && base == 8:
		return 0, Fault{quote(text) + " is not a number: with a leading 0 it is octal", "write it without the leading 0"}
	case err != nil:
		return 0, Fault{quote(text) + " is not a number", adviseNumber}
	}
	return n, nil
}

// Natural is a number that is not negative. clsync takes others, and has no use
// for them.
func Natural(text string) (int, error) {
	n, err := Number(text)
	if err == nil && n < 0 {
		err = Fault{quote(text) + " is negative", adviseNumber}
	}
	if err == nil && n > math.MaxInt {
		err = Fault{quote(text) + " is too large", "write a smaller number"}
	}
	if err != nil {
		return 0, err
	}
	return int(n), nil
}

// Octal reads the mode of a file.
func Octal(text string) (uint32, error) {
	s := strings.Trim(text, Blanks)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || n > 0o7777 {
		return 0, Fault{quote(text) + " is no mode of a file", "write octal digits such as 660"}
	}
	return uint32(n), nil
}

// Seconds reads a number, or a decimal fraction.
func Seconds(text string) (time.Duration, error) {
	const most = int64(math.MaxInt64 / time.Second)
	n, err := Number(text)
	whole, part, fraction := strings.Cut(strings.Trim(text, Blanks), ".")
	if fraction {
		n, err = decimal(text, whole, part)
		if err != nil {
			return 0, err
		}
		return time.Duration(n), nil
	}
	switch {
	case err != nil:
		return 0, err
	case n < 0:
		return 0, Fault{quote(text) + " is negative", adviseNumber}
	case n > most:
		return 0, Fault{quote(text) + " is too large", "write a smaller number"}
	}
	return time.Duration(n) * time.Second, nil
}

// decimal reads 1.5 as nanoseconds.
func decimal(text, whole, part string) (int64, error) {
	bad := Fault{quote(text) + " is not a number", "write seconds such as 30 or 0.5"}
	if strings.Trim(whole+part, "0123456789") != "" || part == "" || whole == "" || len(whole) > 1 && whole[0] == '0' {
		return 0, bad
	}
	part = (part + "000000000")[:9]
	n, err := strconv.ParseInt(whole+part, 10, 64)
	if err != nil {
		return 0, Fault{quote(text) + " is too large", "write a smaller number"}
	}
	return n, nil
}

// Codes reads exit codes; 0 forgets those before.
func Codes(text string) ([]int, error) {
	var out []int
	for _, one := range strings.Split(text, ",") {
		if one == "" {
			continue
		}
		n, err := strconv.Atoi(one)
		if err != nil || n < 0 || n > 255 || strings.Trim(one, "0123456789") != "" {
			return nil, Fault{quote(one) + " is no exit code", "write numbers up to 255 with commas and no blanks: 23,24"}
		}
		if n == 0 {
			out = nil
		} else if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out, nil
}

// The signals that have numbers, and those of them that nobody can hear.
const (
	maxSignal = 64
	sigKill   = 9
	sigStop   = 19
)

// Signals reads number:block; 0 forgets those before.
func Signals(text string) (map[int]string, error) {
	out := map[int]string{}
	for _, one := range strings.Split(text, ",") {
		digits, block, colon := strings.Cut(one, ":")
		n, err := strconv.Atoi(digits)
		switch {
		case one == "":
		case digits == "0":
			clear(out)
		case err != nil || n < 1 || n > maxSignal:
			return nil, Fault{quote(one) + " has no number of a signal", "write a number from 1 to " + strconv.Itoa(maxSignal) + ", a colon and a block: 28:normal"}
		case !colon || block == "":
			return nil, Fault{quote(one) + " names no block", "write a number, a colon and a block: 28:normal"}
		case n == sigKill || n == sigStop:
			return nil, Fault{"no process hears signal " + digits, "choose another one, such as 28"}
		case out[n] != "" && out[n] != block:
			return nil, Fault{"signal " + digits + " has two blocks", "name one, and let it inherit the other"}
		default:
			out[n] = block
		}
	}
	return out, nil
}

// Absolute begins a relative path in a directory. It leaves ".." and links as they are: only the kernel knows where they
// lead.
func Absolute(dir, text string) string {
	if !path.IsAbs(text) {
		for strings.HasPrefix(text, "./") {
			text = strings.TrimLeft(text[2:], "/")
		}
		if text == "." || text == "" {
			return dir
		}
		text = strings.TrimRight(dir, "/") + "/" + text
	}
	if trimmed := strings.TrimRight(text, "/"); trimmed != "" {
		return trimmed
	}
	return "/"
}

// Remote says whether a destination is on another host, for clsync a text with
// :// in it, or one with a colon after an @.
func Remote(text string) bool {
	_, after, at := strings.Cut(text, "@")
	return strings.Contains(text, "://") || at && strings.Contains(after, ":")
}

// Digits says whether a text is digits and nothing else.
func Digits(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }

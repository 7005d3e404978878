package values

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"lockstep/clsync/table"
)

// As strtol(3) does, but for what no option means.
func TestNumber(t *testing.T) {
	for text, want := range map[string]int64{
		"": 0, " ": 0, "0": 0, "00": 0, "7": 7, "-7": -7, "+7": 7, " \t7\n ": 7, "010": 8, "-010": -8, "0x1F": 31, "0Xff": 255, "+0x1": 1,
		"9223372036854775807": math.MaxInt64, "-9223372036854775808": math.MinInt64, "0777777777777777777777": math.MaxInt64,
	} {
		if got, err := Number(text); err != nil || got != want {
			t.Errorf("%q: %d %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"x", "1x", "1 2", "--1", "+-1", "- 1", "08", "0x", "0xg", "0x-1", "0b1", "0o7", "1_0", "1.0", "1e3", "9223372036854775808", "\x00", "\u0661"} {
		var f Fault
		if got, err := Number(text); !errors.As(err, &f) || f.Advice == "" || got != 0 {
			t.Errorf("%q: %d %v", text, got, err)
		}
	}
}

func TestAbsolute(t *testing.T) {
	for text, want := range map[string]string{
		"/": "/", "//": "/", "/a/": "/a", "a": "/d/a", "./a//": "/d/a", ".": "/d", "./": "/d", "././/a": "/d/a", "..": "/d/..", "a/../b": "/d/a/../b", ".a": "/d/.a",
	} {
		if got := Absolute("/d", text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := Absolute("/", "a"); got != "/a" {
		t.Error(got)
	}
}

func TestRemote(t *testing.T) {
	for text, want := range map[string]bool{"/a": false, "h:/a": false, "u@h:/a": true, "rsync://h/m": true, "a@b": false, "a:b@c": false, "": false} {
		if Remote(text) != want {
			t.Errorf("%q: want %v", text, want)
		}
	}
}

// No text makes a value that is out of bounds, and each refusal says what to do.
func FuzzValues(f *testing.F) {
	for _, s := range []string{"", "1.5", "010", "0x1f", "1:a,0,2:b", "23,24,", "uid,*", "CAP_KILL", "/a,,b", "-1", "99999999999.9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err1 := Natural(text)
		d, err2 := Seconds(text)
		m, err3 := Octal(text)
		c, err4 := Codes(text)
		s, err5 := Signals(text)
		var errs []error
		for _, name := range []string{"modification-signature", "add-permitted-hook-files", "preserve-capabilities"} {
			o, _ := table.Lookup(name)
			list, err := List(o, text)
			errs = append(errs, err)
			for _, w := range list {
				if w == "" || strings.Contains(w, ",") || o.Type == table.Choices && !strings.Contains("|"+o.Words+"|", "|"+w+"|") {
					t.Errorf("%s: %q became %q", name, text, list)
				}
			}
		}
		for _, err := range append(errs, err1, err2, err3, err4, err5) {
			var f Fault
			if err != nil && (!errors.As(err, &f) || f.Reason == "" || f.Advice == "") {
				t.Errorf("%q: %v", text, err)
			}
		}
		if n < 0 || d < 0 || m > 0o7777 || err1 == nil && err2 == nil && time.Duration(n)*time.Second != d {
			t.Errorf("%q: %d %v %o", text, n, d, m)
		}
		for _, one := range c {
			if one < 1 || one > 255 {
				t.Errorf("%q: %v", text, c)
			}
		}
		for number, block := range s {
			if number < 1 || number > 64 || number == 9 || number == 19 || block == "" {
				t.Errorf("%q: %v", text, s)
			}
		}
	})
}

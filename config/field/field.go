// Package field has what reads and writes the value of one key: where it is kept
// in a configuration, and which values it takes.
//
// Trust: linked into the supervisor, which is root; its input is what root
// wrote. Pure.
package field

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"lockstep/config"
)

// Field is the place of a key's value in a configuration.
type Field struct {
	Read  func(c *config.Config, value string) error
	Write func(c *config.Config) []string // as it would be read; of a list, each
}

// Bool is true or false.
func Bool(at func(*config.Config) *bool) Field {
	return Field{func(c *config.Config, v string) error {
		b, err := strconv.ParseBool(v)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", v)
		}
		*at(c) = b
		return nil
	}, func(c *config.Config) []string { return []string{strconv.FormatBool(*at(c))} }}
}

// Duration is a duration between two, both included.
func Duration(low, high time.Duration, at func(*config.Config) *time.Duration) Field {
	return Field{func(c *config.Config, v string) error {
		d, err := time.ParseDuration(v)
		if err != nil {
			return fmt.Errorf("%q is not a duration", v)
		}
		if d < low || d > high {
			return fmt.Errorf("%s is not between %s and %s", FormatDuration(d), FormatDuration(low), FormatDuration(high))
		}
		*at(c) = d
		return nil
	}, writeDuration(at)}
}

// Longest is the Longest interval at which something is done again.
const Longest = 366 * 24 * time.Hour

// OrNever is an interval for which "0" may be written: never, or as is usual.
func OrNever(least, most time.Duration, at func(*config.Config) *time.Duration) Field {
	read := func(c *config.Config, v string) error {
		if v == "0" {
			*at(c) = 0
			return nil
		}
		return Duration(least, most, at).Read(c, v)
	}
	return Field{read, writeDuration(at)}
}

// Size is a number of bytes, as ParseSize reads it.
func Size(at func(*config.Config) *uint64) Field {
	return Field{func(c *config.Config, v string) error {
		n, err := ParseSize(v)
		if err != nil {
			return err
		}
		*at(c) = n
		return nil
	}, func(c *config.Config) []string { return []string{FormatSize(*at(c))} }}
}

// Absolute is an absolute path.
func Absolute(at func(*config.Config) *string) Field {
	return Field{func(c *config.Config, v string) error {
		if err := config.CheckPath(v); err != nil {
			return err
		}
		if v[0] != '/' {
			return fmt.Errorf("%q is not an absolute path", v)
		}
		*at(c) = v
		return nil
	}, writeText(at)}
}

// Number is a number between two, both included.
func Number(low, high uint32, at func(*config.Config) *uint32) Field {
	return Field{func(c *config.Config, v string) error {
		n, err := strconv.ParseUint(v, 10, 32)
		if err != nil || uint32(n) < low || uint32(n) > high {
			return fmt.Errorf("%q is not a number from %d to %d", v, low, high)
		}
		*at(c) = uint32(n)
		return nil
	}, func(c *config.Config) []string { return []string{fmt.Sprint(*at(c))} }}
}

// User is the name of a user that is neither root nor nobody.
func User(at func(*config.Config) *string) Field {
	return Field{func(c *config.Config, v string) error {
		if v == "root" || v == "nobody" || !config.IsUser(v) {
			return fmt.Errorf("%q cannot be the user of a confined process", v)
		}
		*at(c) = v
		return nil
	}, writeText(at)}
}

// Text is a text that is written as it was read.
func Text(read func(*config.Config, string) error, at func(*config.Config) *string) Field {
	return Field{read, writeText(at)}
}

// List is a list of such.
func List(read func(*config.Config, string) error, at func(*config.Config) *[]string) Field {
	return Field{read, func(c *config.Config) []string { return *at(c) }}
}

func writeText(at func(*config.Config) *string) func(*config.Config) []string {
	return func(c *config.Config) []string {
		if *at(c) == "" {
			return nil
		}
		return []string{*at(c)}
	}
}

func writeDuration(at func(*config.Config) *time.Duration) func(*config.Config) []string {
	return func(c *config.Config) []string { return []string{FormatDuration(*at(c))} }
}

// WriteTargets writes the targets.
func WriteTargets(c *config.Config) []string {
	var out []string
	for _, t := range c.Targets {
		if t.Kind != config.None {
			out = append(out, t.String())
		}
	}
	return out
}

// WriteRules leaves out what a file has.
func WriteRules(c *config.Config) []string {
	if c.RulesFile != "" {
		return nil
	}
	return c.Rules
}

// WriteLogFormat writes the form of log lines.
func WriteLogFormat(c *config.Config) []string {
	if c.JSON {
		return []string{"json"}
	}
	return []string{"text"}
}

// WriteLogLevel writes what is logged at least.
func WriteLogLevel(c *config.Config) []string { return []string{strings.ToLower(c.LogLevel.String())} }

// FormatDuration writes a duration as a person would: 24h, not 24h0m0s.
func FormatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	if d == 0 {
		return "0"
	}
	return s
}

// FormatSize writes a number of bytes in the largest unit that holds it exactly.
func FormatSize(n uint64) string {
	units := []string{"", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; n > 0 && n%1024 == 0 && i < len(units)-1; i++ {
		n /= 1024
	}
	return strconv.FormatUint(n, 10) + units[i]
}

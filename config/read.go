package config

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// Limits of lists, so that no message of the boundary grows beyond a packet.
const (
	maxExcludes = 1000
	maxPattern  = 4096
	maxPath     = 4095 // PATH_MAX without its NUL
)

// ParseSize reads a number of bytes: 0, 512, 64KiB, 128MiB, 1GiB, 2TiB.
func ParseSize(v string) (uint64, error) {
	digits := strings.TrimRight(v, "KMGTiB")
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a size", v)
	}
	var unit uint64
	switch v[len(digits):] {
	case "", "B":
		unit = 1
	case "KiB":
		unit = 1 << 10
	case "MiB":
		unit = 1 << 20
	case "GiB":
		unit = 1 << 30
	case "TiB":
		unit = 1 << 40
	default:
		return 0, fmt.Errorf("%q has an unknown unit", v)
	}
	high, low := bits.Mul64(n, unit)
	if high != 0 || low > 1<<62 {
		return 0, fmt.Errorf("%q is too large", v)
	}
	return low, nil
}

// checkPath refuses what no path can be. (A path itself is checked by Resolve.)
func checkPath(v string) error {
	switch {
	case v == "":
		return errors.New("is empty")
	case strings.IndexByte(v, 0) >= 0:
		return errors.New("has a NUL byte")
	case len(v) > maxPath:
		return fmt.Errorf("is longer than %d bytes", maxPath)
	}
	return nil
}

func readSource(c *Config, v string) error {
	if err := checkPath(v); err != nil {
		return err
	}
	c.Source = v
	return nil
}

func readTarget(c *Config, v string) error {
	if err := checkPath(v); err != nil {
		return err
	}
	if c.Target != "" {
		return errors.New("only one target in this version")
	}
	if strings.HasPrefix(v, "rsync://") || remote(v) {
		return fmt.Errorf("%q is a remote target, which this version does not have; a local path with a colon is written ./%s", v, v)
	}
	c.Target = v
	return nil
}

// remote says whether rsync would read v as HOST:PATH: a colon before the
// first slash (rsync(1), GENERAL).
func remote(v string) bool {
	colon := strings.IndexByte(v, ':')
	slash := strings.IndexByte(v, '/')
	return colon > 0 && (slash < 0 || colon < slash)
}

func readExclude(c *Config, v string) error {
	switch {
	case strings.TrimSpace(v) == "":
		return errors.New("an empty pattern matches nothing; leave it out")
	case strings.HasPrefix(v, "#"):
		return fmt.Errorf("%q is a comment in gitignore syntax; write \\%s to mean the name", v, v)
	case strings.ContainsAny(v, "\x00\n"):
		return errors.New("a pattern cannot hold a newline or NUL; use ? in its place")
	case len(v) > maxPattern:
		return fmt.Errorf("a pattern may have %d bytes", maxPattern)
	case len(c.Exclude) >= maxExcludes:
		return fmt.Errorf("more than %d patterns", maxExcludes)
	}
	c.Exclude = append(c.Exclude, v)
	return nil
}

func readMonitor(c *Config, v string) error {
	switch v {
	case "auto", "inotify":
		c.Monitor = v
		return nil
	case "fanotify", "poll", "dnotify":
		return fmt.Errorf("%q is not in this version", v)
	}
	return fmt.Errorf("%q is unknown", v)
}

func readXattrs(c *Config, v string) error {
	switch v {
	case "user":
		c.Xattrs = XattrsUser
	case "all":
		c.Xattrs = XattrsAll
	case "none":
		c.Xattrs = XattrsNone
	default:
		return fmt.Errorf("%q is unknown", v)
	}
	return nil
}

func readPercent(c *Config, v string) error {
	n, err := strconv.ParseUint(v, 10, 32)
	if err != nil || n > 100 {
		return fmt.Errorf("%q is not a percentage", v)
	}
	c.MaxDeletePercent = uint32(n)
	return nil
}

func readEntries(c *Config, v string) error {
	n, err := strconv.ParseUint(v, 10, 62)
	if err != nil {
		return fmt.Errorf("%q is not a number", v)
	}
	c.MaxDeleteEntries = n
	return nil
}

func readUser(c *Config, v string) error {
	if v == "" || v == "root" || v == "nobody" || strings.ContainsAny(v, ":/\n\x00") {
		return fmt.Errorf("%q cannot be the worker's user", v)
	}
	c.User = v
	return nil
}

func readLogFormat(c *Config, v string) error {
	switch v {
	case "text", "json":
		c.JSON = v == "json"
		return nil
	}
	return fmt.Errorf("%q is unknown", v)
}

func readAllowMissing(c *Config, v string) error {
	for _, one := range strings.Split(v, ",") {
		if !slices.Contains(Features(), one) {
			return fmt.Errorf("%q is not a feature that may be missing", one)
		}
		if !slices.Contains(c.AllowMissing, one) {
			c.AllowMissing = append(c.AllowMissing, one)
		}
	}
	return nil
}

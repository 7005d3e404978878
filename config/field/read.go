package field

import (
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"lockstep/config"
	"lockstep/config/choose"
	"lockstep/rules"
	"lockstep/rules/ordered"
)

// Features are the names that allow_missing takes: what the kernel may lack.
// Mounts and seccomp are never among them.
func Features() []string {
	return []string{"landlock", "cgroup-kill", "cgroup-devices", "cgroup-memory", "cgroup-pids"}
}

// Limits of lists, so that no message of the boundary grows beyond a packet.
const (
	maxExcludes = 1000
	maxPattern  = 4096
)

// MaxTargets is the most that one sync has.
const MaxTargets = 64

// ParseSize reads a number of bytes: 0, 512, 64KiB, 128MiB, 1GiB, 2TiB.
func ParseSize(v string) (uint64, error) {
	digits := strings.TrimRight(v, "KMGTiB")
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a size", v)
	}
	shift, known := map[string]uint{"": 0, "B": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}[v[len(digits):]]
	if !known {
		return 0, fmt.Errorf("%q has an unknown unit", v)
	}
	high, low := bits.Mul64(n, 1<<shift)
	if high != 0 || low > 1<<62 {
		return 0, fmt.Errorf("%q is too large", v)
	}
	return low, nil
}

// ReadSource takes a directory.
func ReadSource(c *config.Config, v string) error {
	if err := config.CheckPath(v); err != nil {
		return err
	}
	c.Source = v
	return nil
}

// ReadTarget takes one more target.
func ReadTarget(c *config.Config, v string) error {
	t, err := config.ParseTarget(v)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(c.Targets, func(o config.Target) bool { return o.String() == t.String() }) {
		return config.Problem{Reason: fmt.Sprintf("%q is named twice", v), Advice: "name it once"}
	}
	if len(c.Targets) >= MaxTargets {
		return fmt.Errorf("more than %d targets", MaxTargets)
	}
	c.Targets = append(c.Targets, t)
	return nil
}

// ReadName takes what can be part of a file's name, and be no option.
func ReadName(c *config.Config, v string) error {
	if len(v) > config.MaxName || !config.Only(v, "._-") || strings.Trim(v[:min(1, len(v))], "._-") == "" {
		return fmt.Errorf("%q cannot be a name", v)
	}
	c.Name = v
	return nil
}

// ReadExclude takes one more pattern.
func ReadExclude(c *config.Config, v string) error {
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
	if _, err := rules.New([]string{v}); err != nil {
		return err
	}
	c.Exclude = append(c.Exclude, v)
	return nil
}

// ReadRule takes one more rule.
func ReadRule(c *config.Config, v string) error {
	switch {
	case strings.ContainsAny(v, "\x00\n"):
		return errors.New("a rule is one line, and no name has a NUL in it; write . in its place")
	case len(c.Rules) >= ordered.MaxRules:
		return fmt.Errorf("more than %d rules", ordered.MaxRules)
	}
	set, err := ordered.Parse("", []byte(v))
	var faults ordered.Faults
	switch {
	case errors.As(err, &faults):
		return fmt.Errorf("%q: %s", v, faults[0].Reason)
	case err != nil:
		return err
	case set.Len() == 0:
		return errors.New("an empty line or a comment says nothing; leave it out")
	}
	c.Rules = append(c.Rules, v)
	return nil
}

// ReadMonitor takes a monitor.
func ReadMonitor(c *config.Config, v string) error {
	if choose.Known(v) {
		c.Monitor = v
		return nil
	}
	return fmt.Errorf("%q is unknown", v)
}

// ReadMonitorRule takes one more rule for the choice of a monitor.
func ReadMonitorRule(c *config.Config, v string) error {
	if _, err := choose.ParseRule(v); err != nil {
		return err
	}
	c.MonitorRules = append(c.MonitorRules, v)
	return nil
}

// choice takes one of the words of a key.
func choice[T any](to *T, v string, words map[string]T) error {
	value, ok := words[v]
	if !ok {
		return fmt.Errorf("%q is unknown", v)
	}
	*to = value
	return nil
}

// ReadXattrs takes which attributes are kept.
func ReadXattrs(c *config.Config, v string) error {
	return choice(&c.Xattrs, v, map[string]config.Xattrs{"user": config.XattrsUser, "all": config.XattrsAll, "none": config.XattrsNone})
}

// ReadFirstPass takes what a start begins with.
func ReadFirstPass(c *config.Config, v string) error {
	return choice(&c.FirstPass, v, map[string]config.FirstPass{"whole": config.FirstWhole, "skip": config.FirstSkip})
}

// ReadDelete takes when to delete.
func ReadDelete(c *config.Config, v string) error {
	return choice(&c.Delete, v, map[string]config.Delete{"always": config.DeleteAlways, "start": config.DeleteStart, "never": config.DeleteNever})
}

// ReadSSHPort takes a port.
func ReadSSHPort(c *config.Config, v string) error {
	port, err := config.ParsePort(v)
	if err != nil {
		return err
	}
	c.SSH.Port = port
	return nil
}

// ReadEntries takes a number of entries.
func ReadEntries(c *config.Config, v string) error {
	n, err := strconv.ParseUint(v, 10, 62)
	if err != nil {
		return fmt.Errorf("%q is not a number", v)
	}
	c.MaxDeleteEntries = n
	return nil
}

// ReadLogFormat takes the form of log lines.
func ReadLogFormat(c *config.Config, v string) error {
	switch v {
	case "text", "json":
		c.JSON = v == "json"
		return nil
	}
	return fmt.Errorf("%q is unknown", v)
}

// ReadLogTo takes the place of log lines.
func ReadLogTo(c *config.Config, v string) error {
	if !slices.Contains(LogPlaces(), v) {
		return fmt.Errorf("%q is unknown", v)
	}
	c.LogTo = v
	return nil
}

// LogPlaces are those of log_to.
func LogPlaces() []string { return []string{"stderr", "syslog", "journal"} }

// Audits are the values of audit.
func Audits() []string {
	return []string{config.AuditOff, config.AuditBestEffort, config.AuditStrict}
}

// AuditPlaces are those of audit_to.
func AuditPlaces() []string {
	return []string{config.AuditNowhere, "syslog", "journal", config.AuditKernel}
}

// OneOf is one of some words.
func OneOf(words []string, at func(*config.Config) *string) Field {
	return Text(func(c *config.Config, v string) error {
		if !slices.Contains(words, v) {
			return fmt.Errorf("%q is unknown", v)
		}
		*at(c) = v
		return nil
	}, at)
}

// ReadLogLevel takes what is logged at least.
func ReadLogLevel(c *config.Config, v string) error {
	for _, l := range []slog.Level{slog.LevelError, slog.LevelWarn, slog.LevelInfo} {
		if v == strings.ToLower(l.String()) {
			c.LogLevel = l
			return nil
		}
	}
	return fmt.Errorf("%q is unknown", v)
}

// ReadAllowMissing takes features, with commas between them.
func ReadAllowMissing(c *config.Config, v string) error {
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

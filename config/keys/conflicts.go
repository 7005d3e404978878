package keys

import (
	"fmt"
	"slices"
	"time"

	"lockstep/config"
	"lockstep/config/field"
)

// conflict takes note of a value that is well formed and does not go together
// with another.
func (b *Builder) conflict(in config.Section, name, reason, advice string) {
	b.Fail(b.where(in, name), b.say(name), reason, advice)
}

// conflicts are told of keys that were read without a fault, so that one fault
// is told once.
func (b *Builder) conflicts(in config.Section, s config.Sync) {
	b.missing(in, s.Untargeted())
	own := b.at(in)
	for _, m := range s.Misfits(func(key string) bool { return own.seen[key] && !own.bad[key] }) {
		if m.Key != "handler" || b.good(in, m.Key) {
			b.conflict(in, m.Key, m.Reason, m.Advice)
		}
	}
	b.order(in, "delay", s.Delay, "max_delay", s.MaxDelay)
	b.order(in, "retry.initial", s.RetryInitial, "retry.max", s.RetryMax)
	if b.good(in, "targets") && len(s.Targets) > 0 {
		b.useless(in, s)
		b.needed(in, s)
	}
}

// order blames the one that is written, of two values of which one must not be
// above the other.
func (b *Builder) order(in config.Section, low string, l time.Duration, high string, h time.Duration) {
	if h >= l || !b.good(in, low, high) {
		return
	}
	advice := fmt.Sprintf("raise %s or lower %s", b.say(high), b.say(low))
	written := func(name string) bool { return b.at(in).seen[name] || b.at(config.InDefaults).seen[name] }
	if written(low) && !written(high) && b.path != "" {
		b.conflict(in, low, fmt.Sprintf("%s is above %s, which is %s", field.FormatDuration(l), b.say(high), field.FormatDuration(h)), advice)
		return
	}
	b.conflict(in, high, fmt.Sprintf("%s is below %s, which is %s", field.FormatDuration(h), b.say(low), field.FormatDuration(l)), advice)
}

// good says that no value of the keys was bad, here or in the defaults.
func (b *Builder) good(in config.Section, names ...string) bool {
	return !slices.ContainsFunc(names, func(n string) bool {
		own := b.at(in)
		return own.bad[n] || !own.seen[n] && b.at(config.InDefaults).bad[n]
	})
}

// missing tells what must be given: but for a handler, which may do without a target.
func (b *Builder) missing(in config.Section, untargeted bool) {
	source, targets := "name the directory to mirror: lockstep mirror SRC DST", "name the directory to keep in step: lockstep mirror SRC DST"
	if b.path != "" {
		source, targets = `name the directory to mirror: source = "/srv/www"`, `name where to: targets = ["/backup/www"]`
	}
	s := b.at(in)
	if s.doubt && !s.seen["source"] && !s.seen["targets"] {
		return
	}
	for _, one := range []struct{ key, advice string }{{"source", source}, {"targets", targets}} {
		if !s.seen[one.key] && !s.guessed[one.key] && (one.key != "targets" || !untargeted) {
			b.conflict(in, one.key, "missing", one.advice)
		}
	}
}

// useless are keys of a sync that nothing in it would use.
func (b *Builder) useless(in config.Section, s config.Sync) {
	for _, one := range []struct {
		key  string
		used bool
		what string
	}{
		{"ssh.identity", s.Has(config.SSHTarget), "target by ssh"},
		{"ssh.known_hosts", s.Has(config.SSHTarget), "target by ssh"},
		{"ssh.port", s.Has(config.SSHTarget), "target by ssh"},
		{"password_file", s.Has(config.Daemon), "target that is an rsync daemon's"},
		{"hooks.timeout", s.Hooked(), "hook"},
		{"run_as", s.Has(config.SSHTarget) || s.Has(config.Daemon), "remote target"},
	} {
		if s := b.at(in); s.seen[one.key] && !s.bad[one.key] && !one.used {
			b.conflict(in, one.key, "there is no "+one.what, "remove it, or add such a target")
		}
	}
}

// needed are keys without which a target cannot be reached.
func (b *Builder) needed(in config.Section, s config.Sync) {
	if s.Has(config.SSHTarget) && s.SSH.Identity == "" && b.good(in, "ssh.identity") {
		b.conflict(in, "ssh.identity", "missing, and a target by ssh needs it",
			"make a key that only this sync uses (ssh-keygen -t ed25519 -N '' -f FILE), add FILE.pub to authorized_keys there, and name FILE")
	}
	if s.Has(config.SSHTarget) && s.SSH.KnownHosts == "" && b.good(in, "ssh.known_hosts") {
		b.conflict(in, "ssh.known_hosts", "missing, and a target by ssh needs it",
			"write the host's key to a file (ssh-keyscan HOST >FILE), compare it with the key on the host (ssh-keygen -lf FILE), and name FILE")
	}
	anonymous := func(t config.Target) bool { return t.Kind != config.Daemon || t.User == "" }
	if s.PasswordFile != "" && s.Has(config.Daemon) && !slices.ContainsFunc(s.Targets, func(t config.Target) bool { return !anonymous(t) }) {
		b.conflict(in, "password_file", "no rsync daemon is given a user that the password could be of", "write the target as rsync://USER@HOST/MODULE")
	}
}

package scribe

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"

	"lockstep/config"
	"lockstep/internal/buildinfo"
	"lockstep/ipc/status"
	"lockstep/supervise/exit"
	"lockstep/supervise/words"
	"lockstep/trail"
)

// Hash is SHA-256 of a file's content, from its beginning; "" where it cannot be read.
func Hash(f *os.File) string {
	h := sha256.New()
	info, err := f.Stat()
	if err == nil {
		_, err = io.Copy(h, io.NewSectionReader(f, 0, info.Size()))
	}
	if err != nil {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}

// HashPath is Hash of what is at a path.
func HashPath(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	return Hash(f)
}

// HashWords is SHA-256 of words, each with a zero byte behind it.
func HashWords(words []string) string {
	h := sha256.Sum256([]byte(strings.Join(append(slices.Clone(words), ""), "\x00")))
	return hex.EncodeToString(h[:])
}

// HashConfig is that of the one file of a configuration; of several that of their list as
// sha256sum(1) writes it; of none that of the command line.
func HashConfig(files []config.File, args []string) string {
	switch len(files) {
	case 0:
		return HashWords(args)
	case 1:
		return files[0].SHA256
	}
	var list strings.Builder
	for _, f := range files {
		fmt.Fprintf(&list, "%s  %s\n", f.SHA256, f.Path)
	}
	h := sha256.Sum256([]byte(list.String()))
	return hex.EncodeToString(h[:])
}

// Started is the first event.
func Started(kernel, runtimeDir string, programs ...*os.File) trail.Event {
	e := trail.Event{Type: trail.Start, Outcome: trail.Success, Object: trail.Object{Name: runtimeDir}, Facts: trail.Facts{Version: buildinfo.Version, Build: buildinfo.ID, Kernel: kernel}}
	for _, f := range programs {
		if f != nil {
			e.Facts.Files = append(e.Facts.Files, trail.File{Path: f.Name(), SHA256: Hash(f)})
		}
	}
	return e
}

// Stopped is the last one.
func Stopped(code int, err error) trail.Event {
	e := trail.Event{Type: trail.Stop, Outcome: trail.Success, Facts: trail.Facts{Code: &code}}
	if code != exit.Done {
		e.Outcome = trail.Failure
	}
	if err != nil {
		e.Why.Reason = err.Error()
	}
	return e
}

// SayFiles tells a log what a configuration was read from.
func SayFiles(log *slog.Logger, set config.Set) {
	for _, f := range set.Files {
		log.Info("configuration", "file", f.Path, "sha256", f.SHA256)
	}
}

// Loaded records a configuration that is in force from now on, or is refused.
func (s *Scribe) Loaded(files []config.File, args []string, refused error) {
	e := trail.Event{Type: trail.ConfigLoad, Outcome: trail.Success}
	if refused != nil {
		e.Outcome, e.Why = trail.Denied, trail.Why{Rule: "config", Reason: refused.Error()}
	} else {
		s.Config(HashConfig(files, args))
	}
	for _, f := range files {
		e.Facts.Files = append(e.Facts.Files, trail.File{Path: f.Path, SHA256: f.SHA256})
	}
	s.Note(e)
}

// ProcessStart records that a confined process was started.
func (s *Scribe) ProcessStart(sync, role string, pid, uid int, caps uint64) {
	u := uint32(uid)
	s.Note(trail.Event{Type: trail.ProcessStart, Outcome: trail.Success, Actor: trail.Actor{Role: "supervisor", PID: os.Getpid()},
		Object: trail.Object{Sync: sync, Name: role}, Facts: trail.Facts{PID: pid, UID: &u, Caps: fmt.Sprintf("%#x", caps)}})
}

// ProcessExit records its end, of which nothing is judged here.
func (s *Scribe) ProcessExit(sync, role string, pid, code int, sig syscall.Signal, err error) {
	e := trail.Event{Type: trail.ProcessExit, Outcome: trail.Success, Actor: trail.Actor{Role: "kernel"}, Object: trail.Object{Sync: sync, Name: role}, Facts: trail.Facts{PID: pid}}
	if sig != 0 {
		e.Facts.Signal = int(sig)
	} else {
		e.Facts.Code = &code
	}
	if err != nil || sig != 0 && sig != syscall.SIGKILL || sig == 0 && code != 0 {
		e.Outcome = trail.Failure
	}
	if err != nil {
		e.Why.Reason = err.Error()
	}
	s.Note(e)
}

// Death tells a log of a process that ended unasked, and records it: as a violation where
// it is one.
func (s *Scribe) Death(log *slog.Logger, sync, role string, pid, code int, sig syscall.Signal, err error) {
	text := words.Death(role, pid, code, sig, err)
	log.Warn(text)
	e := trail.Event{Type: trail.Restart, Outcome: trail.Failure, Actor: trail.Actor{Role: role, PID: pid}, Object: trail.Object{Sync: sync, Name: role}, Why: trail.Why{Rule: "unasked", Reason: text}}
	switch {
	case sig == syscall.SIGSYS:
		e.Type, e.Outcome, e.Why.Rule = trail.Violation, trail.Denied, "seccomp"
	case sig == 0 && code == words.CodeViolation:
		e.Type, e.Outcome, e.Why.Rule = trail.Violation, trail.Denied, "protocol"
	}
	s.Note(e)
}

// Violation records one of a protocol.
func (s *Scribe) Violation(sync, role string, why error) {
	s.Note(trail.Event{Type: trail.Violation, Outcome: trail.Denied, Actor: trail.Actor{Role: role}, Object: trail.Object{Sync: sync, Name: role}, Why: trail.Why{Rule: "protocol", Reason: why.Error()}})
}

// Locked records a lock-out, if err is one, and returns it.
func (s *Scribe) Locked(sync, role string, err error) error {
	if err != nil {
		s.Note(trail.Event{Type: trail.LockOut, Outcome: trail.Denied, Actor: trail.Actor{Role: "supervisor", PID: os.Getpid()}, Object: trail.Object{Sync: sync, Name: role}, Why: trail.Why{Rule: "seccomp", Reason: err.Error()}})
	}
	return err
}

// Forbid tells a log why something may not be, and records it as the decision that it is.
func (s *Scribe) Forbid(say func(string, ...any), sync, target, rule, text string) {
	say(text)
	s.decide(trail.Denied, sync, target, rule, text)
}

// Allow is the same of what may be, or may be again.
func (s *Scribe) Allow(say func(string, ...any), sync, target, rule, text string) {
	say(text)
	s.decide(trail.Success, sync, target, rule, text)
}

func (s *Scribe) decide(outcome trail.Outcome, sync, target, rule, why string) {
	s.Note(trail.Event{Type: trail.Decision, Outcome: outcome, Object: trail.Object{Sync: sync, Target: target}, Why: trail.Why{Rule: rule, Reason: why}})
}

// Asked records what a person asked for, by a signal or the control socket.
func (s *Scribe) Asked(by, what, sync string, uid *uint32) {
	s.Note(trail.Event{Type: trail.Control, Outcome: trail.Success, Actor: trail.Actor{Role: "person", UID: uid}, Object: trail.Object{Sync: sync, Name: what}, Why: trail.Why{Rule: by}})
}

// Counts records a worker's numbers, which it claims.
func (s *Scribe) Counts(sync string, r status.Report) {
	s.Claim(trail.Event{Type: trail.Counts, Outcome: trail.Success, Actor: trail.Actor{Role: "worker"}, Object: trail.Object{Sync: sync},
		Facts: trail.Facts{Numbers: &trail.Numbers{Dirs: r.Dirs, Unwatched: r.Unwatched, Events: r.Events, Synced: r.Synced, Jobs: r.Jobs, Failed: r.Failed, Overflows: r.Overflows, Rescans: r.Rescans}}})
}

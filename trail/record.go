// Package trail is the form of the audit trail: what a record says, how one becomes a
// line, and how lines are chained so that none can be changed, left out or put in.
//
// Trust: linked into the supervisor, which writes the trail, and into what verifies it.
// Texts in an event may come from anybody: they are escaped and cut here, and nowhere
// else. Pure: clocks, random bytes and files are others'.
//
// Invariants: an event is one line, whatever its texts hold; each line covers the one
// before it; the key of a line is gone when the next one is sealed, and no key leads to
// an earlier one.
package trail

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"

	"lockstep/internal/escape"
)

// Version is that of the form.
const Version = 1

// Type says what a record tells.
type Type string

// The types. The first four are of the trail itself.
const (
	Open       Type = "open"       // a file of the trail begins
	Rotate     Type = "rotate"     // it ends; the trail goes on in the next
	Checkpoint Type = "checkpoint" // all up to here is signed
	Gap        Type = "gap"        // events before this one could not be recorded

	Start        Type = "start"         // of lockstep
	Stop         Type = "stop"          //
	ConfigLoad   Type = "config-load"   // at the start, and at a reload
	ProcessStart Type = "process-start" // of a confined process
	ProcessExit  Type = "process-exit"  //
	Restart      Type = "restart"       // a process ended unasked; what lived with it is started again
	CommandStart Type = "command-start" // of a sync command, with its list
	CommandEnd   Type = "command-end"   //
	Decision     Type = "decision"      // what may be done, and what not
	Violation    Type = "violation"     // of a protocol, or of the trail
	LockOut      Type = "lock-out"      //
	Control      Type = "control"       // a person asked for something
	Counts       Type = "counts"        // numbers of a worker, which it claims
	ClockStep    Type = "clock-step"    // the clock of day was set
)

// Outcome is how it went.
type Outcome string

const (
	Success Outcome = "success"
	Failure Outcome = "failure"
	Denied  Outcome = "denied"
	Begun   Outcome = "begun" // its end is another record
)

// Event is what a record tells, but for its place in the trail.
type Event struct {
	Type    Type    `json:"type"`
	Outcome Outcome `json:"outcome"`
	Actor   Actor   `json:"actor"`
	Object  Object  `json:"object,omitzero"`
	Why     Why     `json:"why,omitzero"`
	Facts   Facts   `json:"facts,omitzero"`
}

// Actor is who did it, or whose word it is.
type Actor struct {
	Role string  `json:"role"` // supervisor, worker, runner, gate, person, kernel, …
	PID  int     `json:"pid,omitempty"`
	UID  *uint32 `json:"uid,omitempty"`
}

// Object is what it was done to.
type Object struct {
	Sync   string `json:"sync,omitempty"`
	Target string `json:"target,omitempty"`
	Name   string `json:"name,omitempty"` // of anything else: a file, a role, a command
}

// Why is the rule that decided, and what there is to say.
type Why struct {
	Rule   string `json:"rule,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Facts are what a type has beside. Hashes are SHA-256 in hexadecimal.
type Facts struct {
	Version string   `json:"version,omitempty"`
	Build   string   `json:"build,omitempty"`
	Kernel  string   `json:"kernel,omitempty"`
	Unclean bool     `json:"unclean,omitempty"` // the run before had no stop
	Files   []File   `json:"files,omitempty"`   // of the configuration; programs
	PID     int      `json:"pid,omitempty"`     // of a process
	UID     *uint32  `json:"uid,omitempty"`
	Caps    string   `json:"caps,omitempty"` // of a process: the mask of capabilities(7)
	Job     uint64   `json:"job,omitempty"`  // the number of a command, of its runner
	Kind    string   `json:"kind,omitempty"` // of a command
	Argv    string   `json:"argv,omitempty"` // the hash of its words, each with a zero byte behind it
	List    *List    `json:"list,omitempty"`
	End     string   `json:"end,omitempty"` // how a command ended: exited, signalled, held-empty, …
	Code    *int     `json:"code,omitempty"`
	Signal  int      `json:"signal,omitempty"`
	Micros  *uint64  `json:"us,omitempty"` // how long it took
	Lost    uint64   `json:"lost,omitempty"`
	StepNS  int64    `json:"step_ns,omitempty"`
	Numbers *Numbers `json:"numbers,omitempty"`
}

// File is one that was read or is run.
type File struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
}

// List is what a command was given: the runner's word for a list that is sealed.
type List struct {
	SHA256  string `json:"sha256"`
	Entries uint64 `json:"entries"`
	Bytes   uint64 `json:"bytes"`
}

// Numbers are a worker's.
type Numbers struct {
	Dirs      uint64 `json:"dirs"`
	Unwatched uint64 `json:"unwatched"`
	Events    uint64 `json:"events"`
	Synced    uint64 `json:"synced"`
	Jobs      uint64 `json:"jobs"`
	Failed    uint64 `json:"failed"`
	Overflows uint64 `json:"overflows"`
	Rescans   uint64 `json:"rescans"`
}

// Record is a line.
type Record struct {
	V    int    `json:"v"`
	Seq  uint64 `json:"seq"`
	TS   string `json:"ts"`   // the clock of day, UTC, RFC 3339 with nanoseconds
	Mono uint64 `json:"mono"` // nanoseconds since the boot
	Boot string `json:"boot"` // which one
	Run  string `json:"run"`  // of which start of lockstep
	Event
	Head *Head  `json:"head,omitempty"` // of Open
	Key  *Key   `json:"key,omitempty"`  // of Open and Checkpoint
	Cfg  string `json:"cfg"`            // hash of the configuration in force
	Bin  string `json:"bin"`            // hash of the lockstep that writes
	Prev string `json:"prev"`           // Sum of the line before
	Sig  string `json:"sig,omitempty"`  // of Checkpoint
	Mac  string `json:"mac,omitempty"`
	Sum  string `json:"sum,omitempty"`
}

// Head is what a file of the trail begins with.
type Head struct {
	Trail string `json:"trail"`          // its name, random
	File  uint64 `json:"file"`           // the number of the file
	Torn  *Torn  `json:"torn,omitempty"` // what the file before ends with, that is no line
}

// Torn is a line that was not written to its end.
type Torn struct {
	Bytes  uint64 `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Key is what signs: of Open the key in force, of Checkpoint the one after it.
type Key struct {
	Epoch  uint64 `json:"epoch"`
	Public string `json:"public"` // Ed25519, in hexadecimal
}

// What a text may come to. A path of 4,096 bytes is whole, unless most of it is escaped.
const (
	maxText  = 8 << 10
	maxItems = 256
	// MaxLine is what a line never reaches.
	MaxLine = 8 << 20
)

// tidy escapes and cuts every text of an event.
func (e *Event) tidy() {
	e.Type, e.Outcome = Type(name(string(e.Type))), Outcome(name(string(e.Outcome)))
	e.Actor.Role = Printable(e.Actor.Role)
	e.Object = Object{name(e.Object.Sync), name(e.Object.Target), name(e.Object.Name)}
	e.Why = Why{Printable(e.Why.Rule), Printable(e.Why.Reason)}
	f := &e.Facts
	f.Version, f.Build, f.Kernel, f.Kind, f.End = name(f.Version), name(f.Build), name(f.Kernel), name(f.Kind), name(f.End)
	files := f.Files[:min(len(f.Files), maxItems)]
	f.Files = nil
	for _, one := range files {
		f.Files = append(f.Files, File{name(one.Path), name(one.SHA256)})
	}
	f.Caps, f.Argv = name(f.Caps), name(f.Argv)
}

// name escapes what may be any bytes, so that they can be read back.
func name(s string) string { return cut(escape.Name(s)) }

// Printable is for words in which names were escaped already: they are not escaped twice.
func Printable(s string) string {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n <= 1 {
				return name(s)
			}
		}
		if !unicode.IsPrint(r) {
			return name(s)
		}
	}
	return cut(s)
}

func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	end := maxText
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "[…cut]"
}

// body is the record as JSON, up to what is put behind it.
func (r Record) body() ([]byte, error) {
	r.Sig, r.Mac, r.Sum = "", "", ""
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("}\n")), nil
}

// Line is the whole record; what Parse reads.
func (r Record) Line() ([]byte, error) {
	b, err := r.body()
	if err != nil {
		return nil, err
	}
	for _, f := range []struct{ name, value string }{{"sig", r.Sig}, {"mac", r.Mac}, {"sum", r.Sum}} {
		if f.value != "" {
			b = appendMember(b, f.name, f.value)
		}
	}
	return append(b, '}'), nil
}

// appendMember puts a member behind others; value is hexadecimal.
func appendMember(b []byte, name, value string) []byte {
	return append(b, strings.Join([]string{`,"`, name, `":"`, value, `"`}, "")...)
}

// Package control is what goes over the socket between the supervisor and the
// gate, which speaks for the clients of the control socket.
//
// Trust: linked into supervisor and gate. A request is the gate's claim, and
// hostile: it is numbers only, of a fixed size.
// Imports: the codec and the standard library only.
//
// Invariants: no byte that a client wrote is in a request; the gate has one
// request open at a time; an answer is one or more packets with the request's
// number, of which the last alone is final.
package control

import (
	"slices"

	"lockstep/ipc/wire"
)

// Command is what is asked for.
type Command uint16

// The commands; the names that clients use for them are in Commands.
const (
	Version Command = iota + 1
	Info
	Status
	Dump
	Resync
	Reload
	Pause
	Resume
	Die
	Quit
	end
)

// Kind is what a command is known by.
type Kind struct {
	Command Command
	Name    string
	Sync    bool   // it may be for one sync alone
	Help    string // what it does
}

// Commands are all of them.
func Commands() []Kind {
	return []Kind{
		{Version, "version", false, "the version and build that run"},
		{Info, "info", true, "labels, the configuration and its hash, the keys in effect"},
		{Status, "status", true, "where each sync and target stands, with its numbers"},
		{Dump, "dump", true, "write the state into files below the runtime directory"},
		{Resync, "resync", true, "have everything compared, at once"},
		{Reload, "reload", false, "read the configuration anew, as SIGHUP does"},
		{Pause, "pause", true, "begin no further command, until resume or a restart"},
		{Resume, "resume", true, "the end of a pause"},
		{Quit, "quit", false, "end when running commands have ended, as SIGTERM does"},
		{Die, "die", false, "end at once, as a second SIGINT does"},
	}
}

// Named finds a command.
func Named(name string) (Kind, bool) {
	all := Commands()
	i := slices.IndexFunc(all, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return Kind{}, false
	}
	return all[i], true
}

// Kind is what is known of the command; it must be valid.
func (c Command) Kind() Kind {
	all := Commands()
	return all[slices.IndexFunc(all, func(k Kind) bool { return k.Command == c })]
}

// Reads says that the command changes nothing.
func (c Command) Reads() bool { return c == Version || c == Info || c == Status }

// RequestSize is the size of the packets that go from gate to supervisor.
const RequestSize = 16

// Request is one question.
type Request struct {
	Number  uint32 // the gate's own, one more with each request
	UID     uint32 // who asks, by the kernel's word to the gate
	Command Command
	Sync    uint16 // from 1 in the order of Config.Syncs; 0: all
}

// Layout is the packet.
func (r *Request) Layout(c *wire.Codec) {
	wire.U32(c, &r.Number)
	wire.U32(c, &r.UID)
	wire.U16(c, &r.Command)
	wire.U16(c, &r.Sync)
	var rest uint32
	wire.U32(c, &rest)
	c.Must(rest == 0, "bytes that have no meaning")
	c.Must(r.Command > 0 && r.Command < end, "unknown command")
	c.Must(r.Sync == 0 || r.Command >= end || r.Command == 0 || r.Command.Kind().Sync, "a command that is for no sync")
}

// Limits of an answer.
const (
	MaxText   = 32 << 10 // bytes of one packet
	MaxAnswer = 4 << 20  // bytes of an answer
)

// How much follows.
const (
	More    uint8 = iota // a part; others follow
	Done                 // the last part
	Refused              // instead of any: the text says why
	numEnds
)

// Answer is a part of the answer to a request.
type Answer struct {
	Number uint32
	End    uint8
	Text   []byte // one line of JSON, or a part; of a refusal words
}

// AnswerSize is more than a packet with an Answer has.
const AnswerSize = MaxText + 64

// Layout is the packet.
func (a *Answer) Layout(c *wire.Codec) {
	wire.U32(c, &a.Number)
	wire.Enum(c, &a.End, numEnds)
	wire.Blob(c, &a.Text, MaxText)
}

// Config is what the gate is told.
type Config struct {
	Build string
	UIDs  []uint32 // who may ask, beside root
	GIDs  []uint32 // whose members may
	Syncs []string // their names
}

// maxSyncs is more than a configuration has.
const maxSyncs = 1000

// Layout is the file.
func (g *Config) Layout(c *wire.Codec) {
	wire.Blob(c, &g.Build, 64)
	wire.List(c, &g.UIDs, 8, wire.U32[uint32])
	wire.List(c, &g.GIDs, 8, wire.U32[uint32])
	wire.List(c, &g.Syncs, maxSyncs, func(c *wire.Codec, s *string) { wire.Blob(c, s, 256) })
}

// Package scribe writes the audit trail of a running lockstep: it takes events from
// whoever sees them, puts them in one order, and has what must not happen unrecorded
// wait until its record is written.
//
// Trust: linked into the supervisor, the only process that writes the trail. What other
// processes claim is recorded as their claim, within a rate.
//
// Invariants: nobody waits for a disk but the one goroutine that writes, and, with
// strict, what Before holds, which does not begin without its record; an event that is
// not in the trail is counted in it. A nil Scribe records nothing.
package scribe

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/config"
	"lockstep/console/logd"
	"lockstep/supervise/exit"
	"lockstep/trail"
	"lockstep/trail/kaudit"
	"lockstep/trail/store"
)

// Options are what a trail is, and who writes it.
type Options struct {
	Audit config.Audit
	Keys  string // the directory of its keys
	Log   *slog.Logger
	Cfg   string // hash of the configuration in force
	Bin   string // hash of this program
}

// Scribe writes one trail. It is safe for concurrent use.
type Scribe struct {
	strict bool
	log    *slog.Logger
	run    string
	boot   string
	bin    string
	store  *store.Store // of loop's alone
	also   *slog.Logger // the log daemon that hears of records; nil: none
	sink   *logd.Sink
	kernel *kaudit.Sink // nil: it hears of none

	wake chan struct{}
	done chan struct{}

	mu      sync.Mutex
	cfg     string        // guarded by mu
	queue   []entry       // guarded by mu
	lost    uint64        // guarded by mu: events that found no room
	offset  time.Duration // guarded by mu: of the clock of day to that since the boot
	claims  bucket        // guarded by mu
	closed  bool          // guarded by mu
	failing error         // guarded by mu: why nothing can be written now

	state
}

// state is loop's alone.
type state struct {
	missed uint64    // events that could not be written
	held   []entry   // that wait until there is a trail again
	open   int       // records since the last checkpoint
	since  time.Time // when the first of them was written
	hasty  bool      // one of them is urgent
	tried  time.Time // when it was last seen that nothing can be written
	told   time.Time
	bad    error // of a loss that is not made good
}

// entry is a record to be written, and what may happen then.
type entry struct {
	trail.Record
	then func()
	gone <-chan struct{} // closed: nobody waits for then any more; nil: never
}

// withdrawn says that nobody waits for an entry any more which somebody has waited for.
func (e entry) withdrawn() bool {
	select {
	case <-e.gone:
		return true
	default:
		return false
	}
}

const (
	maxQueue   = 8192
	signEvery  = 64              // records
	signSoon   = 5 * time.Second // after the first that is not signed
	retryEvery = time.Second
	tellEvery  = time.Minute
	farewell   = 5 * time.Second // for a disk that does not answer at the end
	maxStep    = time.Second     // by which the clock of day may differ from the other
)

// Open opens the trail, in which there is then a first record; nil where there is none
// to be.
func Open(o Options, first trail.Event) (*Scribe, error) {
	if !o.Audit.On() {
		return nil, nil
	}
	s := &Scribe{strict: o.Audit.Mode == config.AuditStrict, log: o.Log, cfg: o.Cfg, bin: o.Bin, boot: bootID(), claims: newBucket(),
		wake: make(chan struct{}, 1), done: make(chan struct{})}
	var run [8]byte
	if _, err := rand.Read(run[:]); err != nil {
		return nil, err
	}
	s.run = hex.EncodeToString(run[:])
	s.offset = wall().Sub(time.Unix(0, int64(sinceBoot())))
	var err error
	s.store, err = store.Open(store.Options{Dir: o.Audit.Dir, Keys: o.Keys, Name: store.KeysName(o.Audit.Dir), MaxSize: int64(o.Audit.Size), Random: rand.Reader, Stamp: s.stamp, Put: s.was})
	if err != nil {
		return nil, exit.Refuse(err)
	}
	if err := s.hear(o.Audit.To); err != nil {
		return nil, errors.Join(err, s.store.Close())
	}
	if b := s.store.Birth; b != nil {
		o.Log.Info("an audit trail begins; keep these at another place: what is signed in it is verified by them", "trail", b.Trail, "public", b.Public)
		b.Seed = trail.Secret{} // nobody asks for it here
	}
	first.Facts.Unclean = s.store.Unclean
	if err := s.write(s.stamp(trail.Record{Event: first})); err != nil {
		if s.strict {
			return nil, errors.Join(exit.Error{Code: exit.Failed, Err: fmt.Errorf("the audit trail cannot be written, and nothing is done without it (audit = %q): %w", config.AuditStrict, err)}, s.sink.Close(), s.kernel.Close(), s.store.Close())
		}
		s.fails(err, 1)
	}
	go s.loop()
	return s, nil
}

// hear connects to who else is to hear of records.
func (s *Scribe) hear(to string) error {
	switch to {
	case config.AuditNowhere, "":
		return nil
	case config.AuditKernel:
		var err error
		if s.kernel, err = kaudit.Open(s.log); err != nil {
			return exit.Refuse(fmt.Errorf("audit_to: %w", err))
		}
		return nil
	}
	log, sink, err := logd.Open(to, s.log, false)
	if err != nil {
		return exit.Refuse(fmt.Errorf("audit_to: %w", err))
	}
	s.also, s.sink = log, sink
	return nil
}

func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func wall() time.Time { return time.Now().Round(0) }

// sinceBoot is CLOCK_BOOTTIME, which nobody sets.
func sinceBoot() uint64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0 // there is no kernel without this clock
	}
	return uint64(ts.Nano())
}

// stamp is a record as of now.
func (s *Scribe) stamp(r trail.Record) trail.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stampLocked(r)
}

func (s *Scribe) stampLocked(r trail.Record) trail.Record {
	r.TS, r.Mono = wall().UTC().Format("2006-01-02T15:04:05.000000000Z"), sinceBoot()
	r.Boot, r.Run, r.Cfg, r.Bin = s.boot, s.run, s.cfg, s.bin
	if r.Actor.Role == "" {
		r.Actor = trail.Actor{Role: "supervisor", PID: os.Getpid()}
	}
	return r
}

// Note records an event. It does not wait.
func (s *Scribe) Note(e trail.Event) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(entry{Record: trail.Record{Event: e}})
}

// Before records an event that is about to happen, and has it happen by then, which
// must not wait: with strict once the record is written, else at once. When gone is
// closed and the record cannot be written, it is only counted, and then is not called.
func (s *Scribe) Before(e trail.Event, gone <-chan struct{}, then func()) {
	if s == nil || !s.strict {
		s.Note(e)
		then()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) >= maxQueue { // the disk hangs: who has gone needs no place
		s.lost += drop(&s.queue)
	}
	s.add(entry{trail.Record{Event: e}, then, gone})
}

// drop takes away what is withdrawn, and counts it.
func drop(from *[]entry) uint64 {
	before := len(*from)
	*from = slices.DeleteFunc(*from, entry.withdrawn)
	return uint64(before - len(*from))
}

// Claim is Note for what another process says, and says as often as it likes.
func (s *Scribe) Claim(e trail.Event) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.claims.take(time.Now()) {
		s.lost++
		return
	}
	s.add(entry{Record: trail.Record{Event: e}})
}

// Config says which configuration is in force from now on.
func (s *Scribe) Config(hash string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg = hash
}

// Refuses is an error while nothing may begin, since it could not be recorded.
func (s *Scribe) Refuses() error {
	if s == nil || !s.strict {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing == nil {
		return nil
	}
	return fmt.Errorf("the audit trail cannot be written: %w", s.failing)
}

// add puts an entry into the queue, as of now. Precondition: mu is held.
func (s *Scribe) add(e entry) {
	if s.closed || len(s.queue) >= maxQueue && e.then == nil {
		s.lost++
		return
	}
	offset := wall().Sub(time.Unix(0, int64(sinceBoot())))
	if step := offset - s.offset; step.Abs() > maxStep {
		s.queue = append(s.queue, entry{Record: s.stampLocked(trail.Record{Event: trail.Event{Type: trail.ClockStep, Outcome: trail.Success, Actor: trail.Actor{Role: "kernel"}, Facts: trail.Facts{StepNS: int64(step)}}})})
	}
	s.offset = offset
	e.Record = s.stampLocked(e.Record)
	s.queue = append(s.queue, e)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Close records a last event, and closes the trail.
func (s *Scribe) Close(last trail.Event) error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	s.add(entry{Record: trail.Record{Event: last}})
	s.closed = true
	s.mu.Unlock()
	select {
	case <-s.done:
		return s.bad
	case <-time.After(farewell):
		return errors.New("the disk of the audit trail does not answer: its end is not in it")
	}
}

// bucket bounds how often something is taken.
type bucket struct {
	tokens float64
	last   time.Time
}

// Claims at once, and a second in the long run.
const (
	claimBurst = 100
	claimRate  = 5
)

func newBucket() bucket { return bucket{tokens: claimBurst, last: time.Now()} }

func (b *bucket) take(now time.Time) bool {
	b.tokens, b.last = min(claimBurst, b.tokens+now.Sub(b.last).Seconds()*claimRate), now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

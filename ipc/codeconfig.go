package ipc

import "time"

// Limits of the configurations: far above use, so that a false length shows.
const (
	maxRoots  = 1024
	maxName   = 255
	maxPath   = 4096
	maxItems  = 1 << 16
	maxWorker = MaxPacket / 8 * 7 // so that HelloAnswer fits its packet
	maxWord   = 128 << 10         // bytes of one argument, as MAX_ARG_STRLEN of execve(2)
)

func encode(m interface{ code(*codec) }) ([]byte, error) {
	c := codec{out: true}
	m.code(&c)
	return c.b, c.err
}

// Encode and the Decode functions: as with messages, a limit that is broken is
// an error in both directions.

func (m *HelperConfig) Encode() ([]byte, error) { return encode(m) }
func (m *WorkerConfig) Encode() ([]byte, error) { return encode(m) }
func (m *RunnerConfig) Encode() ([]byte, error) { return encode(m) }

func DecodeHelperConfig(b []byte) (HelperConfig, error) { return Decode[HelperConfig](b) }
func DecodeWorkerConfig(b []byte) (WorkerConfig, error) { return Decode[WorkerConfig](b) }
func DecodeRunnerConfig(b []byte) (RunnerConfig, error) { return Decode[RunnerConfig](b) }

func text(max int) func(*codec, *string) {
	return func(c *codec, s *string) { blob(c, s, max) }
}

func span(c *codec, d *time.Duration) {
	u64(c, d)
	c.must(*d >= 0, "negative time")
}

func (m *HelperConfig) code(c *codec) {
	blob(c, &m.Build, 64)
	list(c, &m.Roots, maxRoots, func(c *codec, r *HelperRoot) {
		codeRoot(c, &r.Root)
		fd := int32(r.FD)
		u32(c, &fd)
		r.FD = int(fd)
		c.must(fd > 2, "bad descriptor")
		flag(c, &r.CrossMounts)
	})
	list(c, &m.Targets, maxRoots, codeTarget)
	span(c, &m.Deadline)
	c.must(m.Deadline > 0, "no deadline")
	blob(c, &m.Worker, maxWorker)
}

func (m *WorkerConfig) code(c *codec) {
	list(c, &m.Syncs, maxRoots, func(c *codec, s *WorkerSync) {
		handle(c, &s.Root)
		list(c, &s.Targets, maxRoots, handle[TargetID])
		list(c, &s.Exclude, maxItems, text(maxPath))
		list(c, &s.Mounts, maxItems, (*codec).rel)
		flag(c, &s.Devices)
		span(c, &s.Delay)
		span(c, &s.MaxDelay)
		u64(c, &s.BigSize)
		span(c, &s.BigDelay)
		span(c, &s.RetryMin)
		span(c, &s.RetryMax)
		flag(c, &s.Once)
	})
}

func (m *RunnerConfig) code(c *codec) {
	blob(c, &m.Build, 64)
	blob(c, &m.Program, maxPath)
	u64(c, &m.ProgDev)
	u64(c, &m.ProgIno)
	blob(c, &m.Source, maxPath)
	blob(c, &m.Target, maxPath)
	list(c, &m.Env, maxItems, text(maxWord))
	for i := range m.Argv {
		list(c, &m.Argv[i], maxItems, text(maxWord))
	}
	list(c, &m.Probe, maxItems, text(maxWord))
	u32(c, &m.MaxDeletePercent)
	u64(c, &m.MaxDeleteEntries)
	flag(c, &m.Accept)
	flag(c, &m.ShowOutput)
	span(c, &m.Timeout)
	span(c, &m.Grace)
}

// fields are the report's words in the order of the packet.
func (r *Report) fields() [numReport]*uint64 {
	return [numReport]*uint64{(*uint64)(&r.State), &r.Ready, &r.Dirs, &r.Unwatched, &r.Queue, &r.Big,
		&r.InFlight, &r.Doubt, &r.Events, &r.Synced, &r.Jobs, &r.Failed, &r.Initials, &r.Skipped,
		&r.TooLong, &r.Overflows, &r.Rescans, &r.Unpaired, &r.Repairs, &r.Stale, &r.Missing,
		&r.Verified, &r.Held, &r.HeldDeletes, &r.HeldEntries, &r.LastSync, &r.LastCode, &r.LastEnd,
		&r.Attempts, &r.Walked, &r.ListDone, &r.HeapBytes}
}

// Encode makes the report's packet.
func (r *Report) Encode() (out [ReportSize]byte) {
	r.code(&codec{b: out[:0], out: true})
	return out
}

// DecodeReport reads a report's packet. The numbers are the worker's claim.
func DecodeReport(b []byte) (Report, error) { return Decode[Report](b) }

func (r *Report) code(c *codec) {
	for _, f := range r.fields() {
		u64(c, f)
	}
	c.must(r.State <= StateDraining, "unknown state")
}

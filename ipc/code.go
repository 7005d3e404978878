package ipc

import "lockstep/ipc/wire"

// The layout of each message: its fields in order, with their limits.

func (*Hello) Type() Type       { return TypeHello }
func (*HelloAnswer) Type() Type { return TypeHelloAnswer }
func (*Watch) Type() Type       { return TypeWatch }
func (*WatchAnswer) Type() Type { return TypeWatchAnswer }
func (*Stat) Type() Type        { return TypeStat }
func (*StatAnswer) Type() Type  { return TypeStatAnswer }
func (*Start) Type() Type       { return TypeStart }
func (*Data) Type() Type        { return TypeData }
func (*StartAnswer) Type() Type { return TypeStartAnswer }
func (*Stop) Type() Type        { return TypeStop }
func (*StopAnswer) Type() Type  { return TypeStopAnswer }
func (*Drain) Type() Type       { return TypeDrain }
func (*DrainAnswer) Type() Type { return TypeDrainAnswer }
func (*Exited) Type() Type      { return TypeExited }
func (*Shutdown) Type() Type    { return TypeShutdown }
func (*RunEnd) Type() Type      { return TypeRunExited }
func (*RunStart) Type() Type    { return TypeRunStart }
func (*RunStop) Type() Type     { return TypeRunStop }
func (*CtlWorker) Type() Type   { return TypeCtlWorker }
func (*CtlRunner) Type() Type   { return TypeCtlRunner }
func (*CtlShutdown) Type() Type { return TypeCtlShutdown }

// Messages without a field.

func (*Drain) Layout(*wire.Codec)       {}
func (*DrainAnswer) Layout(*wire.Codec) {}
func (*Shutdown) Layout(*wire.Codec)    {}
func (*CtlShutdown) Layout(*wire.Codec) {}

func (m *Hello) Layout(c *wire.Codec) {
	wire.U32(c, &m.Version)
	wire.Blob(c, &m.Build, 64)
}

func (m *HelloAnswer) Layout(c *wire.Codec) {
	wire.List(c, &m.Roots, MaxRoots, codeRoot)
	wire.List(c, &m.Targets, MaxRoots, codeTarget)
	wire.Blob(c, &m.Config, maxWorker)
}

func codeRoot(c *wire.Codec, r *Root) {
	wire.Handle(c, &r.ID)
	wire.Blob(c, &r.Name, maxName)
}

func codeTarget(c *wire.Codec, t *Target) {
	wire.Handle(c, &t.ID)
	wire.Handle(c, &t.Root)
	wire.Blob(c, &t.Name, maxName)
}

func (m *Watch) Layout(c *wire.Codec) {
	wire.Handle(c, &m.Root)
	wire.Flag(c, &m.Watch)
	wire.Flag(c, &m.All)
	wire.U64(c, &m.Since)
	wire.List(c, &m.Rels, MaxRels, CodeRel)
}

func (m *WatchAnswer) Layout(c *wire.Codec) { wire.List(c, &m.Dirs, MaxPacket, codeDir) }

// codeDir and codeEntry are also what DirPacker writes, field by field.
func codeDir(c *wire.Codec, d *Dir) {
	wire.U16(c, &d.Index)
	c.Must(d.Index < MaxRels, "index too large")
	status(c, &d.Status)
	wire.Flag(c, &d.More)
	wire.U32(c, &d.WD)
	wire.U64(c, &d.Ctime)
	wire.List(c, &d.Entries, MaxPacket, codeEntry)
}

func codeEntry(c *wire.Codec, e *Entry) {
	wire.Enum(c, &e.Kind, KindBlock+1)
	wire.U32(c, &e.Nlink)
	wire.U64(c, &e.Ino)
	wire.U64(c, &e.Size)
	wire.U64(c, &e.Ctime)
	wire.U64(c, &e.Stamp)
	wire.Blob(c, &e.Name, maxName)
	c.Must(isName(e.Name), "bad name of an entry")
}

func (m *Stat) Layout(c *wire.Codec) {
	wire.Handle(c, &m.Root)
	wire.List(c, &m.Rels, MaxRels, CodeRel)
}

func (m *StatAnswer) Layout(c *wire.Codec) { wire.List(c, &m.Stats, MaxRels, codePathStat) }

func codePathStat(c *wire.Codec, s *PathStat) {
	status(c, &s.Status)
	wire.Enum(c, &s.Kind, KindBlock+1)
	wire.U32(c, &s.Nlink)
	wire.U64(c, &s.Ino)
	wire.U64(c, &s.Size)
}

func (m *Start) Layout(c *wire.Codec) {
	wire.Handle(c, &m.Target)
	wire.Enum(c, &m.Kind, NumJobKinds)
	c.Must(m.Kind != JobNone, "no kind of job")
	wire.U32(c, &m.Size)
	c.Must(m.Size <= MaxList, "list too long")
}

func (m *Data) Layout(c *wire.Codec) {
	wire.Blob(c, &m.Bytes, MaxPacket)
	c.Must(len(m.Bytes) > 0, "no data")
}

func (m *StartAnswer) Layout(c *wire.Codec) {
	status(c, &m.Status)
	wire.U64(c, &m.Job)
	c.Must((m.Status == OK) == (m.Job != 0), "a job or a refusal, not both")
}

func (m *Stop) Layout(c *wire.Codec)       { job(c, &m.Job) }
func (m *StopAnswer) Layout(c *wire.Codec) { status(c, &m.Status) }

func (m *Exited) Layout(c *wire.Codec) {
	job(c, &m.Job)
	wire.Enum(c, &m.End, EndHeldMany+1)
	c.Must(m.End != EndNone, "no end")
	wire.U8(c, &m.Code)
	wire.U64(c, &m.Wall)
	wire.U64(c, &m.CPU)
	wire.U64(c, &m.MaxRSS)
	wire.U64(c, &m.Deletes)
	wire.U64(c, &m.Entries)
	wire.Blob(c, &m.Tail, MaxTail)
}

func (m *RunStart) Layout(c *wire.Codec) {
	job(c, &m.Job)
	wire.Enum(c, &m.Kind, NumJobKinds)
	c.Must(m.Kind != JobNone, "no kind of job")
}

func (m *RunStop) Layout(c *wire.Codec) { job(c, &m.Job) }

func (m *CtlWorker) Layout(c *wire.Codec) {
	wire.U32(c, &m.PID)
	wire.U32(c, &m.UID)
	c.Must(m.PID != 0, "pid of zero")
}

func (m *CtlRunner) Layout(c *wire.Codec) { wire.Handle(c, &m.Target) }

// CodeRel is a Rel, or "" for the root itself.
func CodeRel(c *wire.Codec, v *string) {
	wire.Blob(c, v, MaxRel)
	c.Must(*v == "" || IsRel(*v), "not a path below a root")
}

func job(c *wire.Codec, v *JobID) {
	wire.U64(c, v)
	c.Must(*v != 0, "job of zero")
}

func status(c *wire.Codec, v *Status) {
	wire.U16(c, v)
	c.Must(*v <= StatusGone, "unknown status")
}

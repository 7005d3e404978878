package ipc

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

// Decode under a name for each message.

func DecodeHello(b []byte) (Hello, error)             { return Decode[Hello](b) }
func DecodeHelloAnswer(b []byte) (HelloAnswer, error) { return Decode[HelloAnswer](b) }
func DecodeWatch(b []byte) (Watch, error)             { return Decode[Watch](b) }
func DecodeWatchAnswer(b []byte) (WatchAnswer, error) { return Decode[WatchAnswer](b) }
func DecodeStat(b []byte) (Stat, error)               { return Decode[Stat](b) }
func DecodeStatAnswer(b []byte) (StatAnswer, error)   { return Decode[StatAnswer](b) }
func DecodeStart(b []byte) (Start, error)             { return Decode[Start](b) }
func DecodeData(b []byte) (Data, error)               { return Decode[Data](b) }
func DecodeStartAnswer(b []byte) (StartAnswer, error) { return Decode[StartAnswer](b) }
func DecodeStop(b []byte) (Stop, error)               { return Decode[Stop](b) }
func DecodeStopAnswer(b []byte) (StopAnswer, error)   { return Decode[StopAnswer](b) }
func DecodeDrain(b []byte) (Drain, error)             { return Decode[Drain](b) }
func DecodeDrainAnswer(b []byte) (DrainAnswer, error) { return Decode[DrainAnswer](b) }
func DecodeExited(b []byte) (Exited, error)           { return Decode[Exited](b) }
func DecodeShutdown(b []byte) (Shutdown, error)       { return Decode[Shutdown](b) }
func DecodeRunStart(b []byte) (RunStart, error)       { return Decode[RunStart](b) }
func DecodeRunStop(b []byte) (RunStop, error)         { return Decode[RunStop](b) }
func DecodeRunExited(b []byte) (RunExited, error)     { return Decode[RunExited](b) }
func DecodeCtlWorker(b []byte) (CtlWorker, error)     { return Decode[CtlWorker](b) }
func DecodeCtlRunner(b []byte) (CtlRunner, error)     { return Decode[CtlRunner](b) }
func DecodeCtlShutdown(b []byte) (CtlShutdown, error) { return Decode[CtlShutdown](b) }

// Messages without a field.

func (*Drain) code(*codec)       {}
func (*DrainAnswer) code(*codec) {}
func (*Shutdown) code(*codec)    {}
func (*CtlShutdown) code(*codec) {}

func (m *Hello) code(c *codec) {
	u32(c, &m.Version)
	blob(c, &m.Build, 64)
}

func (m *HelloAnswer) code(c *codec) {
	list(c, &m.Roots, maxRoots, codeRoot)
	list(c, &m.Targets, maxRoots, codeTarget)
	blob(c, &m.Config, maxWorker)
}

func codeRoot(c *codec, r *Root) {
	handle(c, &r.ID)
	blob(c, &r.Name, maxName)
}

func codeTarget(c *codec, t *Target) {
	handle(c, &t.ID)
	handle(c, &t.Root)
	blob(c, &t.Name, maxName)
}

func (m *Watch) code(c *codec) {
	handle(c, &m.Root)
	flag(c, &m.Watch)
	flag(c, &m.All)
	list(c, &m.Rels, MaxRels, (*codec).rel)
}

func (m *WatchAnswer) code(c *codec) { list(c, &m.Dirs, MaxPacket, codeDir) }

// codeDir and codeEntry are also what DirPacker writes, field by field.
func codeDir(c *codec, d *Dir) {
	u16(c, &d.Index)
	c.must(d.Index < MaxRels, "index too large")
	status(c, &d.Status)
	flag(c, &d.More)
	u32(c, &d.WD)
	u64(c, &d.Ino)
	list(c, &d.Entries, MaxPacket, codeEntry)
}

func codeEntry(c *codec, e *Entry) {
	enum(c, &e.Kind, KindBlock+1)
	u32(c, &e.Nlink)
	u64(c, &e.Ino)
	u64(c, &e.Size)
	blob(c, &e.Name, maxName)
	c.must(c.err != nil || checkName(e.Name), "bad name of an entry")
}

func (m *Stat) code(c *codec) {
	handle(c, &m.Root)
	list(c, &m.Rels, MaxRels, (*codec).rel)
}

func (m *StatAnswer) code(c *codec) { list(c, &m.Stats, MaxRels, codePathStat) }

func codePathStat(c *codec, s *PathStat) {
	status(c, &s.Status)
	enum(c, &s.Kind, KindBlock+1)
	u32(c, &s.Nlink)
	u64(c, &s.Ino)
	u64(c, &s.Size)
}

func (m *Start) code(c *codec) {
	handle(c, &m.Target)
	enum(c, &m.Kind, NumJobKinds)
	c.must(m.Kind != JobNone, "no kind of job")
	u32(c, &m.Size)
	c.must(m.Size <= MaxList, "list too long")
}

func (m *Data) code(c *codec) {
	blob(c, &m.Bytes, MaxPacket)
	c.must(len(m.Bytes) > 0, "no data")
}

func (m *StartAnswer) code(c *codec) {
	status(c, &m.Status)
	u64(c, &m.Job)
	c.must((m.Status == OK) == (m.Job != 0), "a job or a refusal, not both")
}

func (m *Stop) code(c *codec)       { job(c, &m.Job) }
func (m *StopAnswer) code(c *codec) { status(c, &m.Status) }

func (m *Exited) code(c *codec) {
	job(c, &m.Job)
	enum(c, &m.End, EndHeldMany+1)
	c.must(m.End != EndNone, "no end")
	u8(c, &m.Code)
	u64(c, &m.Wall)
	u64(c, &m.CPU)
	u64(c, &m.MaxRSS)
	u64(c, &m.Deletes)
	u64(c, &m.Entries)
	blob(c, &m.Tail, MaxTail)
}

func (m *RunStart) code(c *codec) {
	job(c, &m.Job)
	enum(c, &m.Kind, NumJobKinds)
	c.must(m.Kind != JobNone, "no kind of job")
}

func (m *RunStop) code(c *codec) { job(c, &m.Job) }

func (m *CtlWorker) code(c *codec) {
	u32(c, &m.PID)
	u32(c, &m.UID)
	c.must(m.PID != 0, "pid of zero")
}

func (m *CtlRunner) code(c *codec) { handle(c, &m.Target) }

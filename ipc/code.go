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

// The decoders take the bytes after the header and return an error unless the
// message is valid and fills them exactly. The result shares no memory with them.

func DecodeHello(b []byte) (Hello, error)             { return decode(b, (*Hello).code) }
func DecodeHelloAnswer(b []byte) (HelloAnswer, error) { return decode(b, (*HelloAnswer).code) }
func DecodeWatch(b []byte) (Watch, error)             { return decode(b, (*Watch).code) }
func DecodeWatchAnswer(b []byte) (WatchAnswer, error) { return decode(b, (*WatchAnswer).code) }
func DecodeStat(b []byte) (Stat, error)               { return decode(b, (*Stat).code) }
func DecodeStatAnswer(b []byte) (StatAnswer, error)   { return decode(b, (*StatAnswer).code) }
func DecodeStart(b []byte) (Start, error)             { return decode(b, (*Start).code) }
func DecodeData(b []byte) (Data, error)               { return decode(b, (*Data).code) }
func DecodeStartAnswer(b []byte) (StartAnswer, error) { return decode(b, (*StartAnswer).code) }
func DecodeStop(b []byte) (Stop, error)               { return decode(b, (*Stop).code) }
func DecodeStopAnswer(b []byte) (StopAnswer, error)   { return decode(b, (*StopAnswer).code) }
func DecodeDrain(b []byte) (Drain, error)             { return decode(b, (*Drain).code) }
func DecodeDrainAnswer(b []byte) (DrainAnswer, error) { return decode(b, (*DrainAnswer).code) }
func DecodeExited(b []byte) (Exited, error)           { return decode(b, (*Exited).code) }
func DecodeShutdown(b []byte) (Shutdown, error)       { return decode(b, (*Shutdown).code) }
func DecodeRunStart(b []byte) (RunStart, error)       { return decode(b, (*RunStart).code) }
func DecodeRunStop(b []byte) (RunStop, error)         { return decode(b, (*RunStop).code) }
func DecodeRunExited(b []byte) (RunExited, error)     { return decode(b, (*RunExited).code) }
func DecodeCtlWorker(b []byte) (CtlWorker, error)     { return decode(b, (*CtlWorker).code) }
func DecodeCtlRunner(b []byte) (CtlRunner, error)     { return decode(b, (*CtlRunner).code) }
func DecodeCtlShutdown(b []byte) (CtlShutdown, error) { return decode(b, (*CtlShutdown).code) }

// Messages without a field.

func (*Drain) code(*codec)       {}
func (*DrainAnswer) code(*codec) {}
func (*Shutdown) code(*codec)    {}
func (*CtlShutdown) code(*codec) {}

func (m *Hello) code(c *codec) {
	u32(c, &m.Version)
	c.text(&m.Build, 64)
}

func (m *HelloAnswer) code(c *codec) {
	list(c, &m.Roots, maxRoots, codeRoot)
	list(c, &m.Targets, maxRoots, codeTarget)
	c.bytes(&m.Config, MaxPacket)
}

func codeRoot(c *codec, r *Root) {
	handle(c, &r.ID)
	c.text(&r.Name, maxName)
}

func codeTarget(c *codec, t *Target) {
	handle(c, &t.ID)
	handle(c, &t.Root)
	c.text(&t.Name, maxName)
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
	c.text(&e.Name, maxName)
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
	c.bytes(&m.Bytes, MaxPacket)
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
	c.bytes(&m.Tail, MaxTail)
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

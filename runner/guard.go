package runner

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/ipc"
	"lockstep/rsync"
)

// guard is what protects the target from a whole pass that deletes too much.
type guard struct {
	active  bool
	limit   uint64 // more deletions are held
	entries uint64 // on the target; of a remote one, in the source as it was
	empty   bool   // the source is: any deletion is held
}

// guard decides whether a whole pass may run. It returns the job's end when it
// may not.
func (j *job) guard() (guard, *ipc.RunExited) {
	cfg := &j.r.cfg
	j.r.mu.Lock()
	consent := cfg.Accept && !j.r.accepted
	j.r.mu.Unlock()
	if consent || len(cfg.Probe) == 0 {
		return guard{}, nil
	}
	if cfg.Target == "" {
		return j.guardRemote()
	}
	late := func() bool { return false }
	if cfg.Timeout > 0 {
		end := time.Now().Add(cfg.Timeout)
		late = func() bool { return time.Now().After(end) }
	}
	entries, err := countTree(cfg.Target, func() bool { return j.over() || late() })
	if errors.Is(err, errOver) && !j.over() {
		return guard{}, &ipc.RunExited{End: ipc.EndTimeout}
	}
	if err != nil {
		return guard{}, held(j, refused(j.id, fmt.Errorf("count the target's entries: %w", err)))
	}
	g := guard{active: true, entries: entries, limit: limit(entries, cfg.MaxDeletePercent, cfg.MaxDeleteEntries)}
	if entries == 0 {
		return g, nil
	}
	empty, err := emptyDir(cfg.Source)
	if err != nil {
		return g, held(j, refused(j.id, fmt.Errorf("read the source: %w", err)))
	}
	if empty {
		return g, &ipc.RunExited{End: ipc.EndHeldEmpty, Deletes: entries, Entries: entries}
	}
	if entries <= g.limit {
		return g, nil // not even all of it would be too much
	}
	return g, j.probe(g)
}

// probe has rsync count what it would delete. It returns the job's end when
// that is too much, or cannot be known.
func (j *job) probe(g guard) *ipc.RunExited {
	out := g.judge(j.command(rsync.WithMaxDelete(j.r.cfg.Probe, g.limit), false))
	if out.End == ipc.EndExited && rsync.ExitMeaning(int(out.Code)).Class <= rsync.Partial {
		// Something could not be read. The real run will say so; its own
		// limit holds the deletions, and rsync makes none after such an error.
		return nil
	}
	return &out
}

// guardRemote is the guard of a target that cannot be counted. Its other side
// does the counting: what it says about itself can harm nobody else. The share
// is of what the source was; unknown, the number alone counts.
func (j *job) guardRemote() (guard, *ipc.RunExited) {
	cfg := &j.r.cfg
	empty, err := emptyDir(cfg.Source)
	if err != nil {
		return guard{}, held(j, refused(j.id, fmt.Errorf("read the source: %w", err)))
	}
	g := guard{active: true, entries: cfg.Entries, empty: empty}
	if !empty {
		g.limit = limit(cfg.Entries, cfg.MaxDeletePercent, cfg.MaxDeleteEntries)
	}
	return g, j.probe(g)
}

// held is a guard that could not look: the job ends, for that reason or because
// it was stopped.
func held(j *job, out ipc.RunExited) *ipc.RunExited {
	if j.over() {
		out = ipc.RunExited{End: ipc.EndStopped}
	}
	return &out
}

// judge turns the end of a run that reached the limit into a held one.
func (g guard) judge(out ipc.RunExited) ipc.RunExited {
	if out.End != ipc.EndExited {
		return out
	}
	const tooMany = 25
	skipped := rsync.Skipped(out.Tail)
	if out.Code != tooMany && skipped == 0 {
		return out
	}
	out.End = ipc.EndHeldMany
	if g.empty {
		out.End = ipc.EndHeldEmpty
	}
	out.Deletes = g.limit + max(skipped, 1)
	out.Entries = g.entries
	return out
}

// limit is the larger of the two: a pass is held when it deletes more than the
// share and more than the number.
func limit(entries uint64, percent uint32, number uint64) uint64 {
	high, low := bits.Mul64(entries, uint64(min(percent, 100)))
	share, _ := bits.Div64(high, low, 100) // high < 100: no overflow
	return max(share, number)
}

// maxDepth bounds the directories that countTree holds open at once. What is
// deeper is not counted, which makes the limit smaller.
const maxDepth = 128

// askEvery is after how many entries of one directory the end is asked about.
const askEvery = 1024

const dirFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK

var errOver = errors.New("stopped")

// countTree counts the entries below a directory without following a link or
// leaving its file system.
func countTree(path string, over func() bool) (uint64, error) {
	c := counter{over: over}
	fd, err := unix.Open(path, dirFlags, 0)
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", path, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, errors.Join(fmt.Errorf("stat %s: %w", path, err), unix.Close(fd))
	}
	c.dev = st.Dev
	if err := errors.Join(c.dir(fd, 1), unix.Close(fd)); err != nil {
		return 0, err
	}
	return c.entries, nil
}

type counter struct {
	over    func() bool
	dev     uint64
	entries uint64
}

// dir counts what is in an open directory and below.
func (c *counter) dir(fd, depth int) error {
	if c.over() {
		return errOver
	}
	return readDir(fd, func(name string, kind uint8) error {
		c.entries++
		if c.entries%askEvery == 0 && c.over() {
			return errOver
		}
		if depth == maxDepth || kind != unix.DT_DIR && kind != unix.DT_UNKNOWN {
			return nil
		}
		return c.enter(fd, name, depth+1)
	})
}

func (c *counter) enter(parent int, name string, depth int) error {
	fd, err := unix.Openat(parent, name, dirFlags, 0)
	if err != nil {
		return nil // no directory, or gone: counted as one entry
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	if err == nil && st.Dev == c.dev {
		err = c.dir(fd, depth)
	}
	return errors.Join(err, unix.Close(fd))
}

// emptyDir says whether a directory has no entry at all.
func emptyDir(path string) (bool, error) {
	fd, err := unix.Open(path, dirFlags, 0)
	if err != nil {
		return false, fmt.Errorf("open %s: %w", path, err)
	}
	found := errors.New("found")
	err = readDir(fd, func(string, uint8) error { return found })
	closed := unix.Close(fd)
	if errors.Is(err, found) {
		return false, closed
	}
	return true, errors.Join(err, closed)
}

// readDir calls visit for every entry but "." and "..". Sizes and offsets are
// of struct linux_dirent64: getdents(2).
func readDir(fd int, visit func(name string, kind uint8) error) error {
	const lengthAt, kindAt, nameAt = 16, 18, 19
	var buf [8 << 10]byte
	for {
		n, err := unix.Getdents(fd, buf[:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("getdents: %w", err)
		}
		if n == 0 {
			return nil
		}
		for rest := buf[:n]; len(rest) > nameAt; {
			length := int(binary.NativeEndian.Uint16(rest[lengthAt:]))
			if length <= nameAt || length > len(rest) {
				return errors.New("getdents: a record of no sense")
			}
			name := unix.ByteSliceToString(rest[nameAt:length])
			kind := rest[kindAt]
			rest = rest[length:]
			if name == "." || name == ".." {
				continue
			}
			if err := visit(name, kind); err != nil {
				return err
			}
		}
	}
}

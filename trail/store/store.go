// Package store keeps an audit trail in files: it appends records, begins the next file
// when one is full, and goes on after a start where the last one ended.
//
// Trust: linked into the supervisor, which is root. The files and the keys are root's
// alone; who else is root can change them, which the trail then shows.
//
// Invariants: files are opened below a directory that is held, never by a path, never
// through a link, and are only ever appended to; a record is in its file before its key
// is forgotten; what is no whole record is never followed by one in the same file; a
// file that is not as it was left is not gone on with, and that is recorded.
package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"lockstep/internal/escape"
	"lockstep/trail"
)

// Options are where a trail is.
type Options struct {
	Dir     string // of its files
	Keys    string // of its keys, which nobody but root may enter
	Name    string // of the file of its keys
	MaxSize int64  // of a file, above which the next begins
	Random  io.Reader
	// Stamp fills in what is true of all records that are made now.
	Stamp func(trail.Record) trail.Record
	// Put hears of each record that is in its file, with its number and its hash, also of
	// those that are made here; nil: nobody does.
	Put func(trail.Record)
}

// Store is an open trail. It is of one goroutine.
type Store struct {
	Options
	// Birth is of a trail that was just begun; nil: it is an older one.
	Birth *trail.Birth
	// Unclean says that the run before did not end with a stop.
	Unclean bool

	dir    *os.File
	keys   *os.File // locked
	file   *os.File // nil: the next record begins another
	spare  *os.File // the next file, empty, which could not be removed; nil: there is none
	kept            // what is to be written down
	unkept bool     // it is not written down yet
	full   bool     // file is to be ended
	high   uint64   // number of the last file that there is, but for spare
	torn   *trail.Torn
	broken string // what of the trail is not as it was left, until that is recorded
}

// Rule is that of the violation which tells that a trail is not as it was left.
const Rule = "trail"

const (
	prefix = "audit-"
	suffix = ".jsonl"
)

// FileName is that of the file of a number; they sort.
func FileName(n uint64) string { return fmt.Sprintf("%s%08d%s", prefix, n, suffix) }

// maxNumber is the highest that a file may have.
const maxNumber = 1<<63 - 1

func number(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, prefix)
	if ok {
		digits, ok = strings.CutSuffix(digits, suffix)
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	return n, ok && err == nil && FileName(n) == name
}

// Open opens a trail, or begins one where there is none.
func Open(o Options) (s *Store, err error) {
	s = &Store{Options: o}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("the audit trail in %s: %w", escape.Name(o.Dir), err), s.close())
		}
	}()
	if err := s.openKeys(); err != nil { // the directory of which may be the parent of the other
		return s, err
	}
	if s.dir, err = openDir(o.Dir); err != nil {
		return s, err
	}
	if s.high, err = highest(s.dir); err != nil {
		return s, err
	}
	known, err := s.load()
	switch {
	case err != nil:
		return s, err
	case !known && s.high > 0:
		return s, fmt.Errorf("there are files of a trail, and its keys (%s) are not there: move the files to another place, and a new trail begins", escape.Name(s.keys.Name()))
	case !known:
		return s, s.bear()
	}
	err = s.resume()
	s.Unclean = !s.Clean && s.File > 0
	return s, err
}

// bear begins a trail.
func (s *Store) bear() error {
	var name [16]byte
	var seed, sign trail.Secret
	for _, b := range [][]byte{name[:], seed[:], sign[:]} {
		if _, err := io.ReadFull(s.Random, b); err != nil {
			return err
		}
	}
	state, birth := trail.New(name, seed, sign)
	s.State, s.Birth = state, &birth
	return s.save()
}

// resume finds the end of a trail that there is.
func (s *Store) resume() error {
	if s.Ended || s.File == 0 { // the next record begins a file
		s.breaks(s.high != s.File && s.high != s.File+1, "files are missing, or were put in")
		return s.began()
	}
	f, err := s.openFile(s.File)
	if err != nil {
		s.breaks(true, FileName(s.File)+": "+err.Error())
		return nil
	}
	why, err := s.follow(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	s.breaks(why != "", FileName(s.File)+": "+why)
	s.breaks(s.high > s.File+1, "files were put in")
	if why != "" || s.torn != nil || s.Ended {
		if err := f.Close(); err != nil {
			return err
		}
		return s.began()
	}
	s.file = f
	if s.high > s.File { // a file that was begun, and nothing in it: nothing was torn or full
		s.breaks(true, "a file was put in")
		return s.leave()
	}
	return nil
}

func (s *Store) breaks(yes bool, why string) {
	if yes && s.broken == "" {
		s.broken = why
	}
}

// began looks at a file that may have been begun before lockstep was killed.
func (s *Store) began() error {
	if s.high <= s.File || s.broken != "" {
		return nil
	}
	f, err := s.openFile(s.high)
	if err != nil {
		s.breaks(true, FileName(s.high)+": "+err.Error())
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(f, trail.MaxLine+1))
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if !bytes.Contains(data, []byte{'\n'}) { // not even its first record: it is of no use to anyone
		s.high--
		return s.undo(f, s.high+1)
	}
	before := s.kept
	s.File, s.Offset, s.Ended = s.high, 0, false
	torn := s.torn
	s.torn = nil
	why, err := s.follow(f)
	if err != nil || why != "" || s.Offset == 0 {
		s.kept, s.torn = before, torn
		s.breaks(true, FileName(s.high)+": "+why)
		return errors.Join(err, f.Close())
	}
	if s.torn != nil || s.Ended {
		return f.Close()
	}
	s.file = f
	return nil
}

// follow reads what is behind the last record whose keys were forgotten. why says
// what is not as it was left.
func (s *Store) follow(f *os.File) (why string, err error) {
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if info.Size() < s.Offset {
		return fmt.Sprintf("it was cut to %d bytes, of %d", info.Size(), s.Offset), nil
	}
	if want := trail.Ending(s.Prev) + "\n"; s.Offset > 0 {
		last := make([]byte, len(want))
		if _, err := f.ReadAt(last, s.Offset-int64(len(want))); err != nil {
			return "", err
		}
		if string(last) != want {
			return "its last record is another", nil
		}
	}
	rest := make([]byte, min(info.Size()-s.Offset, 2*trail.MaxLine))
	if _, err := f.ReadAt(rest, s.Offset); err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	for {
		line, after, whole := bytes.Cut(rest, []byte{'\n'})
		if !whole {
			break
		}
		if err := s.step(line); err != nil {
			return "behind its last record: " + err.Error(), nil
		}
		rest = after
	}
	if len(rest) > 0 {
		s.torn = trail.TornOf(rest)
	}
	return "", s.save()
}

// step takes a record that is in its file.
func (s *Store) step(line []byte) error {
	next, err := s.Follow(line)
	if err != nil {
		return err
	}
	p, err := trail.Parse(line)
	if err != nil {
		return err
	}
	s.State, s.Offset, s.Ended = next, s.Offset+int64(len(line))+1, p.Type == trail.Rotate
	s.Clean = clean(p.Type, s.Clean)
	return nil
}

// Append adds a record. After an error it is not in the trail; it may be that a part of it
// is in the file: the next one that is appended begins another file.
func (s *Store) Append(r trail.Record) error {
	err := s.rotate()
	if err == nil {
		err = s.ready()
	}
	if err == nil {
		err = s.put(r)
	}
	if err == nil {
		s.full = s.Offset >= s.MaxSize
		_ = s.rotate() // what fails here has not failed for r: the next record finds it, and says so
	}
	return err
}

// rotate ends a file that is full, and begins the next.
func (s *Store) rotate() error {
	if s.file == nil || !s.full {
		return nil
	}
	file := s.File
	err := s.Checkpoint()
	if err != nil || s.File != file { // it was not as it was left: there is another already
		return err
	}
	if err = s.put(s.Stamp(trail.Record{Event: trail.Event{Type: trail.Rotate, Outcome: trail.Success}})); err == nil {
		err = s.leave()
	}
	if err == nil {
		err = s.ready()
	}
	return err
}

// Checkpoint signs all up to here, and has it reach the disk.
func (s *Store) Checkpoint() error {
	if err := s.ready(); err != nil {
		return err
	}
	if err := s.put(s.Stamp(trail.Record{Event: trail.Event{Type: trail.Checkpoint, Outcome: trail.Success}})); err != nil {
		return err
	}
	return errors.Join(s.keep(), unix.Fdatasync(int(s.file.Fd())), unix.Fdatasync(int(s.keys.Fd())))
}

// keep writes down what is not yet.
func (s *Store) keep() error {
	if !s.unkept {
		return nil
	}
	return s.save()
}

// ready makes sure that there is a file as it was left, and that the keys of all records
// that there are have been forgotten.
func (s *Store) ready() error {
	if err := s.keep(); err != nil {
		return err
	}
	if s.file != nil {
		var st unix.Stat_t
		err := unix.Fstat(int(s.file.Fd()), &st)
		name := FileName(s.File)
		s.breaks(err != nil || st.Nlink == 0, name+" was removed")
		s.breaks(err == nil && st.Size != s.Offset, fmt.Sprintf("%s has %d bytes, and was left with %d", name, st.Size, s.Offset))
		if s.broken == "" {
			return nil
		}
		if err := s.leave(); err != nil {
			return err
		}
	}
	if err := s.begin(); err != nil {
		return err
	}
	if s.broken == "" {
		return nil
	}
	err := s.put(s.Stamp(trail.Record{Event: trail.Event{Type: trail.Violation, Outcome: trail.Failure, Actor: trail.Actor{Role: "unknown"},
		Object: trail.Object{Name: s.Dir}, Why: trail.Why{Rule: Rule, Reason: "the trail is not as it was left: " + s.broken}}}))
	if err == nil {
		s.broken = ""
	}
	return err
}

// begin begins a file.
func (s *Store) begin() error {
	n := max(s.high, s.File) + 1
	if n > maxNumber {
		return fmt.Errorf("no file can come after %s: that one is of nobody here; move it to another place, and start lockstep again", FileName(s.high))
	}
	r := s.State.Head(s.Stamp(trail.Record{Event: trail.Event{Actor: trail.Actor{Role: "supervisor"}}}), n, s.torn)
	line, next, err := s.Seal(r)
	if err != nil {
		return err
	}
	f, err := s.create(n)
	if err != nil {
		return err
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		return errors.Join(err, s.undo(f, n))
	}
	s.file, s.torn, s.high = f, nil, n
	s.File, s.Offset = n, 0
	err = s.took(r, line, next)
	return errors.Join(err, s.dir.Sync())
}

// create makes the file of a number.
func (s *Store) create(n uint64) (*os.File, error) {
	if f := s.spare; f != nil {
		s.spare = nil
		return f, nil
	}
	name := FileName(n)
	fd, err := unix.Openat(int(s.dir.Fd()), name, unix.O_RDWR|unix.O_APPEND|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if errors.Is(err, unix.EEXIST) { // the next try takes the next number
		s.breaks(true, name+" was put in")
		s.high = n
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be made: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// undo takes back a file whose first record could not be written: a file without a
// record is of no use to anyone, and no verifier takes it.
func (s *Store) undo(f *os.File, n uint64) error {
	err := unix.Unlinkat(int(s.dir.Fd()), FileName(n), 0)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return f.Close()
	}
	if e := f.Truncate(0); e != nil { // it stays as it is, and the next one comes after it
		s.high = n
		s.breaks(true, FileName(n)+" could not be removed, and has no whole record")
		return errors.Join(err, e, f.Close())
	}
	s.spare = f
	return nil
}

// put writes one record to the file that there is.
func (s *Store) put(r trail.Record) error {
	line, next, err := s.Seal(r)
	if err != nil {
		return err
	}
	n, err := s.file.Write(append(line, '\n'))
	if err != nil {
		if n > 0 { // nothing whole may follow it
			s.torn = trail.TornOf(line[:n])
			return errors.Join(err, s.leave())
		}
		return err
	}
	_ = s.took(r, line, next) // r is there; the next record is not before this one's key is forgotten, and says why
	return nil
}

// took takes note of a record that is in the file. An error says that its key is not
// forgotten yet.
func (s *Store) took(r trail.Record, line []byte, next trail.State) error {
	s.State, s.Offset, s.Ended, s.unkept = next, s.Offset+int64(len(line))+1, r.Type == trail.Rotate, true
	s.Clean = clean(r.Type, s.Clean)
	err := s.keep()
	if s.Put != nil {
		r.Seq, r.Sum = next.Seq-1, next.Prev
		s.Put(r)
	}
	return err
}

func clean(t trail.Type, before bool) bool { return t == trail.Stop || t != trail.Start && before }

// leave ends the use of a file.
func (s *Store) leave() error {
	f := s.file
	s.file, s.full = nil, false
	return f.Close()
}

// Close closes the trail; what is to be its last record has been appended.
func (s *Store) Close() error { return s.close() }

func (s *Store) close() error {
	var err error
	if s.spare != nil {
		_ = unix.Unlinkat(int(s.dir.Fd()), FileName(max(s.high, s.File)+1), 0) // else the next start does, or says why not
	}
	for _, f := range []*os.File{s.file, s.spare, s.keys, s.dir} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	s.file, s.spare, s.keys, s.dir = nil, nil, nil, nil
	return err
}

// Package verify says whether a trail is what was written, and where it first is not.
//
// Trust: linked into the command line. A trail may have been changed by anybody: each
// line is bounded, and read strictly.
// Pure: files are others'; a trail is lines.
//
// Invariants: a Verifier that has returned an error returns no other; what is said of a
// trail is no more than what its lines, and the keys and anchors that were given, show.
package verify

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"lockstep/trail"
)

// Options are what is known beside the trail.
type Options struct {
	Seed    *trail.Secret     // of its birth: each record is verified by its key
	Public  string            // the key of its birth: signatures are of who began it. "": of whoever the first line names
	Anchors map[uint64]string // Sum of records by number, as they were told elsewhere
}

// Bad is the first thing that is wrong.
type Bad struct {
	File string
	Line int    // in it, from 1; 0: its end
	Seq  uint64 // of the record that belongs there
	Why  error
}

func (b *Bad) Error() string {
	where := fmt.Sprintf("%s:%d", b.File, b.Line)
	if b.Line == 0 {
		where = b.File + ", its end"
	}
	return fmt.Sprintf("%s: record %d: %v", where, b.Seq, b.Why)
}

func (b *Bad) Unwrap() error { return b.Why }

// Result is what was found to be so; its names are stable.
type Result struct {
	Trail   string `json:"trail"`
	First   uint64 `json:"first"` // records
	Last    uint64 `json:"last"`
	Sum     string `json:"sum"`    // of the last
	Signed  uint64 `json:"signed"` // records before this one are covered by a signature
	Records uint64 `json:"records"`
	Files   int    `json:"files"`
	Torn    int    `json:"torn"`    // lines that were not written to their end, and are accounted for
	Lost    uint64 `json:"lost"`    // events that were not recorded, and are counted
	Signer  string `json:"signer"`  // the key that signs what follows
	Stopped bool   `json:"stopped"` // the last record is a stop
}

// Verifier verifies the lines of one trail, in order. It is a value: a copy goes on by
// itself.
type Verifier struct {
	Options
	Result
	Each   func(trail.Record) // is called for each good record; nil: nothing is
	file   string
	number uint64 // of the file
	line   int
	begun  bool // there was a line
	fresh  bool // of this file there was none yet
	ended  bool // the file's last record was read
	secret trail.Secret
	key    string // that signs the next checkpoint
	epoch  uint64
	torn   *trail.Torn // at the end of the file before
	bad    *Bad
}

// New is a verifier that has seen nothing.
func New(o Options) Verifier { return Verifier{Options: o} }

// maxSteps bounds how far a seed is followed to a trail's first record.
const maxSteps = 1 << 30

func (v *Verifier) fail(line int, why error) error {
	if v.bad == nil {
		v.bad = &Bad{v.file, line, v.next(), why}
	}
	return v.bad
}

// next is the number of the record that comes.
func (v *Verifier) next() uint64 {
	if !v.begun {
		return 0
	}
	return v.Last + 1
}

// File begins a file.
func (v *Verifier) File(name string) {
	v.file, v.line, v.fresh = name, 0, true
	v.Files++
}

// Line takes a line of the file, without its newline.
func (v *Verifier) Line(line []byte) error {
	if v.bad != nil {
		return v.bad
	}
	v.line++
	p, err := trail.Parse(line)
	if err == nil {
		err = v.place(p)
	}
	if err == nil {
		err = v.keys(p)
	}
	if err == nil && v.begun && p.Prev != v.Sum {
		err = errors.New("it does not follow the line before it: one of the two was put in the place of another")
	}
	if err == nil {
		err = v.head(p)
	}
	if want, told := v.Anchors[p.Seq]; err == nil && told && want != p.Sum {
		err = errors.New("it is another than the one that the anchor tells of: the trail was exchanged for another")
	}
	if err != nil {
		return v.fail(v.line, err)
	}
	v.take(p)
	if v.Each != nil {
		v.Each(p.Record)
	}
	return nil
}

// place says whether this record belongs here by its number and its kind.
func (v *Verifier) place(p trail.Parsed) error {
	switch {
	case v.fresh && p.Type != trail.Open:
		return errors.New("a file begins with another record than an open: its beginning is missing, or it is no file of a trail")
	case !v.fresh && p.Type == trail.Open:
		return errors.New("an open within a file: files were put together")
	case !v.fresh && v.ended:
		return errors.New("a record after the last of its file")
	case !v.begun && p.Seq == 0 && p.Prev != trail.Zero:
		return errors.New("the first record of all follows another")
	case v.begun && p.Seq > v.next():
		return fmt.Errorf("it is missing: record %d follows", p.Seq)
	case v.begun && p.Seq < v.next():
		return fmt.Errorf("record %d is in its place, once more or in another order", p.Seq)
	}
	return nil
}

// keys says whether the record was made by who had its keys.
func (v *Verifier) keys(p trail.Parsed) error {
	if !v.begun {
		v.key, v.epoch = p.Key.Public, p.Key.Epoch
		if p.Seq == 0 && p.Key.Epoch != 0 {
			return errors.New("it is the first of all, and names a later key than the first: a forgery")
		}
		if v.Public != "" && (p.Seq == 0 || p.Key.Epoch == 0) && v.key != v.Public {
			return errors.New("it was begun with another key than the one that was given: another trail")
		}
		if v.Seed != nil {
			if p.Seq > maxSteps {
				return errors.New("its number is too high to be true")
			}
			v.secret = *v.Seed
			for range p.Seq {
				v.secret = v.secret.Next()
			}
		}
	}
	if v.Seed != nil {
		if err := p.CheckMac(v.secret); err != nil {
			return err
		}
	}
	if p.Type != trail.Checkpoint {
		return nil
	}
	if p.Key.Epoch != v.epoch+1 {
		return trail.ErrSig
	}
	return p.CheckSig(v.key)
}

// head says whether a file is the one that follows.
func (v *Verifier) head(p trail.Parsed) error {
	h := p.Head
	if h == nil {
		return nil
	}
	switch {
	case v.begun && h.Trail != v.Trail:
		return errors.New("it is of another trail")
	case v.begun && h.File <= v.number:
		return fmt.Errorf("file %d of the trail comes after file %d", h.File, v.number)
	case v.begun && (p.Key.Epoch != v.epoch || p.Key.Public != v.key):
		return trail.ErrSig
	case v.begun && (h.Torn == nil) != (v.torn == nil), v.torn != nil && *h.Torn != *v.torn:
		return errors.New("the file before does not end as this one says: something was put behind its last record, or taken away")
	}
	return nil
}

// take keeps what a good record says.
func (v *Verifier) take(p trail.Parsed) {
	if !v.begun {
		v.Trail, v.First, v.begun = p.Head.Trail, p.Seq, true
	}
	if p.Head != nil {
		v.number = p.Head.File
		if p.Head.Torn != nil {
			v.Torn++
		}
		v.torn = nil
	}
	v.Last, v.Sum, v.Stopped, v.fresh = p.Seq, p.Sum, p.Type == trail.Stop || p.Type == trail.Checkpoint && v.Stopped, false
	v.ended = p.Type == trail.Rotate
	v.Records++
	v.Lost += p.Facts.Lost
	if p.Type == trail.Checkpoint {
		v.key, v.epoch, v.Signed = p.Key.Public, p.Key.Epoch, p.Seq+1
	}
	v.Signer = v.key
	if v.Seed != nil {
		v.secret = v.secret.Next()
	}
}

// Rest takes what the file ends with, that is no whole line; nil: nothing.
func (v *Verifier) Rest(rest []byte) error {
	if v.bad != nil {
		return v.bad
	}
	if v.fresh {
		return v.fail(0, errors.New("the file has no record"))
	}
	if len(rest) > 0 {
		v.torn = trail.TornOf(rest)
	}
	return nil
}

// End is the end of the trail.
func (v *Verifier) End() (Result, error) {
	r := v.Result
	switch {
	case v.bad != nil:
		return r, v.bad
	case !v.begun:
		return r, v.fail(0, errors.New("there is no record"))
	case v.torn != nil:
		return r, v.fail(0, fmt.Errorf("torn: %d bytes that are no whole record", v.torn.Bytes))
	case v.ended && v.Anchors[v.Last] == "": // else it was the last when lockstep was killed
		return r, v.fail(0, errors.New("it is missing: the trail goes on in another file"))
	}
	for _, seq := range slices.Sorted(maps.Keys(v.Anchors)) {
		if seq > v.Last {
			return r, v.fail(0, fmt.Errorf("it is missing: an anchor tells of record %d", seq))
		}
	}
	return r, nil
}

// Read takes a whole file.
func (v *Verifier) Read(name string, from io.Reader) error {
	v.File(name)
	r := bufio.NewReaderSize(from, 64<<10)
	for {
		line, err := readLine(r)
		if errors.Is(err, io.EOF) {
			return v.Rest(line)
		}
		if err != nil {
			return v.fail(v.line+1, err)
		}
		if err := v.Line(line); err != nil {
			return err
		}
	}
}

// readLine reads a line, bounded; with io.EOF what is behind the last one.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > trail.MaxLine+1:
			return nil, trail.ErrForm
		case errors.Is(err, bufio.ErrBufferFull):
		case err != nil:
			return line, err
		default:
			return bytes.TrimSuffix(line, []byte{'\n'}), nil
		}
	}
}

package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/trail"
	"lockstep/trail/verify"
)

// A record that is in its file is not said to be lost because of what is done behind it;
// what could not be done is, with the next one, or the next one says why not.
func TestWhatFollowsARecord(t *testing.T) {
	p := newPlace(t)
	p.o.MaxSize = 1 // each record ends a file
	var put []trail.Record
	p.o.Put = func(r trail.Record) { put = append(put, r) }
	s := p.open()
	p.add(s, 1)
	if err := os.WriteFile(p.path(3), nil, 0o600); err != nil { // in the way of the next file
		t.Fatal(err)
	}
	first := p.event()
	if err := s.Append(first); err != nil {
		t.Errorf("a record that is there: %v", err)
	}
	if err := os.Remove(p.path(3)); err != nil {
		t.Fatal(err)
	}
	p.add(s, 1)
	p.end(s)
	var all []trail.Record
	v := verify.New(verify.Options{Seed: &p.birth.Seed, Public: p.birth.Public})
	v.Each = func(r trail.Record) { all = append(all, r) }
	for _, n := range []uint64{1, 2, 4, 5} {
		data, err := os.ReadFile(p.path(n))
		if err == nil {
			err = v.Read(FileName(n), bytes.NewReader(data))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := v.End(); err != nil {
		t.Fatal(err)
	}
	told := func(r trail.Record) string { return r.Object.Name }
	if n := strings.Count(strings.Join(namesOf(all, told), "\n"), first.Object.Name); n != 1 {
		t.Errorf("%s is there %d times", first.Object.Name, n)
	}
	if kinds := namesOf(all, func(r trail.Record) string { return string(r.Type) }); !slices.Contains(kinds, "violation") {
		t.Errorf("a file that was put in is not in the trail: %v", kinds)
	}
	if len(put) != len(all) {
		t.Fatalf("of %d records %d are told of", len(all), len(put))
	}
	for i, r := range all {
		if put[i].Seq != r.Seq || put[i].Sum != r.Sum || put[i].Type != r.Type {
			t.Errorf("of record %d %s is told: %d %s", r.Seq, r.Type, put[i].Seq, put[i].Type)
		}
	}
}

func namesOf(all []trail.Record, name func(trail.Record) string) (out []string) {
	for _, r := range all {
		out = append(out, name(r))
	}
	return out
}

// When keys cannot be written down, the record that is in the file already is not said
// to have failed; the next one is not written before they are.
func TestKeysCannotBeWritten(t *testing.T) {
	p := newPlace(t)
	s := p.open()
	p.add(s, 1)
	good := s.keys
	var err error
	if s.keys, err = os.Open(good.Name()); err != nil { // to read alone
		t.Fatal(err)
	}
	p.add(s, 1)
	size := s.Offset
	if err := s.Append(p.event()); err == nil || s.Offset != size || !strings.Contains(err.Error(), "keys of the audit trail") {
		t.Errorf("a record was put behind one whose key is not forgotten: %v", err)
	}
	if err := s.keys.Close(); err != nil {
		t.Fatal(err)
	}
	s.keys = good
	p.add(s, 1)
	p.end(s)
	p.good(4, 1, 0)
}

// A file whose first record does not fit on the disk, and which cannot be removed, is
// used when there is room.
func TestFirstRecordDoesNotFit(t *testing.T) {
	testenv.NeedRoot(t)
	p := newPlace(t)
	if err := errors.Join(os.Mkdir(p.o.Dir, 0o700), unix.Mount("none", p.o.Dir, "tmpfs", 0, "size=64k,mode=700"),
		os.WriteFile(filepath.Join(p.o.Dir, "full"), make([]byte, 64<<10), 0o600)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(p.o.Dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	flags := func(attr int) {
		t.Helper()
		dir, err := os.Open(p.o.Dir)
		if err == nil {
			err = errors.Join(unix.IoctlSetPointerInt(int(dir.Fd()), unix.FS_IOC_SETFLAGS, attr), dir.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s := p.open()
	flags(unix.STATX_ATTR_APPEND) // chattr +a: names may be added, and none removed
	for range 2 {
		for range 3 {
			if err := s.Append(p.event()); !errors.Is(err, unix.ENOSPC) {
				t.Fatalf("on a full disk: %v", err)
			}
		}
		p.end(s) // and a start with what is left
		s = p.open()
	}
	if err := unix.Mount("none", p.o.Dir, "tmpfs", unix.MS_REMOUNT, "size=256k"); err != nil {
		t.Fatal(err)
	}
	p.add(s, 3)
	p.end(s)
	p.good(4, 1, 0)
}

// Files are those that there are, however far apart their numbers; behind the highest
// that there can be none is begun.
func TestFilesFarApart(t *testing.T) {
	p := newPlace(t)
	s := p.open()
	p.add(s, 1)
	p.end(s)
	if err := os.WriteFile(p.path(maxNumber), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := Files(p.o.Dir)
	if want := []string{p.path(1), filepath.Join(p.o.Dir, "audit-9223372036854775807.jsonl")}; err != nil || !slices.Equal(files, want) {
		t.Errorf("%v, %v", files, err)
	}
	s = p.open()
	if err := s.Append(p.event()); err == nil || !strings.Contains(err.Error(), "move it to another place") {
		t.Errorf("%v", err)
	}
	p.end(s)
}

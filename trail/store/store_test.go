package store

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/trail"
	"lockstep/trail/verify"
)

// place is a trail of a test.
type place struct {
	t     *testing.T
	o     Options
	birth *trail.Birth
	n     int
}

func newPlace(t *testing.T) *place {
	top := t.TempDir()
	return &place{t: t, o: Options{
		Dir: filepath.Join(top, "trail"), Keys: filepath.Join(top, "keys"), Name: "audit-x", MaxSize: 1 << 20, Random: rand.Reader,
		Stamp: func(r trail.Record) trail.Record { r.TS, r.Run = time.Now().Format(time.RFC3339Nano), "run"; return r },
	}}
}

func (p *place) open() *Store {
	p.t.Helper()
	s, err := Open(p.o)
	if err != nil {
		p.t.Fatal(err)
	}
	if s.Birth != nil {
		p.birth = s.Birth
	}
	return s
}

func (p *place) event() trail.Record {
	p.n++
	return p.o.Stamp(trail.Record{Event: trail.Event{Type: trail.Control, Outcome: trail.Success, Object: trail.Object{Name: fmt.Sprint("event ", p.n)}}})
}

func (p *place) add(s *Store, n int) {
	p.t.Helper()
	for range n {
		if err := s.Append(p.event()); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *place) end(s *Store) {
	p.t.Helper()
	if err := s.Close(); err != nil {
		p.t.Fatal(err)
	}
}

// verify verifies all files with all that is known.
func (p *place) verify() (verify.Result, error) {
	p.t.Helper()
	seq, sum, known, err := Anchor(p.o.Keys, p.o.Name)
	if err != nil || !known {
		p.t.Fatal(known, err)
	}
	files, err := Files(p.o.Dir)
	if err != nil {
		p.t.Fatal(err)
	}
	v := verify.New(verify.Options{Seed: &p.birth.Seed, Public: p.birth.Public, Anchors: map[uint64]string{seq: sum}})
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			p.t.Fatal(err)
		}
		bad := v.Read(filepath.Base(path), f)
		if err := f.Close(); err != nil {
			p.t.Fatal(err)
		}
		if bad != nil {
			break
		}
	}
	return v.End()
}

func (p *place) good(records uint64, files, torn int) {
	p.t.Helper()
	r, err := p.verify()
	if err != nil || r.Records != records || r.Files != files || r.Torn != torn {
		p.t.Errorf("%+v, %v; want %d records in %d files, %d torn", r, err, records, files, torn)
	}
}

func (p *place) path(n uint64) string { return filepath.Join(p.o.Dir, FileName(n)) }

func TestGoesOn(t *testing.T) {
	p := newPlace(t)
	for range 3 {
		s := p.open()
		p.add(s, 5)
		if err := s.Checkpoint(); err != nil {
			t.Fatal(err)
		}
		p.end(s)
	}
	p.good(1+18, 1, 0)
	for path, mode := range map[string]os.FileMode{p.o.Dir: 0o700, p.path(1): 0o600, filepath.Join(p.o.Keys, p.o.Name): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

func TestRotation(t *testing.T) {
	p := newPlace(t)
	p.o.MaxSize = 4 << 10
	s := p.open()
	p.add(s, 20)
	p.end(s)
	s = p.open() // at whatever place the rotation is
	p.add(s, 20)
	p.end(s)
	r, err := p.verify()
	if err != nil || r.Files < 5 || r.Torn != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// Killed between any two of its writes, a trail goes on, and nothing is lost.
func TestKilled(t *testing.T) {
	p := newPlace(t)
	p.o.MaxSize = 2 << 10
	s := p.open()
	var kept [][]byte
	var sizes []map[uint64]int64 // of the files, when that was kept
	note := func() {
		data, err := os.ReadFile(filepath.Join(p.o.Keys, p.o.Name))
		if err != nil {
			t.Fatal(err)
		}
		size := map[uint64]int64{}
		for n := uint64(1); n <= s.high; n++ {
			if info, err := os.Stat(p.path(n)); err == nil {
				size[n] = info.Size()
			}
		}
		kept, sizes = append(kept, data), append(sizes, size)
	}
	note()
	for range 12 {
		p.add(s, 1)
		note()
	}
	p.end(s)
	whole := map[uint64][]byte{}
	for n := uint64(1); n <= s.high; n++ {
		data, err := os.ReadFile(p.path(n))
		if err != nil {
			t.Fatal(err)
		}
		whole[n] = data
	}
	for i := 1; i < len(kept); i++ { // the keys are older than the files, which end anywhere up to one record later
		for extra := int64(0); extra < 2_000; extra += 97 {
			q := newPlace(t)
			q.o.MaxSize, q.birth = p.o.MaxSize, p.birth
			if err := errors.Join(os.Mkdir(q.o.Dir, 0o700), os.Mkdir(q.o.Keys, 0o700), os.WriteFile(filepath.Join(q.o.Keys, q.o.Name), kept[i-1], 0o600)); err != nil {
				t.Fatal(err)
			}
			left := extra
			for n := uint64(1); n <= s.high; n++ {
				if n > 1 && left == 0 && sizes[i-1][n] == 0 {
					break
				}
				size := min(sizes[i-1][n]+left, sizes[i][n])
				left -= size - sizes[i-1][n]
				if sizes[i][n] == 0 {
					break
				}
				if err := os.WriteFile(q.path(n), whole[n][:size], 0o600); err != nil {
					t.Fatal(err)
				}
			}
			again := q.open()
			q.add(again, 2)
			q.end(again)
			r, err := q.verify()
			if err != nil || r.Torn > 1 {
				t.Fatalf("killed %d bytes after record %d: %+v, %v", extra, i, r, err)
			}
		}
	}
}

func TestTorn(t *testing.T) {
	p := newPlace(t)
	s := p.open()
	p.add(s, 3)
	p.end(s)
	f, err := os.OpenFile(p.path(1), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"v":1,"seq":4,`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.verify(); err == nil || !strings.Contains(err.Error(), "torn") {
		t.Errorf("a torn end is %v", err)
	}
	s = p.open()
	p.add(s, 1)
	p.end(s)
	p.good(6, 2, 1)
}

// What somebody did to the files while lockstep ran, or did not, is in the trail, and
// the verifier names the place.
func TestNotAsItWasLeft(t *testing.T) {
	for name, c := range map[string]struct {
		change func(p *place) error
		live   bool   // it is noticed while it is open
		seq    uint64 // 0: the verifier has nothing to say
	}{
		"cut":           {func(p *place) error { return cut(p.path(1), 1) }, true, 4},
		"cut within":    {func(p *place) error { return os.Truncate(p.path(1), 900) }, true, 1},
		"removed":       {func(p *place) error { return os.Remove(p.path(1)) }, true, 0},
		"last record":   {func(p *place) error { return patch(p.path(1)) }, false, 4},
		"a line behind": {func(p *place) error { return appendTo(p.path(1), "{}\n") }, true, 5},
		"a file put in": {func(p *place) error { return os.WriteFile(p.path(2), []byte("{}\n"), 0o600) }, false, 0},
		"a link instead": {func(p *place) error {
			return errors.Join(os.Rename(p.path(1), p.path(1)+".old"), os.Symlink(p.path(1)+".old", p.path(1)))
		}, false, 0},
		"another name": {func(p *place) error { return os.Link(p.path(1), p.path(1)+".x") }, false, 0},
	} {
		for _, live := range []bool{true, false} {
			if live && !c.live {
				continue
			}
			p := newPlace(t)
			s := p.open()
			p.add(s, 4)
			if !live {
				p.end(s)
			}
			if err := c.change(p); err != nil {
				t.Fatal(err)
			}
			if !live {
				s = p.open()
			}
			p.add(s, 1)
			high := s.high
			p.end(s)
			data, err := os.ReadFile(p.path(high))
			if err != nil || !bytes.Contains(data, []byte(`"type":"violation"`)) || !bytes.Contains(data, []byte(`"rule":"trail"`)) {
				t.Errorf("%s (live %v): it is not in the trail: %v %s", name, live, err, data)
			}
			var bad *verify.Bad
			if _, err := p.verify(); c.seq > 0 && (!errors.As(err, &bad) || bad.Seq != c.seq) {
				t.Errorf("%s (live %v): %v, want record %d", name, live, err, c.seq)
			}
		}
	}
}

// cut takes the last lines of a file away.
func cut(path string, lines int) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for range lines {
		data = data[:bytes.LastIndexByte(data[:len(data)-1], '\n')+1]
	}
	return os.Truncate(path, int64(len(data)))
}

// patch changes a letter of the last line.
func patch(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	data[len(data)-10] ^= 1
	return os.WriteFile(path, data, 0o600)
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		make func(p *place) error
		want string
	}{
		"files without keys": {func(p *place) error {
			return errors.Join(os.Mkdir(p.o.Dir, 0o700), os.WriteFile(p.path(7), nil, 0o600))
		}, "its keys"},
		"damaged keys": {func(p *place) error {
			return errors.Join(os.Mkdir(p.o.Keys, 0o700), os.WriteFile(filepath.Join(p.o.Keys, p.o.Name), []byte("x"), 0o600))
		}, "damaged"},
		"writable by others": {func(p *place) error { return errors.Join(os.Mkdir(p.o.Dir, 0o700), os.Chmod(p.o.Dir, 0o777)) }, "chmod 0700"},
		"a link":             {func(p *place) error { return os.Symlink("/tmp", p.o.Dir) }, "cannot be opened"},
		"keys through a link": {func(p *place) error {
			return errors.Join(os.Mkdir(p.o.Keys, 0o700), os.Symlink("/etc/passwd", filepath.Join(p.o.Keys, p.o.Name)))
		}, "cannot be opened"},
	} {
		p := newPlace(t)
		if err := c.make(p); err != nil {
			t.Fatal(err)
		}
		if s, err := Open(p.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want one with %q", name, err, c.want)
			if err == nil {
				p.end(s)
			}
		}
	}
	p := newPlace(t)
	s := p.open()
	if _, err := Open(p.o); err == nil || !strings.Contains(err.Error(), "another lockstep") {
		t.Errorf("a second writer: %v", err)
	}
	p.end(s)
}

// On a full disk nothing whole follows what is torn; when there is room again the trail
// goes on, and verifies.
func TestFullDisk(t *testing.T) {
	testenv.NeedRoot(t)
	p := newPlace(t)
	if err := errors.Join(os.Mkdir(p.o.Dir, 0o700), unix.Mount("none", p.o.Dir, "tmpfs", 0, "size=64k,mode=700")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(p.o.Dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s := p.open()
	var full error
	added := uint64(1)
	for full == nil {
		if full = s.Append(p.event()); full == nil {
			added++
		}
	}
	for range 3 {
		if err := s.Append(p.event()); !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("on a full disk: %v", err)
		}
	}
	if err := unix.Mount("none", p.o.Dir, "tmpfs", unix.MS_REMOUNT, "size=256k"); err != nil {
		t.Fatal(err)
	}
	p.add(s, 5)
	p.end(s)
	p.good(added+6, 2, 1)
}

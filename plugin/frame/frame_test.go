package frame

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

func messages() map[string]Message {
	return map[string]Message{
		"init":         &Init{Mode: ModeRsync, Label: "web", WatchDir: "/srv", DestDir: "/to", PreferIncludes: true},
		"no target":    &Init{WatchDir: "/"},
		"sync":         &Sync{Round: Round{"running", 7}, Entries: []Entry{{Mask: 10, Path: "a/b", Old: File, New: File}, {Mask: 1 << 30, Flags: 1, Path: "/srv/d", Old: Absent, New: Directory}, {}}},
		"hostile name": &Sync{Entries: []Entry{{Path: "\xff\n%s -rf"}}},
		"longest path": &Sync{Entries: []Entry{{Path: strings.Repeat("x", MaxPath)}}},
		"most paths":   &Sync{Entries: make([]Entry, MaxEntries)},
		"rsync":        &Rsync{Round{"initsync", 1 << 63}, "/tmp/in", "/tmp/out"},
		"no excludes":  &Rsync{Include: "/tmp/in"},
		"deinit":       &Deinit{},
		"result":       &Result{-1, 3},
		"fault":        &Fault{NotLoadable, strings.Repeat("y", MaxText)},
	}
}

func readEither(b []byte) (Sequence, Message, error) {
	seq, m, err := ReadRequest(bytes.NewReader(b))
	if errors.Is(err, ErrMalformed) {
		return ReadAnswer(bytes.NewReader(b))
	}
	return seq, m, err
}

func TestRoundTrip(t *testing.T) {
	for name, m := range messages() {
		b, err := Append([]byte("before"), 7, m)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		b = b[len("before"):]
		seq, got, err := readEither(b)
		if err != nil || seq != 7 || !reflect.DeepEqual(got, m) {
			t.Errorf("%s: %d %+v, %v", name, seq, got, err)
		}
		for _, cut := range []int{1, headerSize - 1, headerSize, len(b) - 1} {
			if cut >= len(b) {
				continue
			}
			if _, m, err := readEither(b[:cut]); err == nil {
				t.Errorf("%s: %d of %d bytes are %+v", name, cut, len(b), m)
			}
		}
	}
}

// What the other side would refuse is not sent.
func TestNotSent(t *testing.T) {
	for name, m := range map[string]Message{
		"relative source": &Init{WatchDir: "srv"},
		"relative target": &Init{WatchDir: "/srv", DestDir: "to"},
		"mode":            &Init{WatchDir: "/srv", Mode: numModes},
		"label":           &Init{WatchDir: "/srv", Label: strings.Repeat("x", MaxLabel+1)},
		"nothing":         &Sync{},
		"too many":        &Sync{Entries: make([]Entry, MaxEntries+1)},
		"too long":        &Sync{Entries: []Entry{{Path: strings.Repeat("x", MaxPath+1)}}},
		"too large":       &Sync{Entries: slicesOf(MaxFrame/MaxPath+1, Entry{Path: strings.Repeat("x", MaxPath)})},
		"NUL":             &Sync{Entries: []Entry{{Path: "a\x00b"}}},
		"flags":           &Sync{Entries: []Entry{{Flags: NumFlags}}},
		"type":            &Sync{Entries: []Entry{{New: numTypes}}},
		"status":          &Rsync{Round: Round{Status: "a\x00b"}, Include: "/tmp/in"},
		"no list":         &Rsync{Exclude: "/tmp/out"},
		"fault":           &Fault{0, "x"},
	} {
		if b, err := Append(nil, 1, m); err == nil || len(b) != 0 {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
}

func slicesOf(n int, e Entry) []Entry {
	all := make([]Entry, n)
	for i := range all {
		all[i] = e
	}
	return all
}

// A length is refused before memory is taken for it, and an answer is not a
// request.
func TestRefused(t *testing.T) {
	header := func(n uint32, k kind) []byte {
		b := make([]byte, headerSize)
		binary.LittleEndian.PutUint32(b, n)
		b[8] = byte(k)
		return b
	}
	for name, c := range map[string]struct {
		b    []byte
		read func(io.Reader) (Sequence, Message, error)
	}{
		"long sync":          {header(MaxFrame+1, kindSync), ReadRequest},
		"long init":          {header(maxShort+1, kindInit), ReadRequest},
		"long result":        {header(1<<31, kindResult), ReadAnswer},
		"result as request":  {header(0, kindResult), ReadRequest},
		"request as answer":  {header(0, kindSync), ReadAnswer},
		"no kind":            {header(0, 0), ReadAnswer},
		"bytes after deinit": {append(header(1, kindDeinit), 0), ReadRequest},
		"text":               {[]byte("Segmentation fault\n"), ReadAnswer},
	} {
		if _, m, err := c.read(bytes.NewReader(c.b)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
	if _, _, err := ReadAnswer(strings.NewReader("")); err != io.EOF {
		t.Errorf("the end: %v", err)
	}
}

// FuzzRead: whatever comes, it is refused or would be written in the same
// bytes, and memory follows what has come.
func FuzzRead(f *testing.F) {
	for _, m := range messages() {
		b, err := Append(nil, 1, m)
		if err != nil {
			f.Fatal(err)
		}
		if len(b) < 1024 {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		seq, m, err := readEither(b)
		if err != nil {
			return
		}
		again, err := Append(nil, seq, m)
		if err != nil {
			t.Fatalf("%+v was read and cannot be written: %v", m, err)
		}
		if !bytes.HasPrefix(b, again) {
			t.Fatalf("read %x, written %x", b, again)
		}
	})
}

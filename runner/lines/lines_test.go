package lines

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"lockstep/ipc"
)

func TestLineWriter(t *testing.T) {
	var lines []string
	w := &Writer{Emit: func(line []byte) { lines = append(lines, string(line)) }}
	long := strings.Repeat("x", 2*maxLine+5)
	for piece := range slices.Chunk([]byte("a\n\nb\n"+long+"\nlast"), 3) {
		if _, err := w.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	w.Flush()
	want := []string{"a", "b", long[:maxLine], long[:maxLine], "xxxxx", "last"}
	if !slices.Equal(lines, want) {
		t.Errorf("%.80q", lines)
	}
}

func TestTail(t *testing.T) {
	var whole []byte
	var got Tail
	for i := range 200 {
		piece := bytes.Repeat([]byte{byte('a' + i%26)}, i*7%9000)
		whole = append(whole, piece...)
		if _, err := got.Write(piece); err != nil {
			t.Fatal(err)
		}
		if want := whole[max(0, len(whole)-ipc.MaxTail):]; !bytes.Equal(got.buf, want) {
			t.Fatalf("after %d bytes: %d kept", len(whole), len(got.buf))
		}
	}
}

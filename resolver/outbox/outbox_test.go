package outbox

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/monitor"
)

// What happened to the root itself is told, whatever is lost before or after it,
// once at least, and the box does not grow by it.
func TestTheRootItselfIsNeverLeftOut(t *testing.T) {
	name := monitor.PathEvent{Root: 1, Mask: monitor.Create, Name: []byte("x")}
	moved := func(b *Box) { b.Self(monitor.MoveSelf) }
	many := func(b *Box) {
		for range 100_000 {
			b.Self(monitor.MoveSelf)
			b.Self(monitor.DeleteSelf)
		}
	}
	for what, c := range map[string]struct {
		acts []func(*Box)
		want string
	}{
		"as always":        {[]func(*Box){moved}, "CREATE MOVE_SELF|ISDIR CREATE mark"},
		"before a loss":    {[]func(*Box){moved, (*Box).Lose}, "Q_OVERFLOW MOVE_SELF|ISDIR mark"},
		"after one":        {[]func(*Box){(*Box).Lose, moved}, "Q_OVERFLOW MOVE_SELF|ISDIR mark"},
		"often, after one": {[]func(*Box){(*Box).Lose, many}, "Q_OVERFLOW MOVE_SELF|ISDIR DELETE_SELF|ISDIR mark"},
	} {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		b := New(pair[1], 1)
		b.Add(name)
		for _, act := range c.acts {
			act(b)
		}
		b.Add(name)
		b.Mark(1)
		if err := b.Flush(); err != nil || !b.Empty() {
			t.Fatalf("%s: held, %v", what, err)
		}
		var got []string
		buf := make([]byte, packet)
		for {
			n, err := unix.Read(pair[0], buf)
			if err != nil || n == 0 {
				break
			}
			if err := monitor.DecodePaths(buf[:n], func(e monitor.PathEvent) {
				if got = append(got, e.Mask.String()); e.IsMark() {
					got[len(got)-1] = "mark"
				}
			}); err != nil {
				t.Fatal(err)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %q", what, fmt.Sprint(got), c.want)
		}
		if b.Self(monitor.MoveSelf); !slices.Equal(b.self, []monitor.Op{monitor.MoveSelf}) {
			t.Errorf("%s: what was sent is kept: %v", what, b.self)
		}
		for _, fd := range pair {
			_ = unix.Close(fd)
		}
	}
}

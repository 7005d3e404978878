package options

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"lockstep/clsync/cmdline"
	"lockstep/clsync/table"
	"lockstep/internal/testenv"
)

// maker makes what a person could have written: mostly right, now and then not.
type maker struct {
	*rand.Rand
	all []table.Option
}

func (m maker) pick(list ...string) string { return list[m.IntN(len(list))] }

func (m maker) value(o table.Option) string {
	if m.IntN(12) == 0 {
		return m.pick("", "x", "%"+m.all[m.IntN(len(m.all))].Name+"%", "%TYPE%", "%", "%%", "a b", "-1", "\"q", "%"+o.Name+"%")
	}
	switch o.Type {
	case table.Choice, table.Choices:
		word, _, _ := strings.Cut(m.pick(strings.Split(o.Words, "|")...), "=")
		return word
	case table.Number, table.Seconds, table.Flag, table.Count, table.Octal:
		return m.pick("0", "1", "7", "010", "0x2", " 3 ")
	case table.Codes:
		return m.pick("23,24", "0", "7")
	case table.Signals:
		return m.pick("28:b", "29:c,28:a", "0", "30:default")
	case table.Path, table.Paths:
		return m.pick("/a", "b/", "/x-%label%", "./c,d")
	case table.Target:
		return m.pick("/a", "u@h:d", "d-%mode%")
	}
	return m.pick("a", "b", "default", "%mode%", "50%%", "'two words' %INCLUDE-LIST%", "%PID%", "%retries%")
}

func (m maker) file() string {
	var b strings.Builder
	for _, block := range []string{"default", "a", "b", "c"} {
		fmt.Fprintf(&b, "[%s]\n", block)
		for range m.IntN(6) {
			o := m.all[m.IntN(len(m.all))]
			switch {
			case m.IntN(40) == 0:
				b.WriteString(m.pick("; no", "nosuch = 1", "[", "word", "mod = x") + "\n")
			case o.Name == "config-block-inherits":
				fmt.Fprintf(&b, "%s = %s\n", o.Name, m.pick("a", "b", "c"))
			case o.Place != table.CommandLine:
				fmt.Fprintf(&b, "%s = %s\n", o.Name, m.value(o))
			}
		}
	}
	return b.String()
}

func (m maker) line() []string {
	out := []string{"-W", "w", "-M", m.pick("simple", "direct", "shell", "rsyncdirect", "rsyncshell", "so"), "-S", "h", "-D", "d"}
	for range m.IntN(5) {
		o := m.all[m.IntN(len(m.all))]
		switch {
		case o.Place == table.InFile || o.Name == "config-file" || o.Name == "help" || o.Name == "version":
		case o.Arg == cmdline.None || o.Arg == cmdline.Optional && m.IntN(2) == 0:
			out = append(out, "--"+o.Name)
		default:
			out = append(out, "--"+o.Name+"="+m.value(o))
		}
	}
	if m.IntN(3) == 0 {
		out = append(out, "--", m.pick("", "x", "%nosuch%", "100%"), "%label%")
	}
	return out
}

func TestRandom(t *testing.T) {
	seed := testenv.Number(t, "LOCKSTEP_SEED", rand.Uint64())
	t.Logf("LOCKSTEP_SEED=%#x", seed)
	m := maker{rand.New(rand.NewPCG(seed, 1)), table.All()}
	taken := 0
	const runs = 300
	for range runs {
		text, line := m.file(), m.line()
		if sound(t, env(map[string]string{"/conf": text}), line) {
			taken++
		}
		if t.Failed() {
			t.Fatalf("%q\n%s", line, text)
		}
	}
	if taken < runs/20 || taken > runs*19/20 {
		t.Errorf("%d of %d were taken", taken, runs)
	}
}

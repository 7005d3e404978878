package slots

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestLimits(t *testing.T) {
	p := New(Limits{All: 3, PerHost: 1, Passes: 1})
	var got []string
	join := func(name, host string) *Client { return p.Join(host, func(byte) { got = append(got, name) }) }
	a, b, c, d, e := join("a", "web"), join("b", "web"), join("c", ""), join("d", ""), join("e", "")
	say := func(x *Client, word byte, want ...string) {
		t.Helper()
		got = nil
		if err := x.Hear(word); err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) {
			t.Fatalf("granted %q, want %q", got, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("granted %q, want %q", got, want)
			}
		}
	}
	say(a, WantPass, "a")
	say(b, WantPass)      // the host has one
	say(e, WantPass, "e") // that to the host does not count
	say(c, WantPass)      // but this one does
	say(d, WantCommand, "d")
	say(d, WantCommand) // that is all
	say(a, Done, "b")   // the host is free
	say(b, Done, "d")   // for c's pass there is no room
	say(e, Done, "c")
	got = nil
	c.Refuse()
	say(c, WantCommand, "c") // the refusal
	c.Leave()
	e.Leave()
	d.Leave()
	b.Leave()
	if p.all != 0 || p.passes != 0 || len(p.hosts) != 0 || len(p.waiting) != 0 {
		t.Errorf("left: %+v", p)
	}
}

// What hangs keeps nobody waiting for ever, but its host is spared.
func TestPatience(t *testing.T) {
	p := New(Limits{All: 1, PerHost: 1, Passes: 1, Patience: time.Millisecond})
	granted := make(chan string, 3)
	hear := func(name, host string) {
		if err := p.Join(host, func(byte) { granted <- name }).Hear(WantPass); err != nil {
			t.Fatal(err)
		}
	}
	hear("hung", "web")
	hear("same host", "web")
	hear("other", "")
	if a, b := <-granted, <-granted; a != "hung" || b != "other" || len(granted) > 0 {
		t.Errorf("granted %s, %s and %d more", a, b, len(granted))
	}
}

func TestProtocol(t *testing.T) {
	for name, words := range map[string]string{
		"done without a slot": "d", "unknown": "x", "its own word": "g", "too many": "ccppc", "done twice": "cdd",
	} {
		c := New(Limits{}).Join("", func(byte) {})
		var err error
		for i, word := range []byte(words) {
			if err = c.Hear(word); err != nil && i != len(words)-1 {
				t.Errorf("%s: word %d: %v", name, i, err)
			}
		}
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Whatever clients do, no limit is passed, nobody waits beside a free slot, and
// nothing is left when all have gone.
func TestRandom(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	l := Limits{All: 4, PerHost: 2, Passes: 2}
	p := New(l)
	var clients []*Client
	granted := map[*Client]int{}
	for range 20_000 {
		switch n := r.IntN(10); {
		case n == 0 && len(clients) < 12:
			var c *Client
			c = p.Join([]string{"", "x", "y"}[r.IntN(3)], func(byte) { granted[c]++ })
			clients = append(clients, c)
		case len(clients) == 0:
		case n == 1:
			i := r.IntN(len(clients))
			clients[i].Leave()
			clients = append(clients[:i], clients[i+1:]...)
		default:
			c := clients[r.IntN(len(clients))]
			before := len(c.has)
			_ = c.Hear([]byte{WantCommand, WantPass, Done}[r.IntN(3)])
			if len(c.has) > before+1 {
				t.Fatal("two slots for one word")
			}
		}
		all, passes, hosts := 0, 0, map[string]int{}
		for _, c := range clients {
			all += len(c.has)
			hosts[c.host] += len(c.has)
			for _, h := range c.has {
				if h.pass {
					passes++
				}
			}
		}
		if all != p.all || passes != p.passes || all > l.All || passes > l.Passes || hosts["x"] > l.PerHost || hosts["y"] > l.PerHost {
			t.Fatalf("%d in all (%d), %d passes (%d), hosts %v", all, p.all, passes, p.passes, hosts)
		}
		for _, w := range p.waiting {
			if p.free(w) {
				t.Fatal("one waits beside a free slot")
			}
		}
	}
	for _, c := range clients {
		c.Leave()
	}
	if p.all != 0 || p.passes != 0 || len(p.hosts) != 0 || len(p.waiting) != 0 {
		t.Errorf("left: %+v", p)
	}
}

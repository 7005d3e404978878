package busy

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// meter gives a Meter so many events of each watch a second, for some seconds, and
// says in which second it calls which watch busy.
func meter(rate int, seconds []map[int32]int) (busy [][]int32) {
	m := Meter{Rate: rate}
	now := time.Unix(1000, 0)
	m.Over(now, nil)
	for _, events := range seconds {
		left := 0
		for _, n := range events {
			left += n
		}
		for at := 0; left > 0; at++ { // in turns, as they come of several processes
			for wd, n := range events {
				if at < n {
					m.Count(wd)
					left--
				}
			}
		}
		now = now.Add(time.Second)
		var found []int32
		m.Over(now, func(wd int32) { found = append(found, wd) })
		slices.Sort(found)
		busy = append(busy, found)
	}
	return busy
}

func TestMeter(t *testing.T) {
	many := func(wd int32, n int) map[int32]int { return map[int32]int{wd: n} }
	for name, c := range map[string]struct {
		seconds []map[int32]int
		want    [][]int32
	}{
		"calm":            {[]map[int32]int{many(1, 99), many(1, 99), many(1, 99), many(1, 99)}, [][]int32{nil, nil, nil, nil}},
		"lasting":         {[]map[int32]int{many(1, 100), many(1, 100), many(1, 100)}, [][]int32{nil, nil, {1}}},
		"a burst":         {[]map[int32]int{many(1, 5000), many(1, 5000), many(1, 3), many(1, 5000)}, [][]int32{nil, nil, nil, nil}},
		"goes on":         {[]map[int32]int{many(1, 100), many(1, 100), many(1, 100), many(1, 100), many(1, 100), many(1, 100)}, [][]int32{nil, nil, {1}, nil, nil, {1}}},
		"two":             {[]map[int32]int{{1: 200, 2: 300}, {1: 200, 2: 300}, {1: 200, 2: 300}}, [][]int32{nil, nil, {1, 2}}},
		"one beside many": {[]map[int32]int{crowd(400), crowd(400), crowd(400)}, [][]int32{nil, nil, {7}}},
		"silent":          {[]map[int32]int{many(1, 100), many(1, 100), {}, many(1, 100)}, [][]int32{nil, nil, nil, nil}},
	} {
		if got := meter(100, c.seconds); !slices.EqualFunc(got, c.want, slices.Equal[[]int32]) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// crowd is one watch with n events, and a thousand with one each.
func crowd(n int) map[int32]int {
	all := map[int32]int{7: n}
	for wd := range int32(1000) {
		all[100+wd] = 1
	}
	return all
}

// No watch is called busy that had fewer events than are too many in one of the last
// three windows; each is that had more by a ninth of all events.
func TestMeterProperty(t *testing.T) {
	found := 0
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 5))
		var seconds []map[int32]int
		for range 3 {
			events := map[int32]int{}
			for range 1 + rng.IntN(60) {
				events[int32(1+rng.IntN(60))] += rng.IntN(1 << rng.IntN(10))
			}
			if len(seconds) > 0 && rng.IntN(4) > 0 { // mostly it goes on
				events = seconds[0]
			}
			seconds = append(seconds, events)
		}
		const rate = 100
		busy := meter(rate, seconds)[2]
		found += len(busy)
		for wd := range int32(61) {
			least, sure := 1<<30, true
			for _, events := range seconds {
				all := 0
				for _, n := range events {
					all += n
				}
				least = min(least, events[wd])
				sure = sure && events[wd] >= rate+all/(slots+1)+1
			}
			is := slices.Contains(busy, wd)
			if is && least < rate {
				t.Fatalf("seed %d: %d is called busy with %d events", seed, wd, least)
			}
			if sure && !is && fits(seconds, rate) {
				t.Fatalf("seed %d: %d is not called busy with %d events", seed, wd, least)
			}
		}
	}
	if found < 100 {
		t.Errorf("only %d were found", found)
	}
}

// fits says whether no slot is kept by one that was busy in an earlier window.
func fits(seconds []map[int32]int, rate int) bool {
	held := map[int32]bool{}
	for _, events := range seconds {
		for wd, n := range events {
			if n >= rate {
				held[wd] = true
			}
		}
	}
	return len(held) <= 1
}

func TestMeterTakesNoMemory(t *testing.T) {
	m := Meter{Rate: 10}
	now, wd := time.Unix(1000, 0), int32(0)
	if n := testing.AllocsPerRun(1000, func() {
		for range 100 {
			wd++
			m.Count(wd % 40)
		}
		now = now.Add(300 * time.Millisecond)
		m.Over(now, func(int32) {})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// The clock may be set back.
func TestMeterClock(t *testing.T) {
	m := Meter{Rate: 10}
	now := time.Unix(1000, 0)
	m.Over(now, nil)
	busy := 0
	for range 3 {
		for range 20 {
			m.Count(1)
		}
		now = now.Add(-time.Hour)
		m.Over(now, func(int32) { busy++ })
	}
	if busy != 1 {
		t.Errorf("busy %d times", busy)
	}
}

func BenchmarkCount(b *testing.B) {
	for name, watches := range map[string]int32{"one": 1, "many": 1000} {
		b.Run(name, func(b *testing.B) {
			m := Meter{Rate: 10}
			for i := range b.N {
				m.Count(int32(i) % watches)
			}
		})
	}
}

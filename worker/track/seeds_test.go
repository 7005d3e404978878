package track

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// seeds to run: SIM_SEEDS=from:count, or SIM_SEEDS=seed for one with its log.
func seeds(t *testing.T) (from, count uint64) {
	value := os.Getenv("SIM_SEEDS")
	if value == "" {
		if testing.Short() {
			return 0, 500
		}
		return 0, 4000
	}
	first, rest, many := strings.Cut(value, ":")
	from, err := strconv.ParseUint(first, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if !many {
		return from, 1
	}
	if count, err = strconv.ParseUint(rest, 10, 64); err != nil {
		t.Fatal(err)
	}
	return from, count
}

func TestSimulation(t *testing.T) {
	from, count := seeds(t)
	total := coverage{}
	for seed := from; seed < from+count; seed++ {
		ok := t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			c := runSeed(t, seed, count == 1)
			total.add(c)
		})
		if !ok {
			t.Fatalf("seed %d fails; SIM_SEEDS=%d shows how", seed, seed)
		}
	}
	t.Logf("%d seeds from %d: %+v", count, from, total)
	if count >= 500 && (total.overflows == 0 || total.unpaired == 0 || total.stale == 0 || total.repairs == 0 || total.exchanges == 0 || total.suspects == 0 || total.trusts == 0 || total.besides == 0) {
		t.Error("the simulation does not meet what it is there for")
	}
}

package omit

import (
	"slices"
	"strconv"
	"testing"
)

func TestTallyIsBounded(t *testing.T) {
	var x Tally
	for i := range 3 * tallyMax {
		if isNew := x.Add(strconv.Itoa(i)); isNew != (i < tallyMax) {
			t.Fatalf("name %d: new is %v", i, isNew)
		}
	}
	if x.Add("0") || x.Count() != 3*tallyMax || len(x.names) != tallyMax {
		t.Errorf("%d names counted, %d remembered", x.Count(), len(x.names))
	}
	if x.Clear(); x.Count() != 0 || !x.Add("0") {
		t.Error("not empty after clear")
	}
}

func TestTallyIn(t *testing.T) {
	var x Tally
	for _, name := range []string{"d/f", "gone/f", "d/e", "top"} {
		x.Add(name)
	}
	if got := x.In(func(dir string) bool { return dir == "d" || dir == "." }); !slices.Equal(got, []string{"d/e", "d/f", "top"}) {
		t.Errorf("%q", got)
	}
}

package omit

import (
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

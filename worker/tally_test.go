package worker

import (
	"strconv"
	"testing"
)

func TestTallyIsBounded(t *testing.T) {
	var x tally
	for i := range 3 * tallyMax {
		if isNew := x.add(strconv.Itoa(i)); isNew != (i < tallyMax) {
			t.Fatalf("name %d: new is %v", i, isNew)
		}
	}
	if x.add("0") || x.count() != 3*tallyMax || len(x.names) != tallyMax {
		t.Errorf("%d names counted, %d remembered", x.count(), len(x.names))
	}
	if x.clear(); x.count() != 0 || !x.add("0") {
		t.Error("not empty after clear")
	}
}

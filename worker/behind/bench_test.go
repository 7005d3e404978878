package behind

import (
	"fmt"
	"testing"
)

// What a rename costs after as many others as are kept.
func BenchmarkRenamed(b *testing.B) {
	var all Behind
	for i := range maxSteps - 1 {
		all.Left(fmt.Sprintf("mail/box/tmp/1732345678.%06d.host", i), uint32(i+1), false)
		all.Arrived(fmt.Sprintf("mail/box/new/1732345678.%06d.host", i), uint32(i+1), false)
	}
	for b.Loop() {
		all.Left("mail/box/tmp/1732345678.999999.host", 1, false)
		all.Arrived("mail/box/new/1732345678.999999.host", 1, false)
	}
}

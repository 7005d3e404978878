package compile

import (
	"fmt"
	"maps"
	"slices"

	"lockstep/clsync/signals"
)

const dump = 29 // SIGIO, of whose effect a block is put in place

// signals checks those that load blocks. They are no part of a configuration: only
// lockstep clsync, which knows the blocks, obeys them.
func (c *compiler) signals() {
	for _, number := range slices.Sorted(maps.Keys(c.o.CustomSignals)) {
		if why := signals.Meaning(number); why != "" {
			c.fail("custom-signals", fmt.Sprintf("signal %d %s", number, why), "use another one, such as 28, or one from 35 to 64")
			continue
		}
		if number == dump {
			c.remark("--custom-signals: signal 29 (IO) loads a block, and writes no dump; lockstep ctl dump does")
		}
		c.remark(fmt.Sprintf("--custom-signals: signal %d loads [%s] while lockstep clsync runs; lockstep run has SIGHUP, which reads its file anew, and no blocks", number, c.o.CustomSignals[number]))
	}
}

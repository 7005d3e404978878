package compile

import (
	"fmt"
	"time"

	"lockstep/config/field"
)

// The limits of lockstep's keys.
const (
	longestQuiet = time.Hour
	longestWait  = 24 * time.Hour
	longestBig   = 30 * 24 * time.Hour
	longestRun   = 365 * 24 * time.Hour
	leastRetry   = 10 * time.Millisecond
	usualRetry   = 5 * time.Minute // the longest pause
)

// times are the delays.
func (c *compiler) times() {
	o := c.o
	t, w := o.DelayCollect, o.DelaySync
	quiet := min(t, longestQuiet)
	if t > longestWait {
		c.fail("delay-collect", field.FormatDuration(t)+" is more than lockstep waits", "write 86400 at most")
	}
	var sooner string
	if quiet < t {
		sooner = "what was quiet for an hour is copied before --delay-collect"
		c.warn("delay-collect", sooner, "write 3600 at most")
	}
	c.put("delay", duration(quiet), "--delay-collect: since each path's own first change, for clsync since the first of all that wait; with a smaller delay a path is copied once it was quiet for so long", sooner)
	c.put("max_delay", duration(t))
	c.big()
	c.timeout()
	first := min(max(w, leastRetry), longestQuiet)
	c.put("retry", fmt.Sprintf("{ initial = %s, max = %s }", duration(first), duration(max(first, usualRetry))),
		"--delay-sync: the pause after a failure, at first; there is none between commands that succeed")
	if c.given("delay-sync") && w > t {
		c.warn("delay-sync", "is the pause after a failure only: commands that succeed begin --delay-collect after the first change, even when another one has just ended",
			"raise --delay-collect to have fewer")
	}
	if w > longestQuiet {
		c.warn("delay-sync", "lockstep waits for an hour at most after a first failure", "write 3600 at most")
	}
}

func duration(d time.Duration) string { return quoted(field.FormatDuration(d)) }

func (c *compiler) big() {
	o := c.o
	if o.ThresholdBigfile == 0 {
		c.put("big_file", `{ size = "0" }`, "--threshold-bigfile=0: no file is big; for clsync every one was")
		return
	}
	if o.DelayBigfile > longestBig {
		c.fail("delay-collect-bigfile", field.FormatDuration(o.DelayBigfile)+" is more than lockstep waits", "write 2592000 at most")
	}
	// Here a file of the size itself is big, for clsync one above it.
	size := quoted(fmt.Sprint(uint64(o.ThresholdBigfile) + 1))
	c.put("big_file", "{ size = "+size+", delay = "+duration(o.DelayBigfile)+" }",
		fmt.Sprintf("--threshold-bigfile: more than %s; --delay-collect-bigfile: since the last change, twice that at most", field.FormatSize(uint64(o.ThresholdBigfile))))
}

func (c *compiler) timeout() {
	switch k := c.o.TimeoutSync; {
	case k == 0:
		c.put("timeout", duration(longestRun), "--timeout-sync=0: none; this is the longest")
	case k < time.Second:
		c.fail("timeout-sync", field.FormatDuration(k)+" is less than lockstep lets a command run", "write 1 at least, or 0 for no limit")
	case k > longestRun:
		c.fail("timeout-sync", field.FormatDuration(k)+" is more than lockstep lets a command run", "write 31536000 at most, or 0 for no limit")
	default:
		c.put("timeout", duration(k), "--timeout-sync: the command is killed and what it had is tried again; clsync ended, with 0")
	}
}

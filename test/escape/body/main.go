// Command body is the unconfined twin: it makes an act of package redteam as it was
// started.
//
// Trust: tests only.
package main

import (
	"fmt"
	"os"

	"lockstep/test/escape/redteam"
)

func main() {
	act := redteam.Before()
	if act == nil {
		fmt.Fprintln(os.Stderr, "body: there is no act")
		os.Exit(2)
	}
	act()
}

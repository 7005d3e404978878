package pump

import (
	"fmt"
	"io"
)

// Log writes whole lines to the pipe that the supervisor reads. Names and
// output go through escape before they come here.
type Log struct{ W io.Writer }

// Printf writes a line of a level (deliver.Warn and its like).
func (l Log) Printf(level, format string, args ...any) {
	// The supervisor reads this pipe until the worker is gone; when it cannot
	// be written there is nobody left to be told.
	_, _ = fmt.Fprintf(l.W, level+format+"\n", args...)
}

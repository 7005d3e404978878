package worker

import (
	"fmt"
	"io"
)

// logger writes whole lines to the pipe that the supervisor reads. Names and
// output go through escape before they come here.
type logger struct{ w io.Writer }

func (l logger) printf(level, format string, args ...any) {
	// The supervisor reads this pipe until the worker is gone; when it cannot
	// be written there is nobody left to be told.
	_, _ = fmt.Fprintf(l.w, level+format+"\n", args...)
}

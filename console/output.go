package console

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode"
	"unicode/utf8"

	"lockstep/ipc/output"
)

// CopyOutput takes the lines that a confined program writes for people and
// programs, and hands them on, each without its class and its newline: printable
// UTF-8 of a limited length. An honest program writes nothing else, so that
// anything else is an error, and ends it. The bytes are valid until emit returns;
// last says that no further line is there at the moment.
func CopyOutput(r io.Reader, emit func(class output.Class, line []byte, last bool) error) error {
	in := bufio.NewReaderSize(r, output.MaxLine)
	for {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			return nil
		case errors.Is(err, io.EOF):
			return nil // its end came in the middle of a line: what is there is no line
		case errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("a line of more than %d bytes", output.MaxLine)
		case err != nil:
			return fmt.Errorf("reading the output: %w", err)
		}
		if err := checkLine(line[:len(line)-1]); err != nil {
			return err
		}
		left, _ := in.Peek(in.Buffered())
		if err := emit(output.Class(line[0]), line[1:len(line)-1], bytes.IndexByte(left, '\n') < 0); err != nil {
			return err
		}
	}
}

// checkLine refuses what could make a terminal or a reader of lines do anything
// but show it.
func checkLine(line []byte) error {
	if len(line) == 0 {
		return errors.New("an empty line")
	}
	switch output.Class(line[0]) {
	case output.Ready, output.Event, output.List, output.Done, output.Trace:
	default:
		return fmt.Errorf("a line of class %q", line[:1])
	}
	for i := 0; i < len(line); {
		c, n := utf8.DecodeRune(line[i:])
		if c == utf8.RuneError && n <= 1 || !unicode.IsPrint(c) {
			return fmt.Errorf("a line with the byte %#x, which cannot be printed", line[i])
		}
		i += n
	}
	return nil
}

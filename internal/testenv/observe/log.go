// Package observe sees a running lockstep from outside, as a person and as /proc do: its
// log, its processes, and what is left of them.
//
// Trust: linked into tests only. It shares no code with the product, so that a
// mistake of the product cannot hide itself here.
package observe

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
)

// Record is one line of the log, of which each is JSON; of one that is not, the
// member raw has the text.
type Record map[string]any

// Str is a member that is a string, else "".
func (r Record) Str(key string) string { s, _ := r[key].(string); return s }

// Num is a member that is a number, else 0.
func (r Record) Num(key string) int64 { f, _ := r[key].(float64); return int64(f) }

func (r Record) String() string {
	b, err := json.Marshal(map[string]any(r))
	if err != nil {
		return fmt.Sprint(map[string]any(r))
	}
	return string(b)
}

// Says accepts records in which one of the words is.
func Says(words ...string) func(Record) bool {
	return func(r Record) bool {
		all := r.String()
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(all, w) })
	}
}

// Log is what a running lockstep has said so far. Its zero value is empty.
type Log struct {
	mu      sync.Mutex
	records []Record      // guarded by mu
	news    chan struct{} // guarded by mu; closed and replaced with each line
	said    int           // guarded by mu; bytes
	control int           // guarded by mu; control characters, but for line ends
}

// Clear forgets all.
func (l *Log) Clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records, l.said, l.control = nil, 0, 0
}

// Read takes lines until there are no more.
func (l *Log) Read(r *bufio.Reader) {
	for {
		line, err := r.ReadString('\n')
		if line != "" {
			l.Add(strings.TrimRight(line, "\n"))
		}
		if err != nil {
			return
		}
	}
}

// Add takes one line, without its end.
func (l *Log) Add(text string) {
	var rec Record
	err := json.Unmarshal([]byte(text), &rec)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said += len(text) + 1
	l.control += Controls(text)
	for _, v := range rec {
		if s, ok := v.(string); ok { // JSON hides what a person would get
			l.control += Controls(s)
		}
	}
	if err != nil {
		rec = Record{"raw": text}
	}
	l.records = append(l.records, rec)
	if l.news != nil {
		close(l.news)
		l.news = nil
	}
}

// Controls counts characters that a terminal would obey.
func Controls(text string) int {
	n := 0
	for _, r := range text {
		if unicode.IsControl(r) {
			n++
		}
	}
	return n
}

// Mark is a place in the log: what comes after it is new.
func (l *Log) Mark() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.records)
}

// Since are the records from a place on.
func (l *Log) Since(place int) []Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.records[min(place, len(l.records)):])
}

// Volume is how many bytes were said, and how many control characters were among
// them.
func (l *Log) Volume() (said, control int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said, l.control
}

// next are the records from a place on, and what is closed when there are more.
func (l *Log) next(place int) ([]Record, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.news == nil {
		l.news = make(chan struct{})
	}
	return slices.Clone(l.records[min(place, len(l.records)):]), l.news
}

// What Await waited for in vain.
var (
	ErrExited = errors.New("lockstep has ended")
	ErrLate   = errors.New("it did not come in time")
)

// Await returns the first record from a place on that want accepts. exited is closed
// when nothing more will come.
func (l *Log) Await(place int, limit time.Duration, exited <-chan struct{}, want func(Record) bool) (Record, error) {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for ended := false; ; {
		fresh, news := l.next(place)
		for _, r := range fresh {
			if want(r) {
				return r, nil
			}
		}
		if ended {
			return nil, ErrExited
		}
		place += len(fresh)
		select {
		case <-news:
		case <-exited:
			ended = true // what came with the end was not looked at yet
		case <-deadline.C:
			return nil, ErrLate
		}
	}
}

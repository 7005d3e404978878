package runner

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
)

// lockedBuffer is the log of a runner under test.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
	news chan struct{} // guarded by mu; nil: nobody waits; closed with what is written
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.news != nil {
		close(b.news)
		b.news = nil
	}
	return b.Buffer.Write(p)
}

// until waits until a text was written.
func (b *lockedBuffer) until(t *testing.T, text string) {
	t.Helper()
	late := time.After(time.Minute)
	for {
		b.mu.Lock()
		if b.news == nil {
			b.news = make(chan struct{})
		}
		said, news := b.Buffer.String(), b.news
		b.mu.Unlock()
		if strings.Contains(said, text) {
			return
		}
		select {
		case <-news:
		case <-late:
			t.Fatalf("%q does not come: %q", text, said)
		}
	}
}

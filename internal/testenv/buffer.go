package testenv

import (
	"bytes"
	"sync"
	"testing"
	"time"
)

// Buffer is what one goroutine writes and others read, or wait for. The zero value is
// empty.
type Buffer struct {
	mu   sync.Mutex
	b    bytes.Buffer
	news chan struct{} // guarded by mu; closed by the next write; nil: nobody waits for it
}

// Write adds to it. It never fails.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.news != nil {
		close(b.news)
		b.news = nil
	}
	return b.b.Write(p)
}

// String is all that was written.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Len is how many bytes that is.
func (b *Buffer) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Len()
}

// Reset forgets it.
func (b *Buffer) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b.Reset()
}

// Until waits until what was written is enough, and fails the test if that does not come
// within a minute.
func (b *Buffer) Until(t testing.TB, enough func(text string) bool) {
	t.Helper()
	late := time.After(time.Minute)
	for {
		b.mu.Lock()
		if b.news == nil {
			b.news = make(chan struct{})
		}
		text, news := b.b.String(), b.news
		b.mu.Unlock()
		if enough(text) {
			return
		}
		select {
		case <-news:
		case <-late:
			t.Fatalf("it does not say all\n%s", text)
		}
	}
}

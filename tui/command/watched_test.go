package command

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
)

// watched is an output that others look at while it is written.
type watched struct {
	want  string // when it has come, found is called
	found func()

	mu sync.Mutex
	b  bytes.Buffer
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b.Write(p)
	if w.found != nil && strings.Contains(w.b.String(), w.want) {
		w.found()
		w.found = nil
	}
	return len(p), nil
}

func (w *watched) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// has waits for the text to come.
func (w *watched) has(t *testing.T, s string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if strings.Contains(w.text(), s) {
			return
		}
	}
	t.Fatalf("%q does not come:\n%s", s, w.text())
}

package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A reader that hangs does not stop who logs; lines that found no room are counted.
func TestLogReaderHangs(t *testing.T) {
	out := &stuckWriter{gate: make(chan struct{})}
	w := newLateWriter(out)
	begin := time.Now()
	for i := range logQueue + 100 {
		fmt.Fprintf(w, "line %d\n", i)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("writing took %v while nobody read", took)
	}
	close(out.gate)
	w.Close()
	fmt.Fprintf(w, "after\n")
	got := out.b.String()
	if !strings.HasPrefix(got, "line 0\n") || !strings.Contains(got, "dropped") || !strings.HasSuffix(got, "after\n") {
		t.Errorf("written: %.100s ... %s", got, got[max(0, len(got)-100):])
	}
}

// stuckWriter waits for its gate, as a full pipe does.
type stuckWriter struct {
	gate chan struct{}
	b    bytes.Buffer
}

func (w *stuckWriter) Write(b []byte) (int, error) {
	<-w.gate
	return w.b.Write(b)
}

func TestLogFormats(t *testing.T) {
	t.Setenv("JOURNAL_STREAM", "8:12345")
	for _, tc := range []struct{ format, level, want string }{
		{"text", "info", "<6>msg=i a=1\n<4>msg=w a=1\n<3>msg=e a=1\n"},
		{"text", "error", "<3>msg=e a=1\n"},
		{"text", "DEBUG", "<7>msg=d a=1\n<6>msg=i a=1\n<4>msg=w a=1\n<3>msg=e a=1\n"},
	} {
		var out bytes.Buffer
		log, err := newLogger(&out, tc.format, tc.level)
		if err != nil {
			t.Fatal(err)
		}
		log = log.With("a", 1)
		for _, l := range []struct {
			level slog.Level
			text  string
		}{{slog.LevelDebug, "d"}, {slog.LevelInfo, "i"}, {slog.LevelWarn, "w"}, {slog.LevelError, "e"}} {
			log.Log(t.Context(), l.level, l.text)
		}
		if out.String() != tc.want {
			t.Errorf("%s %s: %q, want %q", tc.format, tc.level, out.String(), tc.want)
		}
	}
	var out bytes.Buffer
	log, err := newLogger(&out, "json", "info")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("x")
	if !strings.HasPrefix(out.String(), `{"time":`) {
		t.Errorf("json: %s", &out)
	}
	for _, bad := range [][2]string{{"xml", "info"}, {"text", "loud"}} {
		if _, err := newLogger(&out, bad[0], bad[1]); err == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
}

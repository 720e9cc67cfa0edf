package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestFailures(t *testing.T) {
	f := failures{filepath.Join(t.TempDir(), "failures")}
	if got := f.of(7); got != 0 {
		t.Errorf("without a file: %d", got)
	}
	for i, tc := range []struct {
		session uint64
		lasted  time.Duration
		want    int
	}{
		{7, 0, 1},
		{7, 9 * time.Second, 2},
		{7, time.Second, 3},
		{7, 10 * time.Second, 1}, // it ran well for a while
		{7, 0, 2},
		{8, 0, 1},
	} {
		if err := f.add(tc.session, tc.lasted, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		if got := f.of(tc.session); got != tc.want {
			t.Errorf("after end %d: %d, want %d", i+1, got, tc.want)
		}
	}
	if got := f.of(7); got != 0 {
		t.Errorf("of an older session: %d", got)
	}
	if err := os.WriteFile(f.file, []byte("not numbers"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := f.of(8); got != 0 {
		t.Errorf("of a damaged file: %d", got)
	}
}

func TestIsFailure(t *testing.T) {
	for _, err := range []error{nil, errReload, errAtOnce, lastAct("poweroff")} {
		if isFailure(err) {
			t.Errorf("%v counts as a failure", err)
		}
	}
	if !isFailure(fmt.Errorf("store: %w", errors.New("no space left on device"))) {
		t.Error("a failed write does not count")
	}
}

package wire

import (
	"testing"

	"pgregory.net/rapid"
)

// The window does what a set of all sequences ever accepted does, but for what is
// too old.
func TestWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const windowSize = 256
		w := NewWindow(windowSize)
		seen := map[uint64]bool{}
		high := uint64(0)
		step := rapid.OneOf(rapid.Uint64Range(0, 3), rapid.Uint64Range(0, 2*windowSize), rapid.Uint64())
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			seq := high + step.Draw(t, "ahead")
			if back := step.Draw(t, "back"); rapid.Bool().Draw(t, "late") && back <= high {
				seq = high - back
			}
			tooOld := seq <= high && high-seq >= windowSize
			want := seq != 0 && !seen[seq] && !tooOld
			if got := w.Fresh(seq); got != want {
				t.Fatalf("sequence %d, highest %d: fresh %v, want %v", seq, high, got, want)
			}
			if got := w.Accept(seq); got != want {
				t.Fatalf("sequence %d, highest %d: accepted %v, want %v", seq, high, got, want)
			}
			if want {
				seen[seq] = true
				high = max(high, seq)
			}
		}
	})
}

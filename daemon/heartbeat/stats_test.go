package heartbeat

import (
	"math"
	"testing"
	"time"

	"baton/core/node"
)

// Loss is the gaps in the sequences of the last minute, plus what a silence that
// lasts must have swallowed.
func TestLoss(t *testing.T) {
	const round = 500 * time.Millisecond
	start := time.Now()
	for name, c := range map[string]struct {
		play func(in *inward)
		at   time.Duration
		want float64
	}{
		"never":         {func(*inward) {}, 0, -1},
		"all came":      {func(in *inward) { every(in, start, 0, 100, round, 1) }, 50 * time.Second, 0},
		"every second":  {func(in *inward) { every(in, start, 0, 100, round, 2) }, 50 * time.Second, 0.5},
		"every tenth":   {func(in *inward) { every(in, start, 0, 100, round, 10) }, 50 * time.Second, 0.9},
		"long ago":      {func(in *inward) { every(in, start, 0, 100, round, 2); every(in, start, 100, 300, round, 1) }, 150 * time.Second, 0},
		"silent for 30": {func(in *inward) { every(in, start, 0, 60, round, 1) }, 60 * time.Second, 0.5},
		"silent for 90": {func(in *inward) { every(in, start, 0, 60, round, 1) }, 120 * time.Second, 1},
		"out of order": {func(in *inward) {
			r := &run{}
			for _, seq := range []uint64{1, 3, 2, 4} {
				in.heard(start, seq, r)
			}
		}, 0, 0},
		"began anew": {func(in *inward) {
			in.heard(start, 1000, &run{})
			in.heard(start, 1, &run{})
		}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			in := &inward{}
			c.play(in)
			if got := in.loss(start.Add(c.at), round); math.Abs(got-c.want) > 0.06 {
				t.Errorf("loss %.3f, want %.3f", got, c.want)
			}
		})
	}
}

// every plays sequences from first to last, one a round, of which each nth arrives.
func every(in *inward, start time.Time, first, last int, round time.Duration, nth int) {
	if in.run == nil {
		in.run = &run{}
	}
	for seq := first; seq < last; seq++ {
		if seq%nth == 0 {
			in.heard(start.Add(time.Duration(seq)*round), uint64(seq+1), in.run)
		}
	}
}

// Only an answer to a datagram of this life that is still remembered is timed.
func TestAsked(t *testing.T) {
	var a asked
	now := time.Now()
	life := node.Life{Raft: 0x901, Start: 3}
	a.add(&node.Message{Kind: node.MsgHeartbeat, To: 2, Seq: 5, Life: life}, now)
	a.add(&node.Message{Kind: node.MsgHeartbeat, To: 3, Seq: 5, Life: life}, now.Add(time.Second))
	for name, c := range map[string]struct {
		m    node.Message
		want bool
	}{
		"echo":               {node.Message{Kind: node.MsgEcho, From: 2, AnswerSeq: 5, AnswerLife: life}, true},
		"grant":              {node.Message{Kind: node.MsgGrant, From: 2, AnswerSeq: 5, AnswerLife: life}, true},
		"heartbeat":          {node.Message{Kind: node.MsgHeartbeat, From: 2, AnswerSeq: 5, AnswerLife: life}, false},
		"of another life":    {node.Message{Kind: node.MsgEcho, From: 2, AnswerSeq: 5, AnswerLife: node.Life{Raft: 0x901, Start: 2}}, false},
		"of another one":     {node.Message{Kind: node.MsgEcho, From: 2, AnswerSeq: 5 + 64, AnswerLife: life}, false},
		"answers nothing":    {node.Message{Kind: node.MsgGrant, AnswerLife: life}, false},
		"never sent by this": {node.Message{Kind: node.MsgEcho, From: 2, AnswerSeq: 6, AnswerLife: life}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if at, got := a.find(&c.m); got != c.want || got && at != now {
				t.Errorf("got %v %v, want %v", got, at, c.want)
			}
		})
	}
}

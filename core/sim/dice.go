package sim

import (
	"io"
	"math/rand/v2"
	"time"
)

// dice decide whatever is left to chance. All of it comes from the seed.
type dice struct{ *rand.Rand }

func newDice(seed, stream uint64) dice {
	return dice{rand.New(rand.NewPCG(seed, stream))}
}

// between returns a duration from a to b.
func (d dice) between(a, b time.Duration) time.Duration {
	if b <= a {
		return a
	}
	return a + time.Duration(d.Int64N(int64(b-a)+1))
}

// chance is true with probability p.
func (d dice) chance(p float64) bool { return p > 0 && d.Float64() < p }

// Reader returns a reader of random bytes that the seed decides. The caller of Run
// puts one in the place of crypto/rand.Reader, from which raft draws its election
// jitter.
func Reader(seed uint64) io.Reader { return seededReader{newDice(seed, streamRaft)} }

// Streams of random numbers of one seed, so that a change in what one of them is
// asked does not shift the others.
const (
	streamWorld  = 1
	streamRaft   = 2
	streamMix    = 3
	streamEchoes = 4
	streamRush   = 5
	streamLies   = 6
	streamServer = 100 // plus the server's number
)

type seededReader struct{ d dice }

func (r seededReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r.d.Uint32())
	}
	return len(p), nil
}

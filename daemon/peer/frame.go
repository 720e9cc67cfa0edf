package peer

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"time"

	"baton/daemon/wire"
)

// A frame, in bytes. All integers are big endian.
//
//	 0  life, 8: random, of the sender's process; never 0
//	 8  sequence, 8: from 1, per life and receiver; the same on all paths
//	16  size, 4: of the message
//	20  message (package wire)
//
// A ping has sequence and size 0. In the other direction only pongs flow, of one byte:
// one when the stream is accepted, one for each ping, and some while a long frame
// comes in.
const (
	frameHeadSize = 8 + 8 + 4
	pongByte      = 'b'
)

type frameHead struct {
	life, seq uint64
	size      int
}

func (h frameHead) isPing() bool { return h.seq == 0 }

func (h frameHead) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, h.life)
	b = binary.BigEndian.AppendUint64(b, h.seq)
	return binary.BigEndian.AppendUint32(b, uint32(h.size))
}

// errFrame is the end of a stream whose bytes make no sense. There is no way to find
// the next frame in it.
type errFrame struct{ text string }

func (e errFrame) Error() string { return e.text }

// readHead reads the head of a frame. At the end of the stream between two frames it
// returns io.EOF.
func readHead(r io.Reader) (frameHead, error) {
	var b [frameHeadSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return frameHead{}, err
	}
	size := binary.BigEndian.Uint32(b[16:])
	h := frameHead{life: binary.BigEndian.Uint64(b[:]), seq: binary.BigEndian.Uint64(b[8:]), size: int(size)}
	switch {
	case h.life == 0:
		return frameHead{}, errFrame{"frame of life 0"}
	case size > wire.MaxStream:
		return frameHead{}, errFrame{fmt.Sprintf("frame of %d bytes is above %d", size, wire.MaxStream)}
	case (h.seq == 0) != (size == 0):
		return frameHead{}, errFrame{fmt.Sprintf("frame %d of %d bytes is neither ping nor message", h.seq, size)}
	}
	return h, nil
}

// readBody reads the message of a frame. It allocates as the bytes come: an
// announcement alone costs nothing.
func readBody(r io.Reader, size int) ([]byte, error) {
	const first = 64 << 10
	b := make([]byte, 0, min(size, first))
	for len(b) < size {
		n := min(size-len(b), max(first, len(b)))
		b = slices.Grow(b, n)
		part := b[len(b) : len(b)+n]
		if _, err := io.ReadFull(r, part); err != nil {
			return nil, err
		}
		b = b[:len(b)+n]
	}
	return b, nil
}

// frame is a frame that waits to be written. Its bytes are shared by the queues of
// all paths, and never changed.
type frame struct {
	b  []byte
	at time.Time // when it was queued
}

package wire

// Window remembers which sequences of one sender have come, to take each of them
// once (RFC 4303 section 3.4.3; the blocks are those of RFC 6479). Sequences begin at
// 1. It is not safe for use by several goroutines.
type Window struct {
	high uint64 // the highest sequence accepted
	// seen has one bit per sequence, modulo its size. It is one block larger than
	// the window, so that a block is cleared before a sequence needs it.
	seen []uint64
}

// NewWindow makes a window that has seen nothing. An older sequence than the size
// (a multiple of 64) below the highest one counts as seen.
func NewWindow(size int) Window { return Window{seen: make([]uint64, size/64+1)} }

func (w *Window) size() uint64 { return uint64(len(w.seen)-1) * 64 }

// Fresh reports whether Accept would take the sequence.
func (w *Window) Fresh(seq uint64) bool {
	switch {
	case seq == 0:
		return false
	case seq > w.high:
		return true
	case w.high-seq >= w.size():
		return false
	}
	block, bit := w.at(seq)
	return *block&bit == 0
}

// Accept takes the sequence, once.
func (w *Window) Accept(seq uint64) bool {
	if !w.Fresh(seq) {
		return false
	}
	if seq > w.high {
		blocks := uint64(len(w.seen))
		for b := range min(seq/64-w.high/64, blocks) {
			w.seen[(w.high/64+1+b)%blocks] = 0
		}
		w.high = seq
	}
	block, bit := w.at(seq)
	*block |= bit
	return true
}

func (w *Window) at(seq uint64) (block *uint64, bit uint64) {
	return &w.seen[seq/64%uint64(len(w.seen))], 1 << (seq % 64)
}

package heartbeat

// windowSize is how far behind the newest sequence an older one is still taken. A
// path carries some ten datagrams a second per pair: 256 is twenty seconds, and what
// is that late is of no use.
const windowSize = 256

// window remembers which sequences have come (RFC 4303 section 3.4.3; the blocks are
// those of RFC 6479). The zero value has seen nothing, and sequence 0 is never fresh.
type window struct {
	high uint64 // the highest sequence accepted
	// seen has one bit per sequence, modulo its size. It is one block larger than
	// the window, so that a block is cleared before a sequence needs it.
	seen [windowSize/64 + 1]uint64
}

// fresh reports whether accept would take the sequence.
func (w *window) fresh(seq uint64) bool {
	switch {
	case seq == 0:
		return false
	case seq > w.high:
		return true
	case w.high-seq >= windowSize:
		return false
	}
	block, bit := w.at(seq)
	return *block&bit == 0
}

// accept takes the sequence, once.
func (w *window) accept(seq uint64) bool {
	if !w.fresh(seq) {
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

func (w *window) at(seq uint64) (block *uint64, bit uint64) {
	return &w.seen[seq/64%uint64(len(w.seen))], 1 << (seq % 64)
}

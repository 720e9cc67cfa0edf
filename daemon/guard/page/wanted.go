package page

import (
	"errors"
	"hash/fnv"
	"net/netip"
	"time"
)

// A slot says whether one floating IP is wanted here. The guard renews the lifetime
// of wanted addresses, and to renew is to add for the kernel (inet_rtm_newaddr
// inserts what is not there, with any flags): a renewal that crosses a removal would
// bring the address back. So a slot is a word
//
//	hash of the address << 8 | busy << 1 | wanted
//
// and the guard renews only between wanted → wanted|busy and the clearing of busy,
// while a remover first clears wanted and then waits until busy is clear.
const (
	wanted = 1
	busy   = 2
	bits   = 8

	slots = Size/8 - wordSlots
)

// errFull cannot come from a checked configuration: it allows fewer addresses.
var errFull = errors.New("more than 448 floating IPs on one server: share them out over several clusters")

// ErrBusy is returned by Unwant when the guard is in the middle of a renewal and does
// not come out of it.
var ErrBusy = errors.New("the guard is stuck while it renews the address")

// slot finds the word of an address, and takes a free one where there is none.
func (p *Page) slot(addr netip.Addr) (int, error) {
	h := fnv.New64a()
	b := addr.As16()
	h.Write(b[:])
	key := h.Sum64() >> bits << bits
	if key == 0 {
		key = 1 << bits
	}
	for i := range slots {
		n := wordSlots + (int(key>>bits%slots)+i)%slots
		for {
			w := p.words[n].Load()
			if w>>bits<<bits == key {
				return n, nil
			}
			if w != 0 {
				break
			}
			if p.words[n].CompareAndSwap(0, key) {
				return n, nil
			}
		}
	}
	return 0, errFull
}

// Want lets the guard renew the address. To be called before it is added.
func (p *Page) Want(addr netip.Addr) error {
	n, err := p.slot(addr)
	if err == nil {
		p.words[n].Or(wanted)
	}
	return err
}

// Unwant ends that, and returns when the guard has taken its hands off: the address
// can then be removed and stays removed. A guard that died in the middle is replaced
// by one that calls Idle.
func (p *Page) Unwant(addr netip.Addr, patience time.Duration) error {
	n, err := p.slot(addr)
	if err != nil {
		return nil // never wanted
	}
	p.words[n].And(^uint64(wanted))
	for end := time.Now().Add(patience); p.words[n].Load()&busy != 0; time.Sleep(50 * time.Microsecond) {
		if time.Now().After(end) {
			return ErrBusy
		}
	}
	return nil
}

// Renew calls renew if the address is wanted. Only the guard calls it.
func (p *Page) Renew(addr netip.Addr, renew func()) {
	n, err := p.slot(addr)
	if err != nil {
		return
	}
	for {
		w := p.words[n].Load()
		if w&wanted == 0 {
			return
		}
		if p.words[n].CompareAndSwap(w, w|busy) {
			break
		}
	}
	defer p.words[n].And(^uint64(busy))
	renew()
}

// Idle clears every busy mark. A guard calls it when it begins: the one before is dead.
func (p *Page) Idle() {
	for n := wordSlots; n < len(p.words); n++ {
		p.words[n].And(^uint64(busy))
	}
}

// Forget clears every wish. The guard calls it when it has cleared everything.
func (p *Page) Forget() {
	for n := wordSlots; n < len(p.words); n++ {
		p.words[n].And(^uint64(wanted))
	}
}

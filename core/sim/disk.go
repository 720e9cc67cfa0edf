package sim

import (
	"bytes"
	"sort"
	"time"

	"baton/core/node"
)

// disk is what a server's state directory holds, and how fast it is. It survives
// batond and the power; a wipe empties it.
type disk struct {
	pairs node.Image // in order of keys
	// slow: one write in five takes up to this long; 0 is a good disk.
	slow time.Duration
	// hung: no write ends before this virtual time.
	hung time.Duration
	// cache, where not nil, is what a disk that lies has not really written yet.
	cache *cache
}

// cache is that of a disk that says "written" too early: what is under it, and the last
// batches above.
type cache struct {
	dice    dice
	under   disk
	batches []*node.Batch
}

// cached is how many batches such a disk has not written yet.
const cached = 6

func (c *cache) apply(b *node.Batch) {
	c.batches = append(c.batches, b)
	for len(c.batches) > cached {
		c.under.apply(c.batches[0])
		c.batches = c.batches[1:]
	}
}

// losePower leaves what was really written: some of the first batches of the cache are.
func (d *disk) losePower(s *server) {
	c := d.cache
	if c == nil || s.w.healed {
		return
	}
	for _, b := range c.batches[:c.dice.IntN(len(c.batches)+1)] {
		c.under.apply(b)
	}
	c.batches = nil
	s.w.stats.count("lying disk")
	d.pairs = c.under.image()
}

// image returns a copy of what the disk holds.
func (d *disk) image() node.Image { return append(node.Image(nil), d.pairs...) }

func (d *disk) find(key []byte) int {
	return sort.Search(len(d.pairs), func(i int) bool { return bytes.Compare(d.pairs[i].Key, key) >= 0 })
}

// apply carries out a batch, whole.
func (d *disk) apply(b *node.Batch) {
	if d.cache != nil {
		d.cache.apply(b)
	}
	for _, r := range b.Delete {
		from, to := d.find(r.From), d.find(r.To)
		if from < to {
			d.pairs = append(d.pairs[:from], d.pairs[to:]...)
		}
	}
	for _, kv := range b.Put {
		i := d.find(kv.Key)
		if i < len(d.pairs) && bytes.Equal(d.pairs[i].Key, kv.Key) {
			d.pairs[i].Value = kv.Value
			continue
		}
		d.pairs = append(d.pairs, node.KeyValue{})
		copy(d.pairs[i+1:], d.pairs[i:])
		d.pairs[i] = kv
	}
}

// writer is the part of batond that writes batches, in order and several at a time.
// What it has not finished when batond or the power goes may or may not be there
// afterwards, but never a later batch without the earlier ones.
type writer struct {
	waiting []*node.Batch
	writing []*node.Batch
}

func (s *server) write(l *life, b *node.Batch) {
	if b.ID != l.lastBatch+1 && l.lastBatch != 0 || b.ID == 0 {
		s.w.break_(BrokenDuty, "s%d: batch %d follows batch %d", s.number, b.ID, l.lastBatch)
	}
	l.lastBatch = b.ID
	l.writer.waiting = append(l.writer.waiting, b)
	if len(l.writer.writing) == 0 {
		s.writeSome(l)
	}
}

func (s *server) writeSome(l *life) {
	wr := &l.writer
	n := len(wr.waiting)
	if n > 1 && s.w.dice.chance(0.2) { // a store may also take them one by one
		n = 1
	}
	wr.writing, wr.waiting = wr.waiting[:n:n], wr.waiting[n:]
	d := s.w.dice.between(200*time.Microsecond, 4*time.Millisecond)
	if s.disk.slow > 0 && s.w.dice.chance(0.2) {
		d = s.w.dice.between(time.Millisecond, s.disk.slow)
	}
	s.w.after(d, func() { s.written(l) })
}

func (s *server) written(l *life) {
	if s.life != l {
		return
	}
	if until := max(s.disk.hung, s.frozen); s.w.now < until {
		if again := s.w.now + 50*time.Millisecond; again < until {
			s.w.at(again, func() { s.written(l) }) // the fault may end before its time
			return
		}
		s.w.at(until+s.w.dice.between(0, time.Millisecond), func() { s.written(l) })
		return
	}
	for _, b := range l.writer.writing {
		s.disk.apply(b)
	}
	last := l.writer.writing[len(l.writer.writing)-1].ID
	l.writer.writing = nil
	if s.w.point(s, pointDurable); s.life != l {
		return
	}
	if len(l.writer.waiting) > 0 {
		s.writeSome(l)
	}
	// A crash may fall between the write and the word of it.
	s.w.after(s.w.dice.between(0, 300*time.Microsecond), func() { s.input(l, node.Input{Written: last}) })
}

// abandon is what a crash does to a write that is going on: some of its batches,
// the first ones, get to the disk.
func (s *server) abandon(l *life) {
	if n := len(l.writer.writing); n > 0 && s.w.now >= s.disk.hung {
		for _, b := range l.writer.writing[:s.w.dice.IntN(n+1)] {
			s.disk.apply(b)
		}
	}
	l.writer = writer{}
}

// Package store keeps what a server must not forget: a dumb ordered key-value store
// in one file, on bbolt. It knows neither what the keys mean nor when to write; the
// node says both.
//
// Open and Load are called once, before the event loop begins. Write and
// OldestUnfinished are called by the event loop and never wait for the disk. One
// goroutine of the store, the writer, does all writing and calls Config.Done and
// Config.Fail.
//
// The promises: a batch is on disk wholly or not at all, in the order of Write, and
// Done is called for it only after fdatasync has said so. After a write error nothing
// is written any more and nothing is reported as done: what is on disk is unknown
// then, and only a restart finds out.
package store

import (
	"bytes"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"baton/core/node"

	bolt "go.etcd.io/bbolt"
)

// Config says whom to tell. Both functions are called by the writer, one at a time,
// and hold it up while they run; neither is called after Close has returned.
type Config struct {
	// Done is called after each commit: the batch with this id and all before it are
	// on disk. Batches that were waiting together are one commit and one call. It
	// may wait for the event loop, provided it gives up when the loop has ended.
	Done func(id uint64)
	// Fail is called at most once: a write has failed, the daemon must end.
	Fail func(error)
}

// Store is an open store.
type Store struct {
	db  *bolt.DB
	cfg Config

	mu sync.Mutex
	// waiting are batches that the writer has not taken yet. The queue has no bound
	// of its own: the node keeps back whatever depends on an unwritten batch, so what
	// piles up behind a hanging disk is one election's worth of messages, and a
	// server whose oldest write is too old stops leading.
	waiting []queued
	// taken is when the oldest batch of the transaction under way was handed in;
	// zero while none is.
	taken  time.Time
	closed bool

	wake    chan struct{} // capacity 1: something is waiting, or closed
	drained chan struct{} // closed when the writer has ended
}

type queued struct {
	batch node.Batch
	since time.Time
}

// Open opens the store in dir, and makes both if they are missing. The store belongs
// to one process at a time. Config's functions are called only after the first Write.
func Open(dir string, cfg Config) (*Store, error) {
	if cfg.Done == nil || cfg.Fail == nil {
		return nil, errors.New("store: Config.Done and Config.Fail must be set")
	}
	db, err := open(dir)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	s := &Store{db: db, cfg: cfg, wake: make(chan struct{}, 1), drained: make(chan struct{})}
	go s.write()
	return s, nil
}

// Load returns everything the store holds. The image shares nothing with the store.
func (s *Store) Load() (img node.Image, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer caught(&err)
	err = s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucket).ForEach(func(k, v []byte) error {
			img = append(img, node.KeyValue{Key: bytes.Clone(k), Value: append([]byte{}, v...)})
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("store %s: load: %w", s.db.Path(), err)
	}
	return img, nil
}

// Write hands a batch to the writer and returns at once. The batch belongs to the
// store from then on. After a failure, and after Close, it does nothing.
func (s *Store) Write(b node.Batch) {
	s.mu.Lock()
	if !s.closed {
		s.waiting = append(s.waiting, queued{b, time.Now()})
	}
	s.mu.Unlock()
	s.signal()
}

// OldestUnfinished returns the age of the oldest batch that is not on disk yet, 0
// when there is none. It grows without end when the disk hangs or has failed.
func (s *Store) OldestUnfinished() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest := s.taken
	if oldest.IsZero() {
		if len(s.waiting) == 0 {
			return 0
		}
		oldest = s.waiting[0].since
	}
	return max(time.Since(oldest), 1)
}

// Close writes what is waiting, and closes the file. It waits as long as the disk
// takes; an owner that cannot wait ends without it, and loses nothing that was
// reported as done.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.signal()
	<-s.drained
	return s.db.Close()
}

func (s *Store) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// write is the writer.
func (s *Store) write() {
	defer close(s.drained)
	debug.SetPanicOnFault(true)
	for range s.wake {
		batches, closed := s.take()
		if len(batches) > 0 {
			if err := s.commit(batches); err != nil {
				s.stop()
				s.cfg.Fail(fmt.Errorf("store %s: write: %w", s.db.Path(), err))
				return
			}
			s.mu.Lock()
			s.taken = time.Time{}
			s.mu.Unlock()
			s.cfg.Done(batches[len(batches)-1].batch.ID)
		}
		if closed {
			return
		}
	}
}

// take takes all that is waiting. Closed means that nothing more will come.
func (s *Store) take() (batches []queued, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	batches, s.waiting = s.waiting, nil
	if len(batches) > 0 {
		s.taken = batches[0].since
	}
	return batches, s.closed
}

// stop makes Write forget what it is given. The age of the failed transaction goes
// on growing.
func (s *Store) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.waiting = true, nil
}

// commit writes the batches in one transaction.
func (s *Store) commit(batches []queued) (err error) {
	defer caught(&err)
	return s.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucket)
		for i := range batches {
			if err := apply(b, &batches[i].batch); err != nil {
				return fmt.Errorf("batch %d: %w", batches[i].batch.ID, err)
			}
		}
		return nil
	})
}

func apply(b *bolt.Bucket, batch *node.Batch) error {
	for _, r := range batch.Delete {
		// Deleting under a moving cursor makes bbolt skip keys: first look, then delete.
		var keys [][]byte
		c := b.Cursor()
		for k, _ := c.Seek(r.From); k != nil && bytes.Compare(k, r.To) < 0; k, _ = c.Next() {
			keys = append(keys, bytes.Clone(k))
		}
		for _, k := range keys {
			if err := b.Delete(k); err != nil {
				return fmt.Errorf("delete %q: %w", k, err)
			}
		}
	}
	for _, kv := range batch.Put {
		if err := b.Put(kv.Key, kv.Value); err != nil {
			return fmt.Errorf("put %q: %w", kv.Key, err)
		}
	}
	return nil
}

// caught turns a panic of the function it is deferred in into an error. bbolt reads
// through a memory mapping: a page that makes no sense panics, and a page that cannot
// be read or lies behind the end of the file faults, which is a panic only where
// debug.SetPanicOnFault has been called.
func caught(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("damaged, or its disk cannot be read: %v", r)
	}
}

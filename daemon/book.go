package main

import (
	"slices"
	"sync"

	"baton/core/cluster"
)

// bookSize is how many events a server keeps for the API: some days of an ordinary
// cluster, 1 MiB at most. The replicated state keeps fewer, and those survive.
const bookSize = 4096

// book is the event log as this server knows it: what the replicated state held when
// it was first seen, and everything since. The loop writes; API requests read.
type book struct {
	mu     sync.Mutex
	events []cluster.Event // by id, growing
	more   chan struct{}   // closed, and made anew, when there are new events
}

func newBook() *book { return &book{more: make(chan struct{})} }

// add puts events in their places and returns those that are new. Events may come
// twice: as a command is applied, and in a state that is taken over whole.
func (b *book) add(events []cluster.Event) (fresh []cluster.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range events {
		i, known := slices.BinarySearchFunc(b.events, e.ID, func(o cluster.Event, id uint64) int {
			switch {
			case o.ID < id:
				return -1
			case o.ID > id:
				return 1
			}
			return 0
		})
		if known || i == 0 && len(b.events) == bookSize {
			continue // or older than all that is kept
		}
		b.events = slices.Insert(b.events, i, e)
		fresh = append(fresh, e)
		if len(b.events) > bookSize {
			b.events = slices.Delete(b.events, 0, 1)
		}
	}
	if len(fresh) > 0 {
		close(b.more)
		b.more = make(chan struct{})
	}
	return fresh
}

// Events returns the oldest events with an id above after, at most limit.
func (b *book) Events(after uint64, limit int) []cluster.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	i, _ := slices.BinarySearchFunc(b.events, after, func(o cluster.Event, id uint64) int {
		if o.ID <= id {
			return -1
		}
		return 1
	})
	return slices.Clone(b.events[i:min(i+limit, len(b.events))])
}

// Newest returns the newest events, at most limit, oldest first.
func (b *book) Newest(limit int) []cluster.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.events[max(0, len(b.events)-limit):])
}

// MoreEvents is closed with the next event.
func (b *book) MoreEvents() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.more
}

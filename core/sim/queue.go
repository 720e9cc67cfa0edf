package sim

import "time"

// event is something that happens at an instant of virtual time.
type event struct {
	at    time.Duration
	order uint64 // events of one instant happen in the order they were asked for
	do    func()
}

func (e *event) before(o *event) bool {
	return e.at < o.at || e.at == o.at && e.order < o.order
}

// queue is a heap of events with four children to a node: shallow, and without the
// interface calls of container/heap.
type queue struct {
	heap  []event
	order uint64
}

func (q *queue) len() int { return len(q.heap) }

// next is when the first event happens. The queue must not be empty.
func (q *queue) next() time.Duration { return q.heap[0].at }

func (q *queue) push(at time.Duration, do func()) {
	q.order++
	q.heap = append(q.heap, event{at, q.order, do})
	i := len(q.heap) - 1
	for i > 0 {
		up := (i - 1) / 4
		if !q.heap[i].before(&q.heap[up]) {
			break
		}
		q.heap[i], q.heap[up] = q.heap[up], q.heap[i]
		i = up
	}
}

func (q *queue) pop() event {
	first := q.heap[0]
	last := len(q.heap) - 1
	q.heap[0] = q.heap[last]
	q.heap[last] = event{}
	q.heap = q.heap[:last]
	i := 0
	for {
		least := i
		for c := 4*i + 1; c <= 4*i+4 && c < last; c++ {
			if q.heap[c].before(&q.heap[least]) {
				least = c
			}
		}
		if least == i {
			return first
		}
		q.heap[i], q.heap[least] = q.heap[least], q.heap[i]
		i = least
	}
}

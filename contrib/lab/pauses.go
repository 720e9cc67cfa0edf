package lab

import (
	"sync"
	"time"
)

// pauses are the times for which the lab's own process got no processor. What the
// kernels report it notes so much too late.
type pauses struct {
	mu   sync.Mutex
	list []window
	done chan struct{}
	wg   sync.WaitGroup
}

const (
	pauseTick = 10 * time.Millisecond
	// pauseLeast is what counts as a pause: less is lost in an interval.
	pauseLeast = 2 * pauseTick
	// pauseNear is how long before and after a pause something may have been noted late
	// for it: several reports wait in a queue then.
	pauseNear = 250 * time.Millisecond
)

func (p *pauses) watch() {
	p.done = make(chan struct{})
	p.wg.Go(func() {
		tick := time.NewTicker(pauseTick)
		defer tick.Stop()
		for last := time.Now(); ; {
			select {
			case <-p.done:
				return
			case <-tick.C:
			}
			now := time.Now()
			if now.Sub(last) >= pauseLeast {
				p.mu.Lock()
				p.list = append(p.list, window{last, now})
				p.mu.Unlock()
			}
			last = now
		}
	})
}

func (p *pauses) close() {
	if p.done != nil {
		close(p.done)
		p.wg.Wait()
		p.done = nil
	}
}

// longest is the longest pause near a stretch of time.
func (p *pauses) longest(from, until time.Time) (most time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.list {
		if w.touches(from.Add(-pauseNear), until.Add(pauseNear)) {
			most = max(most, w.until.Sub(w.from))
		}
	}
	return most
}

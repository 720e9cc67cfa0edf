package main

import (
	"context"
	"fmt"
	"time"

	"baton/conf"
	"baton/core/cluster"
	"baton/daemon/heartbeat"
)

// pathNotes puts into the cluster's event log which heartbeat paths to this server
// are lost and work again. A server of which nothing is heard on any path is not a
// matter of paths: the cluster says that it is down.
type pathNotes struct {
	conf *conf.Config
	self string
	note func(*cluster.Event)
	wake chan struct{}    // capacity 1: some path has changed
	lost map[[2]int]int64 // by path and server: since when noted as lost, unix milliseconds
}

// noteAfter is how long the change of a path is left alone before it is noted: the
// paths of a server that goes down fall silent within a round or two of each other.
// In rounds.
const noteAfter = 5

func newPathNotes(c *conf.Config, id identity, note func(*cluster.Event)) *pathNotes {
	return &pathNotes{conf: c, self: id.name, note: note, wake: make(chan struct{}, 1), lost: map[[2]int]int64{}}
}

// changed is called by any goroutine when a path has changed.
func (n *pathNotes) changed() { wake(n.wake) }

func (n *pathNotes) run(ctx context.Context, stats func() heartbeat.Stats) {
	settle := time.NewTimer(0)
	defer settle.Stop()
	for {
		select {
		case <-n.wake:
		case <-ctx.Done():
			return
		}
		settle.Reset(noteAfter * timesOf(n.conf).Round)
		select {
		case <-settle.C:
		case <-ctx.Done():
			return
		}
		n.look(stats(), time.Now().UnixMilli())
	}
}

// look compares what is with what has been noted.
func (n *pathNotes) look(st heartbeat.Stats, now int64) {
	heard := map[int]bool{}
	for _, d := range st.Paths {
		heard[d.From] = heard[d.From] || d.OK
	}
	for _, d := range st.Paths {
		key := [2]int{d.Path, d.From}
		since, noted := n.lost[key]
		from := n.conf.Servers[d.From-1].Name
		switch {
		case d.OK && noted:
			delete(n.lost, key)
			n.note(&cluster.Event{
				Severity: cluster.Info, Code: cluster.CodePathWorks,
				Text: fmt.Sprintf("heartbeat path %s from %s to %s works again after %v", d.Name, from, n.self, ago(now-since)),
			})
		case !d.OK && !noted && heard[d.From] && d.Age >= 0:
			n.lost[key] = now - d.Age.Milliseconds()
			n.note(&cluster.Event{
				Severity: cluster.Warn, Code: cluster.CodePathLost,
				Text: fmt.Sprintf("heartbeat path %s from %s to %s is lost; %s is heard on another one", d.Name, from, n.self, from),
			})
		}
	}
}

func ago(millis int64) time.Duration {
	return (time.Duration(millis) * time.Millisecond).Round(100 * time.Millisecond)
}

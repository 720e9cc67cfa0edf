package main

import (
	"context"
	"fmt"
	"os/exec"
	"time"

	"baton/contrib/lab"
	"baton/core/cluster"
	"baton/daemon/api"
)

// commandRuns is how often each is measured.
const commandRuns = 50

// commands measures what an operator's script waits for: the program baton status as a
// whole, from exec to exit, and the time from the request of an operation until the log
// has it, asked of a server that does not lead.
func (b *bench) commands(s *settings) {
	baton, err := lab.Build("baton/tui")
	if err != nil {
		b.Fatalf("%v", err)
	}
	c := lab.Start(b, lab.Interval(s.interval), lab.Timeout(s.timeout), lab.OnDisk())
	leader := c.Leader()
	follower := c.Other(leader)
	var whole []float64
	for range commandRuns {
		cmd := exec.Command(baton, "--socket", c.Get(follower).Socket(), "status")
		cmd.Env = []string{"LANG=C.UTF-8", "PATH=/usr/bin:/bin"}
		began := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("baton status: %v: %s", err, out)
		}
		whole = append(whole, millis(time.Since(began)))
	}
	t := spreadOf(whole)
	fmt.Printf("baton status, exec to exit             %.1f ms (%.1f to %.1f)\n", t.median, t.min, t.max)
	for _, asked := range []struct{ role, server string }{{"a follower", follower}, {"the leader", leader}} {
		t = spreadOf(b.acceptance(c, asked.server))
		fmt.Printf("operation accepted, asked of %s %.1f ms (%.1f to %.1f)\n", asked.role, t.median, t.min, t.max)
	}
	c.Verify()
}

// acceptance stops and starts a group again and again and returns how long the server
// took each time until it said that the log has the operation.
func (b *bench) acceptance(c *lab.Cluster, server string) (took []float64) {
	end := c.HandOver()
	defer end()
	client := c.Get(server).Client()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for i := range commandRuns {
		verb := cluster.VerbStop
		if i%2 == 1 {
			verb = cluster.VerbStart
		}
		began := time.Now()
		a, err := client.Operate(ctx, api.Operation{Verb: verb, Group: "A", From: "bench"})
		if err != nil {
			b.Fatalf("%s A: %v", verb, err)
		}
		took = append(took, millis(time.Since(began)))
		if op, err := client.Wait(ctx, a.ID); err != nil || op.State != cluster.OpDone {
			b.Fatalf("%s A: %s: %s: %v", verb, op.State, op.Text, err)
		}
	}
	return took
}

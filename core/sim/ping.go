package sim

import (
	"baton/core/epoch"
	"baton/core/node"
)

// The kind ping asks the public LAN, which is a switch: each server has one cable to
// it, and the gateway hangs there too. So two servers that both reach the gateway
// reach each other, and what pulls one side's cables takes the gateway from it.
//
// Its promise is weak, and what it does not cover is kept out: after one side has lost
// its cables or its power, no server of the other side loses its own before all are one
// cluster again (lan.go). Within that world the invariants hold.

// ping looks at the network: a claim wins if the gateway answers and every missing
// server is silent. A machine answers whether batond runs there or not.
func (w *world) ping(s *server, c node.RegisterCall) node.RegisterAnswer {
	a := node.RegisterAnswer{ID: c.ID}
	if !w.net.reachesGateway(s.number - 1) {
		a.Text = "the public LAN does not answer"
		return a
	}
	if c.Claim == (epoch.ID{}) {
		return a
	}
	for _, m := range c.Missing {
		if w.servers[m-1].power && w.net.reachesGateway(m-1) {
			a.Text = w.servers[m-1].name + " answers on the public LAN"
			return a
		}
	}
	w.note(s, "ping says epoch %v is its", c.Claim)
	a.Top = c.Claim
	return a
}

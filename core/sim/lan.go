package sim

import "slices"

// lan is the public LAN as a switch with one cable to each server (kind ping); the
// servers' last path runs over it.
type lan struct {
	// out and in count the faults that cut a direction of a server's cable.
	out, in []int
}

// isSwitched says whether a path runs over the switch.
func (n *network) isSwitched(path int) bool { return n.lan.out != nil && path == n.paths-1 }

func (n *network) reachesGateway(s int) bool { return n.lan.out[s] == 0 && n.lan.in[s] == 0 }

// overSwitch turns cut paths over the switch into pulled cables, and reports which of
// the links stay as they are. Only servers of one side lose their cables until all are
// one cluster again.
func (w *world) overSwitch(links []link) (rest []link, out, in []int) {
	if w.net.lan.out == nil {
		return links, nil, nil
	}
	if w.isUnited() {
		w.pulled = nil
	}
	first := len(w.pulled) == 0
	chosen := append([]int(nil), w.pulled...)
	lowFirst := w.dice.chance(0.5)
	for _, l := range links {
		if !w.net.isSwitched(l.path) {
			rest = append(rest, l)
			continue
		}
		at := -1
		switch a, b := min(l.from, l.to), max(l.from, l.to); {
		case slices.Contains(chosen, l.from):
			at = l.from
		case slices.Contains(chosen, l.to):
			at = l.to
		case !first || !w.isUnited() || len(chosen)+1 >= len(w.servers):
			continue
		case lowFirst:
			at = a
		default:
			at = b
		}
		if !slices.Contains(chosen, at) {
			chosen = append(chosen, at)
		}
		if at == l.from && !slices.Contains(out, at) {
			out = append(out, at)
		}
		if at == l.to && !slices.Contains(in, at) {
			in = append(in, at)
		}
	}
	w.pulled = chosen
	return rest, out, in
}

// mayLosePower says whether a server's power may fail. With ping only that of the side
// that has lost its cables, until all are one cluster again: a machine that is off is as
// silent as one that is gone, but goes on with what it had founded when it boots.
func (w *world) mayLosePower(s *server) bool {
	if w.net.lan.out == nil || w.healed || slices.Contains(w.pulled, s.number-1) {
		return true
	}
	if !w.isUnited() {
		return false
	}
	w.pulled = []int{s.number - 1}
	return true
}

// isUnited: every server runs, takes part in one epoch, and is heard as a voter of it; and,
// with ping, has its cable: that one is out may not have been noticed yet.
func (w *world) isUnited() bool {
	for i, s := range w.servers {
		if w.net.lan.out != nil && !w.net.reachesGateway(i) {
			return false
		}
		if s.life == nil || s.seen.sealed || s.line != w.servers[0].line || !s.power {
			return false
		}
	}
	l := w.leader()
	if l == nil {
		return false
	}
	v := l.life.node.View(l.reading())
	return v.Quorum && len(v.Voters) == len(w.servers)
}

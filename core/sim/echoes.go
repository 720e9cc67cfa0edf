package sim

import (
	"time"

	"baton/core/node"
)

// echoes are messages that arrive once more, or for the first time, long after they were
// sent: seconds, above all when their receiver has just started and remembers nothing that
// would tell them from new ones. They have their own dice, so that a run without them is
// what it was.
type echoes struct {
	dice dice
	kept [node.MsgPropose + 1][]node.Message // of each kind
}

// keepEchoes is how many messages of a kind are remembered; of those sent one in five is,
// so that they are from the last ten seconds or so.
const keepEchoes = 64

func (w *world) startEchoes() {
	if w.opt.Echoes {
		w.echoes = &echoes{dice: newDice(w.opt.Seed, streamEchoes)}
		w.after(w.from, w.nextEcho)
	}
}

func (e *echoes) keep(m *node.Message) {
	if e == nil || !e.dice.chance(0.2) {
		return
	}
	k := e.kept[m.Kind]
	if len(k) < keepEchoes {
		e.kept[m.Kind] = append(k, *m)
		return
	}
	k[e.dice.IntN(len(k))] = *m
}

func (w *world) nextEcho() {
	if w.healed {
		return
	}
	if to := w.servers[w.echoes.dice.IntN(len(w.servers))]; !w.peace {
		w.echo(to, 1+w.echoes.dice.IntN(6))
	}
	w.after(w.echoes.dice.between(50*time.Millisecond, time.Second), w.nextEcho)
}

// echo has up to so many former messages arrive at a server within a tenth of a second.
func (w *world) echo(to *server, count int) {
	e := w.echoes
	if e == nil || w.healed || w.peace {
		return
	}
	for range count {
		k := e.kept[1+e.dice.IntN(int(node.MsgPropose))]
		if len(k) == 0 {
			continue
		}
		m := k[e.dice.IntN(len(k))]
		if m.To != to.number {
			continue
		}
		in := node.Input{Packet: &node.Packet{Message: m}}
		if m.Kind == node.MsgRaft || m.Kind == node.MsgPropose {
			in.Packet.Path = -1
		}
		w.stats.count("late copy")
		w.after(e.dice.between(0, 100*time.Millisecond), func() { w.deliver(in) })
	}
}

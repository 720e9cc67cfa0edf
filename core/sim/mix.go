package sim

import (
	"fmt"
	"time"
)

// Mix is what seed number so-and-so of a mixed search plays: every size, the small ones
// more often, and every kind of tie-breaker.
func Mix(seed uint64) Options {
	d := newDice(seed, streamMix)
	o := Options{Seed: seed}
	switch k := d.IntN(100); {
	case k < 30:
		o.Servers = 2
	case k < 60:
		o.Servers = 3
	case k < 76:
		o.Servers = 4
	case k < 88:
		o.Servers = 5
	case k < 96:
		o.Servers = 6 + d.IntN(3)
	default:
		o.Servers = 9 + d.IntN(8)
	}
	switch k := d.IntN(20); {
	case k < 5:
		o.Tie = TieNone
	case k < 12:
		o.Tie = TieRegister
	case k < 16:
		o.Tie = TieFence
	default:
		o.Tie = TiePing
	}
	o.Aim = []float64{0, 0, 0, 0.3, 0.6}[d.IntN(5)]
	o.Forced = d.chance(0.15) && o.Tie != TiePing
	o.Late = d.chance(0.12)
	o.Echoes = d.chance(0.3)
	o.Rush = d.chance(0.3)
	return o
}

// Replay is the command that plays these options again.
func (o Options) Replay() string {
	text := fmt.Sprintf("go run ./core/sim/cmd/sim -n %d -seed %d -tie %s", o.Servers, o.Seed, o.withDefaults().Tie)
	if o.Aim != 0 {
		text += fmt.Sprintf(" -aim %g", o.Aim)
	}
	if o.Forced {
		text += " -forced"
	}
	if o.Late {
		text += " -late"
	}
	if o.Echoes {
		text += " -echoes"
	}
	if o.Rush {
		text += " -rush"
	}
	if o.LyingDisks {
		text += " -lying-disks"
	}
	if d := o.withDefaults(); d.Drift != 0.005 {
		text += fmt.Sprintf(" -drift %g", d.Drift)
	}
	if o.Faults != 0 && o.Faults != 60*time.Second {
		text += fmt.Sprintf(" -faults %v", o.Faults)
	}
	if o.MachineStalls {
		text += " -machine-stalls"
	}
	if names := weakNames(o.Weaken, o.World); names != "" {
		text += " -weaken " + names
	}
	for i, f := range o.Without {
		if i == 0 {
			text += " -without '" + f
		} else {
			text += "," + f
		}
		if i == len(o.Without)-1 {
			text += "'"
		}
	}
	return text + " -trace"
}

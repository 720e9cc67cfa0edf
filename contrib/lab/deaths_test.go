package lab_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"baton/contrib/lab"
)

// The death of one, be it the leader, another server, or the tie-breaker, interrupts no
// group on a surviving server: 20 times of 20 (BATON_LAB_MATRIX=all), with the timeout
// that users have. Each death takes another server's groups along: what moved does not
// move back.
func TestDeathsInterruptNobody(t *testing.T) {
	for _, d := range []struct {
		what string
		size size
		die  func(m *match)
	}{
		{"leader", size{servers: 3}, func(m *match) { m.diesAlone(m.Leader()) }},
		{"another", size{servers: 3}, func(m *match) { m.diesAlone(m.Other(m.Leader())) }},
		{"leader", twoWitness, func(m *match) { m.diesAlone(m.Leader()) }},
		{"another", twoWitness, func(m *match) { m.diesAlone(m.Other(m.Leader())) }},
		{"tie-breaker", twoWitness, (*match).witnessDiesAlone},
	} {
		t.Run(fmt.Sprintf("%s of %s", d.what, d.size), func(t *testing.T) {
			t.Parallel()
			const timeout = 3 * time.Second
			m := &match{T: t, size: d.size, timeout: timeout, Cluster: lab.Start(t, lab.Servers(d.size.servers),
				lab.Tiebreaker(d.size.kind), lab.Timeout(timeout), lab.ReturnAuto())}
			for range deaths() {
				d.die(m)
			}
			m.Verify()
		})
	}
}

func deaths() int {
	if os.Getenv(matrixAll) == "all" {
		return 20
	}
	return 1
}

func (m *match) diesAlone(victim string) {
	m.Helper()
	// Each server has a group to lose, or to go on with.
	for i, name := range m.names() {
		if group := string(rune('A' + i)); m.Carrier(group) != name {
			m.Move(group, name)
		}
	}
	check := m.untouched(m.others(victim))
	m.PowerCut(victim)
	m.allOn(m.names(victim)...)
	check()
	m.PowerOn(victim)
	m.WaitAll()
}

func (m *match) witnessDiesAlone() {
	m.Helper()
	check := m.untouched([]string{"A", "B", "C"})
	m.WitnessOff()
	time.Sleep(m.timeout)
	m.WitnessOn()
	time.Sleep(m.timeout / 4)
	check()
}

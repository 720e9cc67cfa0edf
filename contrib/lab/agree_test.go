package lab_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"baton/conf"
	"baton/contrib/lab"
	"baton/core/cluster"
	"baton/daemon/api"
	"baton/daemon/store"
)

// agreeTimeout is heartbeat.timeout here: what sealEverywhere aims at is T/10 long.
const agreeTimeout = 3 * time.Second

// Two servers that were cut apart have both sealed when everything loses its power, and
// the witness comes back without its registers. It refuses whoever claims, for no leader
// is left that could enrol the cluster; so the two, when both are there, agree without it
// (D12) and go on by themselves, groups and all, and the witness serves them again.
// Method: the same with that rule left out, where they must wait.
func TestWitnessWipedWhenAllHaveSealed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, faults string
		goesOn       bool
	}{
		{"they agree", "", true},
		{"without D12 they wait", "weaken=NoAgreement", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := &match{T: t, size: twoWitness, timeout: agreeTimeout, Cluster: lab.Start(t, lab.Servers(2),
				lab.Tiebreaker(conf.TiebreakerWitness), lab.Timeout(agreeTimeout), lab.ReturnAuto(), lab.Mounts(), lab.Faults(c.faults))}
			before := m.sealEverywhere()
			m.WitnessWiped()
			for _, name := range m.names() {
				m.PowerOn(name)
			}
			if !c.goesOn {
				m.nothingRuns()
				time.Sleep(2 * agreeTimeout)
				m.nothingRuns()
				for _, name := range m.names() {
					m.mustSayWhy(name)
					if s := m.view(name); !strings.Contains(s.Waiting, "all servers are there, and agree") {
						t.Errorf("%s waits for %q, which does not say that it waits for an agreement", name, s.Waiting)
					}
				}
				m.Verify()
				return
			}
			m.WaitAll()
			if s := m.WaitStatus("there is a quorum", func(s *api.Status) bool { return s.Quorum }); s.Epoch != before+1 {
				t.Errorf("epoch %d, want that after %d: they have not agreed on one", s.Epoch, before)
			}
			m.mustTell(m.Leader(), cluster.CodeAllAgreed)
			m.oneDies(m.Leader()) // a register that knows nothing lets nobody go on
			m.Verify()
		})
	}
}

// sealEverywhere has both servers seal their epoch, with nobody to let one of them go on:
// they are cut apart, and the witness is lost after both have asked it, which they do
// T/10 before they seal, and before either claims. Then everything is off and the
// network whole. It returns the epoch they have sealed.
func (m *match) sealEverywhere() (sealed uint64) {
	m.Helper()
	for range 5 {
		must(m.T, m.CutAll(m.names()))
		time.Sleep(m.timeout*4/10 - m.timeout/60) // half of the T/10; silence began up to a round before
		m.WitnessOff()
		time.Sleep(2 * m.timeout)
		for _, name := range m.names() {
			m.PowerCut(name)
		}
		must(m.T, m.Heal())
		var epochs []uint64
		for _, name := range m.names() {
			if id := m.identity(name); id.Sealed {
				epochs = append(epochs, id.Epoch.Number)
			}
		}
		m.T.Logf("sealed: epochs %d", epochs)
		if len(epochs) == m.size.servers && len(slices.Compact(epochs)) == 1 {
			return epochs[0]
		}
		m.WitnessOn() // too early or too late
		for _, name := range m.names() {
			m.PowerOn(name)
		}
		m.WaitAll()
	}
	m.Fatal("the servers have not all sealed one epoch, in any of 5 tries")
	return 0
}

// identity is what the disk of a server that is off says of it (core/node, durable.go).
func (m *match) identity(server string) (id struct {
	Epoch  struct{ Number uint64 }
	Sealed bool
},
) {
	m.Helper()
	s, err := store.Open(m.Get(server).StateDir(), store.Config{Done: func(uint64) {}, Fail: func(error) {}})
	must(m.T, err)
	image, err := s.Load()
	must(m.T, err)
	must(m.T, s.Close())
	for _, kv := range image {
		if string(kv.Key) == "id" {
			must(m.T, json.Unmarshal(kv.Value, &id))
		}
	}
	return id
}

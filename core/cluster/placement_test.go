package cluster

import "testing"

// ARMS_EVENT of a start that nobody asked for and no failure caused: START on the server
// of the same or a higher priority than the one it last ran on, FAILOVER on a lower one;
// the first start of all is START, and so is that of a group whose last server is no
// longer in its policy.
func TestStartEvent(t *testing.T) {
	gc := &GroupConfig{Name: "A", Policy: []string{"server1", "server2", "server3"}}
	for _, tc := range []struct{ last, on, want string }{
		{"", "server1", EventStart},
		{"", "server3", EventStart},
		{"server2", "server1", EventStart},
		{"server2", "server2", EventStart},
		{"server2", "server3", EventFailover},
		{"server1", "server2", EventFailover},
		{"server9", "server3", EventStart},
	} {
		if got := startEvent(&Group{Name: "A", LastServer: tc.last}, gc, tc.on); got != tc.want {
			t.Errorf("last on %q, now on %s: %s, want %s", tc.last, tc.on, got, tc.want)
		}
	}
}

package cluster

import "testing"

// A server that returns says which RECOVER run is under way and what follows.
func TestReturnTellsHowFar(t *testing.T) {
	w := running(t, testConfig(2))
	w.lose("server1")
	w.runAll()
	w.arrive("server1", "boot2")
	w.ask(VerbReturn, "", "server1")
	for _, want := range []string{"RECOVER of A runs first, then of C", "RECOVER of C runs first", "returned"} {
		if got := w.s.Server("server1").Reason; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if want != "returned" {
			w.end(good)
		}
	}
}

package cgroup

import (
	"os/exec"
	"testing"
	"time"
)

// A group can be started again after everything was killed. (Found by a cluster whose
// groups died at birth once the guard had fired: see Place.Remove.)
func TestStartAfterKill(t *testing.T) {
	p, err := Find(Params{Cluster: "again", Server: "s", StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if p.Dir == "" {
		t.Skipf("no cgroup v2 here: %s", p.Why)
	}
	defer p.Remove()
	for round := range 3 {
		cmd := exec.Command("sleep", "100")
		if err := p.Scripts("A").Start(cmd); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err := <-ended:
			t.Fatalf("round %d: the process died at birth: %v", round, err)
		case <-time.After(100 * time.Millisecond):
		}
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			left, err := p.Kill()
			if err == nil && !left {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("round %d: left %v, %v", round, left, err)
			}
		}
		<-ended
		p.Remove()
	}
}

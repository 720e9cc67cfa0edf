package runner

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"baton/core/cluster"
	"baton/daemon/cgroup"
	"baton/daemon/guard/page"
	"baton/daemon/resource/floatingip"
)

// conclude makes the outcome of a step whose child left none, or could not be
// started. The outcome of a stop lets another server start the group, whatever it
// says; so before there is one, batond itself takes the group off this server. It may:
// taking away is never wrong, only adding needs a process that the guard can kill.
func (r *Runner) conclude(step cluster.Step, o cluster.Outcome, done func(cluster.Outcome)) {
	if step.Kind == cluster.StepStop {
		if !r.takeOff(step) {
			return
		}
		o.Text += "; the rest of the group was cleared without its script"
	}
	done(o)
}

// takeOff removes the group's addresses and kills its processes, until nothing is
// left, or the session is over and the guard does it. False: the runner was closed.
func (r *Runner) takeOff(step cluster.Step) bool {
	group, _ := r.group(step.Group)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := r.tryTakeOff(step, group)
		if err == nil {
			return true
		}
		r.config.Progress(step, fmt.Sprintf("%v, trying again", err))
		select {
		case <-time.After(pause):
		case <-r.ctx.Done():
			return false
		}
	}
}

func (r *Runner) tryTakeOff(step cluster.Step, group Group) error {
	var p *page.Page
	if r.config.Page != "" {
		var err error
		if p, err = page.Open(r.config.Page); err != nil {
			return err
		}
		defer p.Close()
		// Then a new session may have the group here already.
		if p.Permit(step.Session) != nil {
			return nil
		}
	}
	// Step children first: one that lives could add what is removed next.
	for _, cell := range []cgroup.Cell{r.config.Place.Steps(step.Group), r.config.Place.Scripts(step.Group)} {
		if err := killCell(cell); err != nil {
			return err
		}
	}
	return removeAddresses(p, group)
}

func killCell(cell cgroup.Cell) error {
	const patience = time.Second // the dying need a moment
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		n, err := cell.Signal(unix.SIGKILL)
		if err != nil || n == 0 {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d processes cannot be killed", n)
		}
	}
}

// removeAddresses removes the group's addresses, after the guard has been told not
// to renew them.
func removeAddresses(p *page.Page, group Group) error {
	const patience = 5 * time.Second // batond has replaced a stuck guard by then
	var addrs []netip.Addr
	for _, spec := range group.FloatingIPs {
		if p != nil {
			if err := p.Unwant(spec.Address, patience); err != nil {
				return fmt.Errorf("%s: %w", spec.Address, err)
			}
		}
		addrs = append(addrs, spec.Address)
	}
	if len(addrs) == 0 {
		return nil
	}
	return floatingip.Deactivate(addrs...)
}

package runner

import (
	"errors"
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
// started: text says why. Any outcome of a start or stop lets another server start the
// group; so before there is one, batond itself takes the group off this server. It
// may: taking away is never wrong, only adding needs a process that the guard can kill.
// A start counts as one whose script did not run, since nothing of it is left.
func (r *Runner) conclude(step cluster.Step, text string, begin int64, done func(cluster.Outcome)) {
	o := cluster.Outcome{Exit: -1, Text: fmt.Sprintf("%s of %s: %s", step.Kind, step.Group, text)}
	if step.Kind != cluster.StepRecover {
		err := r.takeOff(step)
		if r.ctx.Err() != nil {
			return // not ended: the next batond has to do it
		}
		if err == nil {
			o.OK = step.Kind == cluster.StepStop
			o.Text += "; what there was of the group has been cleared without its script"
		}
	}
	if begin != 0 {
		o.Millis = (page.Now() - begin) / int64(time.Millisecond)
	}
	done(o)
}

// errOver: the session is over, the guard clears.
var errOver = errors.New("session over")

// takeOff removes the group's addresses and kills its processes, again and again until
// nothing is left. Its error is errOver, or that of the runner's end.
func (r *Runner) takeOff(step cluster.Step) error {
	group, _ := r.group(step.Group)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := r.tryTakeOff(step, group)
		if err == nil || errors.Is(err, errOver) {
			return err
		}
		r.config.Progress(step, fmt.Sprintf("%v, trying again", err))
		select {
		case <-time.After(pause):
		case <-r.ctx.Done():
			return r.ctx.Err()
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
			return errOver
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

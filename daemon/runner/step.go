package runner

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"baton/core/cluster"
	"baton/daemon/guard/page"
	"baton/daemon/resource/floatingip"
	"baton/daemon/script"
)

// Main is the hidden sub-command "step": --run FILE, the orders, locked, as file 3, and
// a pipe to batond as file 4. It returns the exit code.
func Main(args []string) int {
	flags := flag.NewFlagSet("step", flag.ContinueOnError)
	run := flags.String("run", "", "the step's files")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	// It is ended by the guard's SIGKILL or not at all. SIGPIPE: batond may be gone.
	signal.Ignore(unix.SIGPIPE)
	unix.Umask(0o022)
	orders, err := readOrders()
	if err != nil {
		fmt.Fprintln(os.Stderr, "batond step:", err)
		return 1
	}
	s := &step{Orders: orders, files: files(*run), batond: os.NewFile(4, "batond")}
	unix.CloseOnExec(4)
	return s.main()
}

// step is a step under way, in its own process.
type step struct {
	Orders
	files  files
	batond *os.File

	page *page.Page // nil: none
	held []*floatingip.Held

	mu   sync.Mutex
	last string // progress told last
}

func (s *step) main() int {
	var o cluster.Outcome
	if err := s.open(); err != nil {
		fmt.Fprintln(os.Stderr, "batond step:", err)
		if s.Step.Kind == cluster.StepStop {
			return 1 // nothing is stopped, so there is no outcome: batond sees to it
		}
		o = cluster.Outcome{Exit: -1, Text: err.Error()}
	} else {
		switch s.Step.Kind {
		case cluster.StepStart:
			o = s.start()
		case cluster.StepStop:
			o = s.stop()
		case cluster.StepRecover:
			o = s.recover()
		default:
			o = cluster.Outcome{Exit: -1, Text: fmt.Sprintf("unknown kind of step %q", s.Step.Kind)}
		}
	}
	o.Millis = (page.Now() - s.Begin) / int64(time.Millisecond)
	if err := s.files.leave(o); err != nil {
		fmt.Fprintln(os.Stderr, "batond step:", err)
		return 1
	}
	_, _ = fmt.Fprintln(s.batond, endOfStep) // batond may be gone, the file counts
	s.batond.Close()
	if o.OK {
		s.linger()
	}
	return 0
}

func (s *step) open() error {
	if s.Page == "" {
		return nil
	}
	var err error
	s.page, err = page.Open(s.Page)
	return err
}

// permit says whether the step may act now: its session is this server's and its
// lease lasts. The answer counts because this process is where the guard's kill
// reaches it.
func (s *step) permit() error {
	if s.page == nil {
		return nil
	}
	return s.page.Permit(s.Step.Session)
}

// start: floating IPs, all at the same time, then the script. What was activated is
// taken back if one of them fails.
func (s *step) start() cluster.Outcome {
	o := cluster.Outcome{Disk: s.disk()}
	if err := s.permit(); err != nil {
		return s.unpermitted(err)
	}
	s.endEarlier()
	if err := s.activate(); err != nil {
		s.withdraw()
		o.Exit, o.Text = -1, err.Error()
		return o
	}
	// Behind the announcement of a handover, while the script starts.
	conflict := make(chan error, 1)
	go func() { conflict <- s.conflicts() }()
	s.runScript(s.Group.StartScript, &o)
	if err := <-conflict; err != nil {
		s.withdraw()
		o.OK, o.Text = false, err.Error()
	}
	return o
}

// stop: script, floating IPs, and then the processes that the stop script has left
// over: a group that runs elsewhere must not run here as well. It has no outcome
// before all that is done, however long it takes; meanwhile the operator sees why.
func (s *step) stop() cluster.Outcome {
	var o cluster.Outcome
	if err := s.permit(); err != nil {
		// The guard has cleared, or is about to. The script must not touch what may
		// be another server's by now.
		_ = removeAddresses(s.page, s.Group)
		return s.unpermitted(err)
	}
	s.endEarlier()
	s.runScript(s.Group.StopScript, &o)
	if !o.Ran {
		return o // no longer permitted
	}
	s.withdraw()
	left := 0
	s.insist("end what the stop script left", func() error {
		n, err := s.endLeft()
		left = max(left, n)
		return err
	})
	if left > 0 && o.Text == "" {
		o.Text = fmt.Sprintf("%d processes of the group were left by the stop script and have been ended", left)
	}
	o.OK = true // released, whatever the script said
	return o
}

// recover: the start script with RECOVER, and no resource. The group is not active here
// then, so what is left of a run that was ended at its time limit, also in process groups
// of its own, is nothing but that run's. (What a timed-out stop script leaves goes with
// everything else of the group. A timed-out start loses its own process group only: what
// it has put aside may be the application, for which a stop is to come.)
func (s *step) recover() cluster.Outcome {
	o := cluster.Outcome{Disk: s.disk()}
	if err := s.permit(); err != nil {
		return s.unpermitted(err)
	}
	s.runScript(s.Group.StartScript, &o)
	if o.Ran && o.Exit < 0 {
		s.insist("end what the script left", func() error { _, err := s.endLeft(); return err })
	}
	return o
}

func (s *step) unpermitted(err error) cluster.Outcome {
	return cluster.Outcome{Exit: -1, Text: fmt.Sprintf("%s of %s: %v", s.Step.Kind, s.Step.Group, err)}
}

// activate adds all addresses and returns the first error.
func (s *step) activate() error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	var all sync.WaitGroup
	held := make([]*floatingip.Held, len(s.Group.FloatingIPs))
	for i, spec := range s.Group.FloatingIPs {
		all.Go(func() {
			var err error
			held[i], err = floatingip.Activate(ctx, spec, floatingip.Activation{
				Times: s.Times, Handover: s.Step.Handover, Progress: s.tell,
				Permit: func(ctx context.Context) (int, error) { return s.lifetime(ctx, spec.Address) },
			})
			if err != nil {
				cancel(err) // the first one counts, and ends the others' waiting
			}
		})
	}
	all.Wait()
	for _, h := range held {
		if h != nil {
			s.held = append(s.held, h)
		}
	}
	return context.Cause(ctx)
}

// lifetime permits adding the address, for so many seconds, and asks the guard to
// renew it. Where the lease is too short just now it waits for its next extension.
func (s *step) lifetime(ctx context.Context, addr netip.Addr) (int, error) {
	if s.page == nil {
		return max(1, s.Seconds), nil
	}
	for {
		if err := s.permit(); err != nil {
			return 0, err
		}
		if seconds := s.page.Lifetime(); seconds > 0 {
			return seconds, s.page.Want(addr)
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// conflicts probes behind a handover's announcements.
func (s *step) conflicts() error {
	if !s.Step.Handover {
		return nil
	}
	errs := make([]error, len(s.held))
	var all sync.WaitGroup
	for i, h := range s.held {
		all.Go(func() { errs[i] = h.Conflict(context.Background()) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// withdraw removes the group's addresses. An outcome lets another server have them, so
// there is none before they are gone.
func (s *step) withdraw() {
	s.insist("remove floating IPs", func() error { return removeAddresses(s.page, s.Group) })
}

// insist tries again until it succeeds.
func (s *step) insist(what string, try func() error) {
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := try()
		if err == nil {
			return
		}
		s.tell(fmt.Sprintf("%s: %v, trying again", what, err))
		time.Sleep(pause)
	}
}

// endEarlier ends what an earlier step child of the group still does: it repeats
// announcements, which must not come after a later step.
func (s *step) endEarlier() {
	_, _ = s.Place.Steps(s.Step.Group).Signal(unix.SIGKILL) // it stops by itself too, when the address is gone
}

// endLeft ends the processes in the scripts' cell: TERM, some seconds, KILL. It says how
// many there were.
func (s *step) endLeft() (int, error) {
	const (
		poll   = 10 * time.Millisecond
		killed = 2 * time.Second // then they are stuck in the kernel
	)
	cell := s.Place.Scripts(s.Step.Group)
	n, err := cell.Signal(unix.SIGTERM)
	if n == 0 || err != nil {
		return n, err
	}
	begin := time.Now()
	for {
		time.Sleep(poll)
		pids, err := cell.Processes()
		if err != nil || len(pids) == 0 {
			return n, err
		}
		switch waited := time.Since(begin); {
		case waited > script.Grace+killed:
			return n, fmt.Errorf("%d processes cannot be killed, e.g. %d", len(pids), pids[0])
		case waited > script.Grace:
			if _, err := cell.Signal(unix.SIGKILL); err != nil {
				return n, err
			}
		}
	}
}

// runScript runs the script, if there is one, and notes how it ended.
func (s *step) runScript(path string, o *cluster.Outcome) {
	if path == "" {
		o.OK, o.Ran = true, true
		return
	}
	// Again, right before: an address conflict can have taken minutes.
	if err := s.permit(); err != nil {
		disk := o.Disk
		*o = s.unpermitted(err)
		o.Disk = disk
		return
	}
	o.Ran = true
	r := script.Run(context.Background(), script.Spec{
		Path: path, Env: s.env(), Log: s.Log, Timeout: s.Group.Timeout,
		Title: fmt.Sprintf("%s %s on %s, token %d", s.Step.Kind, s.Step.Group, s.Step.Server, s.Step.Token),
		Start: func(cmd *exec.Cmd) error { return s.Place.Scripts(s.Step.Group).Start(cmd) },
	})
	o.Exit, o.Text, o.OK = r.Exit, r.Text, r.Exit == 0
}

// disk is ARMS_DISK. Without partitions and NFS nothing can fail to connect.
func (s *step) disk() string {
	if s.Step.Env.Disk != "" {
		return s.Step.Env.Disk
	}
	return cluster.DiskSuccess
}

// env are the variables of SPEC section 4.
func (s *step) env() []string {
	e := s.Step.Env
	place := "OTHER"
	if e.Home {
		place = "HOME"
	}
	env := []string{
		"ARMS_EVENT=" + e.Event,
		"ARMS_SERVER=" + place,
		"ARMS_DISK=" + s.disk(),
		"ARMS_PRIORITY=" + strconv.Itoa(e.Priority),
		"ARMS_GROUPNAME=" + s.Step.Group,
		"BATON_TOKEN=" + strconv.FormatUint(s.Step.Token, 10),
		"BATON_CLUSTER=" + s.Cluster,
		"BATON_SERVER=" + s.Step.Server,
	}
	if s.Socket != "" {
		env = append(env, "BATON_SOCKET="+s.Socket)
	}
	if s.Step.Kind == cluster.StepStop {
		env = append(env, "ARMS_FACTOR="+e.Factor)
	}
	return env
}

// tell says what the step is doing, to batond and to one that comes later.
func (s *step) tell(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if text == s.last {
		return
	}
	s.last = text
	text = strings.ReplaceAll(text, "\n", "; ")
	_ = os.WriteFile(string(s.files)+".progress", []byte(text+"\n"), 0o640)
	_, _ = fmt.Fprintln(s.batond, text)
}

// linger repeats the announcements of what this step has activated.
func (s *step) linger() {
	var all sync.WaitGroup
	for _, h := range s.held {
		all.Go(func() { h.Linger(context.Background(), func() bool { return s.permit() == nil }) })
	}
	all.Wait()
}

package guard

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"baton/daemon/guard/page"
)

const (
	// turn is the longest time between two looks at the page.
	turn = 50 * time.Millisecond
	// ownerLook is how often a guard without a session looks whether batond is there.
	ownerLook = time.Second
	// complain is how often it says again what it cannot clear.
	complain = 5 * time.Second
)

// Main is the hidden sub-command "guard": --page FILE --spec FILE, and the page, locked,
// as file 3. It returns the exit code.
func Main(args []string) int {
	flags := flag.NewFlagSet("guard", flag.ContinueOnError)
	pagePath := flags.String("page", "", "the shared page")
	specPath := flags.String("spec", "", "what to clear")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	p, err := newProcess(*pagePath, *specPath)
	if err != nil {
		fmt.Fprintln(os.Stderr, "batond guard:", err)
		return 1
	}
	p.loop()
	return 0
}

// process is the guard. All of it runs in one goroutine, but for the log.
type process struct {
	page  *page.Page
	specs string // file
	end   *ender
	feed  *feeder
	owner string // file that batond has locked
	log   *quietLog

	nextRenew int64
	nextOwner int64
	renewOK   bool
}

func newProcess(pagePath, specPath string) (*process, error) {
	// It is ended by nobody but itself and SIGKILL. A broken standard error is no
	// reason to die either.
	signal.Ignore(unix.SIGTERM, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGPIPE, unix.SIGUSR1, unix.SIGUSR2, unix.SIGTSTP)
	lock := os.NewFile(3, pagePath)
	if lock == nil {
		return nil, fmt.Errorf("started by hand: this is batond's own process")
	}
	unix.CloseOnExec(3)
	// The mapping keeps the file open to the end of the process, and with it the lock.
	p := &process{specs: specPath, owner: filepath.Join(filepath.Dir(pagePath), ownerFile), log: newQuietLog(), renewOK: true}
	var err error
	if p.page, err = page.Map(lock); err != nil {
		return nil, err
	}
	if err := p.page.Check(); err != nil {
		return nil, err
	}
	if p.end, err = newEnder(p.page, p.log.print, 2*turn); err != nil {
		return nil, err
	}
	p.end.clear.turn = p.page.Beat
	if err := p.readSpec(); err != nil {
		return nil, err
	}
	if err := harden(); err != nil {
		p.log.print(fmt.Sprintf("goes without what it may not have: %s", strings.ReplaceAll(err.Error(), "\n", "; ")))
	}
	p.page.SetWatchdog(page.WatchdogNone)
	p.feed = newFeeder(p.end, p.log.print)
	p.page.Idle()
	p.page.Beat()
	p.page.SetGuard(os.Getpid())
	return p, nil
}

func (p *process) readSpec() error {
	n := p.page.Spec()
	b, err := os.ReadFile(p.specs)
	if err != nil {
		return err
	}
	var s Spec
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("%s: %w", p.specs, err)
	}
	p.end.add(s)
	p.page.SetSpecSeen(n)
	return nil
}

func (p *process) loop() {
	for {
		p.page.Beat()
		if p.page.Spec() != p.page.SpecSeen() {
			if err := p.readSpec(); err != nil {
				p.log.print(fmt.Sprintf("the new configuration cannot be read, the old one stays: %v", err))
				p.page.SetSpecSeen(p.page.Spec())
			}
		}
		if p.page.FireIfDue() {
			p.fire()
			continue
		}
		state, now := p.page.Load(), page.Now()
		if !state.Armed() {
			if p.idle(now) {
				return
			}
			time.Sleep(turn)
			continue
		}
		if now >= p.nextRenew {
			p.renew(now)
		}
		time.Sleep(min(turn, time.Duration(min(state.Deadline, p.nextRenew)-page.Now())))
	}
}

// fire clears once and, where that was not enough, has the loop call it again, for
// ever.
func (p *process) fire() {
	if !p.end.try() {
		time.Sleep(10 * time.Millisecond)
	}
}

func (p *process) renew(now int64) {
	interval := min(max(p.end.spec.Load().Timeout/10, 200*time.Millisecond), 500*time.Millisecond)
	p.nextRenew = now + int64(interval)
	err := p.end.clear.renew()
	if err != nil && p.renewOK {
		p.log.print(err.Error())
	}
	p.renewOK = err == nil
}

// idle is a turn without a session. It says whether to end: batond is gone.
func (p *process) idle(now int64) bool {
	// Nothing is left of what older configurations named.
	p.end.forget()
	if now < p.nextOwner {
		return false
	}
	p.nextOwner = now + int64(ownerLook)
	f, err := os.OpenFile(p.owner, os.O_RDWR, 0)
	if err != nil {
		return os.IsNotExist(err) // the state directory has been removed
	}
	if !tryLock(f) {
		f.Close()
		return false
	}
	// From here to the end no batond can attach, unless the session began just now.
	if p.page.Load().Armed() || !p.feed.letGo() {
		f.Close()
		return false
	}
	return true
}

// quietLog writes to standard error and the kernel's log without ever waiting for
// them: a pipe whose reader hangs would hang the guard.
type quietLog struct{ lines chan string }

func newQuietLog() *quietLog {
	l := &quietLog{lines: make(chan string, 64)} // full: dropped
	kmsg, _ := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	go func() { // ends with the process
		for s := range l.lines {
			fmt.Fprintln(os.Stderr, "batond guard:", s)
			if kmsg != nil {
				fmt.Fprintln(kmsg, "batond guard:", s)
			}
		}
	}()
	return l
}

func (l *quietLog) print(s string) {
	select {
	case l.lines <- s:
	default:
	}
}

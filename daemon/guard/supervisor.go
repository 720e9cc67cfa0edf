package guard

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"baton/daemon/guard/page"
	"baton/daemon/guard/reboot"
)

// supervisor keeps a guard alive while batond lives. One goroutine runs it.
type supervisor struct {
	guard *Guard
	pidfd int      // of the guard; -1: none
	exit  *os.File // pidfd, for the runtime's poller: waiting costs nothing
	pid   int
	dog   page.Watchdog // as last told
	spare *ender        // made beforehand, for the case that no guard can be started
}

const (
	// look bounds a wait for the death of a guard that was killed.
	look = 50 * time.Millisecond
	// again is the pause after a guard that could not be started or died early.
	again = 100 * time.Millisecond
)

// stale is the age of a beat at which the guard counts as stuck. It must be shorter
// than the lifetime of an address, which only the guard renews, and longer than a busy
// machine keeps a process waiting.
func stale(timeout time.Duration) time.Duration {
	return min(max(timeout/2, 500*time.Millisecond), 2*time.Second)
}

// begin attaches to the guard on the page, or starts one.
func (s *supervisor) begin() error {
	s.pidfd = -1
	var err error
	if s.spare, err = newEnder(s.guard.page, s.guard.config.Notice, 0); err != nil {
		return err
	}
	s.spare.add(s.guard.config.Spec)
	lock, err := lockPage(s.guard.path)
	switch {
	case err != nil:
	case lock != nil:
		err = s.start(lock)
	default:
		err = s.attach()
	}
	if err != nil {
		s.spare.close()
	}
	return err
}

// start starts a guard that inherits the locked page as file 3.
func (s *supervisor) start(lock *os.File) error {
	defer lock.Close()
	p := s.guard.page
	p.Idle() // the guard before, if any, is dead: its lock was free
	p.SetGuard(0)
	p.Beat()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	command := s.guard.config.Command
	cmd := exec.Command(command[0], append(command[1:len(command):len(command)],
		"--page", s.guard.path, "--spec", filepath.Join(filepath.Dir(s.guard.path), specFile))...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "GOTRACEBACK=single"}
	if v := os.Getenv(reboot.PowerEnv); v != "" {
		cmd.Env = append(cmd.Env, reboot.PowerEnv+"="+v)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = null, null, os.Stderr
	cmd.ExtraFiles = []*os.File{lock}
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	pid := cmd.Process.Pid
	_ = cmd.Process.Release() // reaped by reap, like one that was adopted over an exec
	if s.pidfd, err = unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK); err != nil {
		_ = unix.Kill(pid, unix.SIGKILL) // our child, not reaped: the number is its own
		reap(pid)
		return fmt.Errorf("pidfd: %w", err)
	}
	s.pid, s.exit = pid, os.NewFile(uintptr(s.pidfd), "pidfd of the guard")
	for end := time.Now().Add(patience); p.Guard() != pid; time.Sleep(time.Millisecond) {
		if s.dead(0) {
			s.drop()
			return fmt.Errorf("process %d ended at its start", pid)
		}
		if time.Now().After(end) {
			s.drop()
			return fmt.Errorf("process %d did not come up within %s", pid, patience)
		}
	}
	return nil
}

// attach finds the guard that has the page's lock.
func (s *supervisor) attach() error {
	p := s.guard.page
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		pid := p.Guard()
		if pid != 0 {
			fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
			if err == nil {
				// Still locked with the pidfd open: the number cannot be another's.
				lock, err := lockPage(s.guard.path)
				if err == nil && lock == nil && p.Guard() == pid {
					s.pidfd, s.pid, s.exit = fd, pid, os.NewFile(uintptr(fd), "pidfd of the guard")
					return nil
				}
				unix.Close(fd)
				if lock != nil {
					return s.start(lock)
				}
			}
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s is locked, but process %d is no guard", s.guard.path, pid)
		}
	}
}

// dead waits so long for the guard's death.
func (s *supervisor) dead(wait time.Duration) bool {
	fds := []unix.PollFd{{Fd: int32(s.pidfd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, int(wait/time.Millisecond))
	return err == nil && n == 1
}

// diesWithin waits so long for the guard's death, or until ctx ends.
func (s *supervisor) diesWithin(ctx context.Context, wait time.Duration) bool {
	exit := s.exit
	raw, err := exit.SyscallConn()
	if err != nil || exit.SetReadDeadline(time.Now().Add(wait)) != nil {
		return s.dead(look)
	}
	defer context.AfterFunc(ctx, func() { _ = exit.SetReadDeadline(time.Unix(1, 0)) })()
	died := false
	_ = raw.Read(func(uintptr) bool { died = s.dead(0); return died }) // ends by the deadline otherwise
	return died
}

// drop kills the guard, if it lives, and forgets it.
func (s *supervisor) drop() {
	_ = unix.PidfdSendSignal(s.pidfd, unix.SIGKILL, nil, 0)
	for range 20 { // it may be stuck in the kernel; then its lock keeps a second one out
		if s.dead(look) {
			break
		}
	}
	s.exit.Close()
	s.pidfd, s.exit = -1, nil
	reap(s.pid)
}

// reap takes the exit status, if the process is our child.
func reap(pid int) { _, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil) }

func (s *supervisor) run(ctx context.Context) {
	defer s.spare.close()
	var lost time.Time // since when there has been no guard
	for ctx.Err() == nil {
		if s.pidfd < 0 {
			s.without(lost)
			continue
		}
		s.tellWatchdog()
		timeout, _ := s.guard.page.Times()
		switch age := s.guard.page.BeatAge(); {
		case s.diesWithin(ctx, stale(timeout)/4):
			s.guard.config.Notice(fmt.Sprintf("the guard (process %d) has ended, another one is started", s.pid))
		case age > stale(timeout):
			s.guard.config.Notice(fmt.Sprintf("the guard (process %d) has stood still for %s, another one is started", s.pid, age.Round(time.Millisecond)))
		default:
			continue
		}
		lost = time.Now()
		s.drop()
	}
	if s.exit != nil {
		s.exit.Close()
	}
}

// tellWatchdog tells what becomes of the watchdog device.
func (s *supervisor) tellWatchdog() {
	was, now := s.dog, s.guard.page.Watchdog()
	if s.dog = now; now == was {
		return
	}
	path := s.guard.config.Spec.Watchdog
	switch {
	case now == page.WatchdogMissing:
		s.guard.config.Notice(fmt.Sprintf("watchdog %s cannot be had (the line of the guard before this one says why): the groups run without it, and the guard goes on trying", path))
	case was == page.WatchdogMissing && now != page.WatchdogNone:
		s.guard.config.Notice(fmt.Sprintf("watchdog %s is there now, and is fed", path))
	case now == page.WatchdogLate:
		s.guard.config.Notice(fmt.Sprintf("watchdog %s cannot be set as short as heartbeat.timeout needs: a server that freezes as a whole is reset, but later than another one may have taken its groups over", path))
	}
}

// without starts a new guard. Where none has come up within E, the session ends and
// is cleared from here.
func (s *supervisor) without(lost time.Time) {
	lock, err := lockPage(s.guard.path)
	if err == nil && lock != nil {
		if err = s.start(lock); err == nil {
			return
		}
	}
	p := s.guard.page
	if _, stop := p.Times(); time.Since(lost) > stop && p.Load().Armed() {
		p.Fire()
		s.guard.config.Notice(fmt.Sprintf("no guard can be started (%v): the session ends and batond clears by itself", err))
	}
	if p.FireIfDue() {
		s.spare.try()
	}
	time.Sleep(again)
}

// Package script runs a group's start and stop scripts.
//
// A script is executed directly, so that its first line decides the interpreter. It
// gets a clean environment, "/" as its directory, /dev/null to read, and the group's
// log file to write to. Nothing is read from it through a pipe: a script may leave a
// daemon behind that keeps its output open for ever.
//
// It knows nothing of leases and resources. The step child calls Run from its main
// goroutine; batond calls Trim.
package script

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Grace is the time between TERM and KILL.
const Grace = 5 * time.Second

// Spec is one run.
type Spec struct {
	Path string   // absolute
	Env  []string // NAME=value, beside the fixed ones
	Log  string   // the log file
	// Title heads the run in the log: "start A on server2, token 4711".
	Title   string
	Timeout time.Duration
	Grace   time.Duration // 0: Grace
	// Start starts the command, in the cgroup where it belongs; nil: cmd.Start.
	Start func(*exec.Cmd) error
}

// Result is how a run ended.
type Result struct {
	Exit int // -1: not run, killed by a signal, or timed out
	Took time.Duration
	// Text is a sentence for the operator; "" after exit code 0.
	Text string
}

// Run runs the script and waits for its end; processes that it leaves are not waited
// for. When the timeout or ctx is over, its process group is ended.
func Run(ctx context.Context, s Spec) Result {
	begin := time.Now()
	if err := Trust(s.Path); err != nil {
		return Result{Exit: -1, Text: err.Error()}
	}
	log, err := openLog(s.Log)
	if err != nil {
		return Result{Exit: -1, Text: fmt.Sprintf("script %s: %v", s.Path, err)}
	}
	defer log.Close()
	line(log, "%s: %s [%s]", s.Title, s.Path, strings.Join(s.Env, " "))
	r := run(ctx, s, log)
	r.Took = time.Since(begin)
	if r.Text == "" {
		line(log, "%s: exit code 0 after %s", s.Title, r.Took.Round(time.Millisecond))
	} else {
		line(log, "%s: %s, after %s", s.Title, r.Text, r.Took.Round(time.Millisecond))
	}
	return r
}

// line writes a line of our own. "#" sets it apart from what scripts print.
func line(log *os.File, format string, args ...any) {
	// A full disk must not keep a group from being stopped.
	_, _ = fmt.Fprintf(log, "# %s %s\n", time.Now().Format("2006-01-02T15:04:05.000Z07:00"), fmt.Sprintf(format, args...))
}

func run(ctx context.Context, s Spec, log *os.File) Result {
	cmd := exec.Command(s.Path)
	cmd.Dir = "/"
	cmd.Env = append(baseEnv(), s.Env...)
	cmd.Stdout, cmd.Stderr = log, log // files: no goroutine copies, Wait waits for nobody else
	// A session of its own: no terminal, and a process group to signal.
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	start := s.Start
	if start == nil {
		start = (*exec.Cmd).Start
	}
	if err := start(cmd); err != nil {
		return Result{Exit: -1, Text: fmt.Sprintf("script %s: %v", s.Path, err)}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	why := ""
	timeout := time.NewTimer(s.Timeout)
	defer timeout.Stop()
	trim := time.NewTicker(time.Second)
	defer trim.Stop()
	for {
		select {
		case err := <-ended:
			return result(s.Path, err)
		case <-trim.C:
			_ = Trim(s.Log) // see there; a log too long is no reason to stop a script
			continue
		case <-timeout.C:
			why = fmt.Sprintf("script %s: not done within script_timeout %s, killed", s.Path, s.Timeout)
		case <-ctx.Done():
			why = fmt.Sprintf("script %s: %v, killed", s.Path, context.Cause(ctx))
		}
		break
	}
	end(cmd.Process.Pid, s.Grace, ended)
	return Result{Exit: -1, Text: why}
}

// end sends TERM to the process group, and KILL where that is not heard.
func end(group int, grace time.Duration, ended <-chan error) {
	if grace == 0 {
		grace = Grace
	}
	_ = unix.Kill(-group, unix.SIGTERM)
	select {
	case <-ended:
		// The script is gone, the rest of its process group need not be.
		_ = unix.Kill(-group, unix.SIGKILL)
		return
	case <-time.After(grace):
	}
	_ = unix.Kill(-group, unix.SIGKILL)
	<-ended
}

func result(path string, err error) Result {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return Result{}
	case !errors.As(err, &exit):
		return Result{Exit: -1, Text: fmt.Sprintf("script %s: %v", path, err)}
	case exit.ExitCode() < 0:
		return Result{Exit: -1, Text: fmt.Sprintf("script %s: %s", path, exit.ProcessState)}
	}
	return Result{Exit: exit.ExitCode(), Text: fmt.Sprintf("script %s: exit code %d", path, exit.ExitCode())}
}

// baseEnv is what every script gets.
func baseEnv() []string {
	home := "/"
	if os.Geteuid() == 0 {
		home = "/root"
	}
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + home,
		"SHELL=/bin/sh",
		"LANG=C.UTF-8",
	}
}

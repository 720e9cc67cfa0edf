package fence

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Agent powers one server off: a program that speaks the protocol of the
// fence-agents package (ClusterLabs, FenceAgentAPI.md). It reads name=value lines from
// standard input, among them the action, and says by its exit code how that went.
type Agent struct {
	// Name is the program: an absolute path, or a name such as fence_ipmilan, looked
	// for where packages put them.
	Name string
	// Options are the lines besides action and nodename. They may hold passwords:
	// they are never logged.
	Options map[string]string
	// Delay is how long another server waits before it powers this one off. The
	// owner who is to survive a cut has one, the others none: it is then the first to
	// shoot.
	Delay time.Duration
	// Timeout of one run of the program; 0: DefaultTimeout.
	Timeout time.Duration
}

// DefaultTimeout is longer than the agents' own limits for login and power together.
const DefaultTimeout = 40 * time.Second

// String hides the options.
func (a Agent) String() string { return a.Name }

// GoString hides the options.
func (a Agent) GoString() string { return a.Name }

type action string

const (
	actionOff    action = "off"
	actionStatus action = "status"
)

// power is what a status says.
type power int

const (
	powerUnknown power = iota
	powerOn
	powerOff
)

// Exit codes of an agent's status. 1 is any fault.
const (
	codeOn  = 0
	codeOff = 2
)

// directories are where packages install agents.
var directories = []string{"/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/sbin", "/bin"}

// find returns the program's path. It refuses one that others than root and this user
// can change: it is run as root, with the passwords of the power switches.
func (a Agent) find() (string, error) {
	path := a.Name
	if !strings.HasPrefix(path, "/") {
		path = ""
		for _, dir := range directories {
			p := filepath.Join(dir, a.Name)
			if _, err := os.Stat(p); err == nil {
				path = p
				break
			}
		}
		if path == "" {
			return "", fmt.Errorf("%s: not installed in any of %s; it is part of the package fence-agents", a.Name, strings.Join(directories, ", "))
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return "", &fs.PathError{Op: "agent", Path: path, Err: err}
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o111 == 0:
		return "", fmt.Errorf("%s: not a program", path)
	case st.Mode&0o022 != 0:
		return "", fmt.Errorf("%s: can be written by others than its owner (mode %04o); chmod 755", path, st.Mode&0o7777)
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return "", fmt.Errorf("%s: belongs to uid %d; chown root", path, st.Uid)
	}
	return path, nil
}

// input is what the agent reads: one option a line. The last of two counts for an
// agent, so the action and the name come last.
func (a Agent) input(what action, server string) string {
	var b strings.Builder
	names := make([]string, 0, len(a.Options))
	for name := range a.Options {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "%s=%s\n", name, a.Options[name])
	}
	if _, ok := a.Options["nodename"]; !ok {
		fmt.Fprintf(&b, "nodename=%s\n", server)
	}
	fmt.Fprintf(&b, "action=%s\n", what)
	return b.String()
}

// check says why the options cannot be put into lines.
func (a Agent) check() error {
	if a.Name == "" {
		return errors.New("no agent")
	}
	for name, value := range a.Options {
		switch {
		case name == "" || strings.ContainsAny(name, "= \t\r\n#") || strings.ContainsAny(value, "\r\n\x00"):
			return fmt.Errorf("%s: option %q: a name without blanks, and one line", a.Name, name)
		case name == "action" || name == "option":
			return fmt.Errorf("%s: option %q is not yours to set", a.Name, name)
		}
	}
	return nil
}

// run starts the agent and waits for its end. said is the last line of what it printed.
func (a Agent) run(ctx context.Context, what action, server string) (code int, said string, err error) {
	path, err := a.find()
	if err != nil {
		return -1, "", err
	}
	limit := a.Timeout
	if limit == 0 {
		limit = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, path)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C", "LC_ALL=C"}
	cmd.Stdin = strings.NewReader(a.input(what, server))
	var out tail
	cmd.Stdout, cmd.Stderr = &out, &out
	// The agent's children go with it, and all of them with batond.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	runtime.LockOSThread() // prctl(2), PR_SET_PDEATHSIG: the parent is a thread
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return -1, out.lastLine(), fmt.Errorf("%s %s: no end after %v", a.Name, what, limit)
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode(), out.lastLine(), nil
	case err != nil:
		return -1, out.lastLine(), fmt.Errorf("%s %s: %w", a.Name, what, err)
	}
	return 0, out.lastLine(), nil
}

// status asks whether the server has power.
func (a Agent) status(ctx context.Context, server string) (power, error) {
	code, said, err := a.run(ctx, actionStatus, server)
	switch {
	case err != nil:
		return powerUnknown, err
	case code == codeOn:
		return powerOn, nil
	case code == codeOff:
		return powerOff, nil
	}
	return powerUnknown, failed(a.Name, actionStatus, code, said)
}

func failed(name string, what action, code int, said string) error {
	if said != "" {
		said = ": " + said
	}
	return fmt.Errorf("%s %s: exit code %d%s", name, what, code, said)
}

// tail keeps the end of what is written to it. os/exec writes from one goroutine,
// since standard output and error are the same writer.
type tail struct{ b []byte }

const maxTail = 1024

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p[max(0, len(p)-maxTail):]...)
	t.b = t.b[max(0, len(t.b)-maxTail):]
	return len(p), nil
}

func (t *tail) lastLine() string {
	lines := strings.Split(strings.TrimSpace(string(t.b)), "\n")
	line := strings.TrimSpace(lines[len(lines)-1])
	return strings.ToValidUTF8(line[:min(len(line), 200)], "?")
}

// Package power ends the machine in order, as the last act of a batond that has been shut
// down by an operator who wants that. (A server that must be gone at once is daemon/guard's
// business.)
//
// It refuses unless everything speaks for it:
//
//   - The program has said that it is batond: Arm, called by main and nothing else. A
//     test that gets here links this package, but never that main.
//   - The environment does not forbid it. BATON_POWER=never does, always. BATON_POWER=pid:[N]
//     allows it in that PID namespace only, and only by reboot(2), which ends a PID
//     namespace's first process and reaches no further (pid_namespaces(7), reboot(2)); in
//     the machine's initial namespace it is refused then. The lab sets it for every
//     virtual server.
//   - In the machine's initial PID namespace, its network is the machine's as well: what has
//     one of its own there is somebody's experiment.
//   - Without that variable, the first process is an init that is known to know what a
//     poweroff is. In a container that consists of a shell, or in a machine made for one
//     program, there is nothing to ask.
//
// Any goroutine may call it.
package power

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"baton/core/cluster"
)

// Env is the variable that forbids, or confines, see above.
const (
	Env   = "BATON_POWER"
	Never = "never"
)

// initialPID is the machine's own PID namespace: PROC_PID_INIT_INO, fixed since Linux 3.8
// (include/linux/proc_ns.h).
const initialPID = "pid:[4026531836]"

// inits are the first processes, by name, that are asked. Their "poweroff" and "reboot"
// stop what else runs on the machine first.
var inits = []string{"systemd", "init", "openrc-init", "runit", "runit-init", "s6-svscan", "dinit", "finit"}

var armed atomic.Bool

// Arm says that this program is batond. Only its main calls it.
func Arm() { armed.Store(true) }

// facts are what the decision depends on.
type facts struct {
	armed     bool
	env       string // of Env
	namespace string // PID namespace of this process, as "pid:[N]"; "" not known
	first     string // name of process 1
	machine   bool   // the network namespace is process 1's
	systemd   bool   // systemd is the service manager (sd_booted(3))
}

// way is how a machine is ended.
type way int

const (
	byNamespace way = iota + 1 // reboot(2) in a PID namespace of our own
	bySystemd
	byInit
)

// decide is the protection.
func (f facts) decide() (way, error) {
	switch {
	case !f.armed:
		return 0, errors.New("this program is not batond")
	case f.env == Never:
		return 0, fmt.Errorf("%s=%s forbids it", Env, Never)
	case f.namespace == "":
		return 0, errors.New("the PID namespace of this process is not known; is /proc mounted?")
	case f.env != "" && f.env != f.namespace:
		return 0, fmt.Errorf("%s=%s allows it there only, this process is in %s", Env, f.env, f.namespace)
	case f.env == initialPID:
		return 0, fmt.Errorf("%s names the machine's own PID namespace, which it is to protect", Env)
	case f.env != "":
		return byNamespace, nil
	case !slices.Contains(inits, f.first):
		return 0, fmt.Errorf("process 1 is %q, not an init that could be asked", f.first)
	case f.namespace == initialPID && !f.machine:
		return 0, errors.New("in a network namespace of its own, and not in a PID namespace: this is not the machine's own batond")
	case f.systemd:
		return bySystemd, nil
	}
	return byInit, nil
}

func look() facts {
	f := facts{armed: armed.Load(), env: os.Getenv(Env)}
	f.namespace, _ = os.Readlink("/proc/self/ns/pid")
	own, err := os.Readlink("/proc/self/ns/net")
	first, errFirst := os.Readlink("/proc/1/ns/net")
	f.machine = err == nil && errFirst == nil && own == first
	comm, _ := os.ReadFile("/proc/1/comm")
	f.first = strings.TrimSpace(string(comm))
	info, err := os.Lstat("/run/systemd/system")
	f.systemd = err == nil && info.IsDir()
	return f
}

// Check says why the machine could not be ended, nil if it could.
func Check() error {
	_, err := look().decide()
	return err
}

// InOrder asks the machine's init to power it off or to reboot it. When it returns nil,
// that has begun.
func InOrder(then cluster.Then) error {
	command, number, err := commands(then)
	if err != nil {
		return err
	}
	w, err := look().decide()
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", then, err)
	case w == byNamespace:
		return endNamespace(number)
	}
	var failed error
	for _, argv := range argvs(w, command) {
		out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
		if err == nil {
			return nil
		}
		failed = errors.Join(failed, fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(string(out))))
	}
	return failed
}

// argvs are the commands to try, best first. The paths are fixed: batond is root, and
// its PATH is the caller's.
func argvs(w way, command string) (out [][]string) {
	dirs := []string{"/usr/bin", "/bin", "/usr/sbin", "/sbin"}
	find := func(name string) string {
		for _, d := range dirs {
			if info, err := os.Stat(filepath.Join(d, name)); err == nil && info.Mode()&0o111 != 0 {
				return filepath.Join(d, name)
			}
		}
		return filepath.Join("/sbin", name)
	}
	if w == bySystemd {
		out = append(out, []string{find("systemctl"), "--no-block", command})
	}
	return append(out, []string{find(command)})
}

// endNamespace ends the first process of this PID namespace, and with it all others.
func endNamespace(number int) error {
	// Once more, right before: here reboot(2) must not mean the machine.
	if f := look(); f.env != f.namespace || f.namespace == initialPID || f.namespace == "" {
		return fmt.Errorf("reboot(2) refused: %s is %q, the PID namespace %q", Env, f.env, f.namespace)
	}
	return fmt.Errorf("reboot(2): %w", unix.Reboot(number))
}

// commands are the command and reboot(2)'s number.
func commands(then cluster.Then) (string, int, error) {
	switch then {
	case cluster.ThenPowerOff:
		return "poweroff", unix.LINUX_REBOOT_CMD_POWER_OFF, nil
	case cluster.ThenReboot:
		return "reboot", unix.LINUX_REBOOT_CMD_RESTART, nil
	}
	return "", 0, fmt.Errorf("then: %q is neither %s nor %s", then, cluster.ThenPowerOff, cluster.ThenReboot)
}

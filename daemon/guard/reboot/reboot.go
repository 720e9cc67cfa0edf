// Package reboot reboots this server at once: no sync, no service manager, nothing
// that a dead disk could hang. Only the guard calls it, as its last means.
//
// What "this server" is follows from the pid namespace (reboot(2), pid_namespaces(7)):
//
//   - In the initial one it is the machine: "b" to /proc/sysrq-trigger, which restarts
//     within milliseconds, and where that cannot be had reboot(2), which first tells
//     the drivers (Documentation/admin-guide/sysrq.rst).
//   - In any other one, a container or a server of the lab, it is that namespace:
//     reboot(2) kills its first process, and with it every process in it. The machine
//     is not touched, and sysrq, which would reach it, is never written.
//
// # What it refuses
//
// A program that was only tried out must not take the machine down. So in the initial
// pid namespace it also has to be in the network namespace of process 1: what lives
// in another one is somebody's experiment. And a test binary is refused there always,
// and elsewhere unless the test names the pid namespace that it has made for this
// (AllowEnv). PowerEnv forbids it, or confines it to a pid namespace. What cannot be found
// out counts as a reason to refuse.
package reboot

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Way is how this process may reboot.
type Way int

// The zero Way is none.
const (
	None      Way = iota
	Machine       // the machine
	Namespace     // the pid namespace
)

// AllowEnv names the one pid namespace (by its inode number) in which a test binary
// may reboot.
const AllowEnv = "BATON_TEST_REBOOT_PIDNS"

// PowerEnv is package power's variable: "never", or the one pid namespace, "pid:[N]", that
// may be rebooted. The guard inherits it from batond.
const PowerEnv = "BATON_POWER"

// initialPID is the inode of the initial pid namespace, the same on every Linux since
// 3.8 (PROC_PID_INIT_INO in include/linux/proc_ns.h).
const initialPID = 0xEFFFFFFC

// facts are what decides. A namespace is 0 where it could not be found out.
type facts struct {
	test    bool   // this is a test binary
	allowed string // AllowEnv
	power   string // PowerEnv
	pid     uint64 // pid namespace
	net     uint64 // network namespace
	initNet uint64 // that of process 1
	capable bool   // CAP_SYS_BOOT
}

func (f facts) way() (Way, error) {
	switch {
	case f.pid == 0:
		return None, errors.New("the pid namespace cannot be told (no /proc?)")
	case f.power != "" && (f.power != fmt.Sprintf("pid:[%d]", f.pid) || f.pid == initialPID):
		return None, fmt.Errorf("%s=%s forbids it", PowerEnv, f.power)
	case f.test && f.pid == initialPID:
		return None, errors.New("a test does not reboot the machine")
	case f.test && f.allowed != strconv.FormatUint(f.pid, 10):
		return None, errors.New("a test reboots only the pid namespace that it made for it")
	case !f.capable:
		return None, errors.New("CAP_SYS_BOOT is missing: run batond as root, without CapabilityBoundingSet=")
	case f.pid != initialPID:
		return Namespace, nil
	case f.net == 0 || f.initNet == 0:
		return None, errors.New("it cannot be told whether this is the machine's own batond: the network namespace of process 1 cannot be read")
	case f.net != f.initNet:
		return None, errors.New("in a network namespace of its own, and not in a pid namespace: this is not the machine's own batond")
	}
	return Machine, nil
}

func look() facts {
	f := facts{
		test: testing.Testing(), allowed: os.Getenv(AllowEnv), power: os.Getenv(PowerEnv),
		pid: inode("/proc/self/ns/pid"), net: inode("/proc/self/ns/net"), initNet: inode("/proc/1/ns/net"),
	}
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	f.capable = unix.Capget(&head, &caps[0]) == nil && caps[0].Effective&(1<<unix.CAP_SYS_BOOT) != 0
	return f
}

func inode(path string) uint64 {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return 0
	}
	return st.Ino
}

// Find says how Now would reboot, or why it would refuse.
func Find() (Way, error) { return look().way() }

// Now reboots. It returns only where that failed, or was refused.
func Now() error {
	way, err := Find()
	switch way {
	case Machine:
		return errors.Join(trigger(), call())
	case Namespace:
		return call()
	}
	return fmt.Errorf("reboot refused: %w", err)
}

// trigger is the quick way. It takes effect within the write.
func trigger() error {
	f, err := os.OpenFile("/proc/sysrq-trigger", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString("b")
	return err
}

// call is reboot(2). In a pid namespace the calling thread ends within it; the others
// are killed.
func call() error {
	_, _, errno := syscall.Syscall6(unix.SYS_REBOOT, unix.LINUX_REBOOT_MAGIC1, unix.LINUX_REBOOT_MAGIC2, unix.LINUX_REBOOT_CMD_RESTART, 0, 0, 0)
	return os.NewSyscallError("reboot", errno)
}

package lab

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"baton/daemon/power"
)

// Where things are on a server, seen from the server itself.
const (
	// RunDir is emptied by a reboot and can be seen from outside, see Server.Path.
	RunDir = "/run/baton"
	// SocketPath is batond's own default.
	SocketPath = RunDir + "/batond.sock"
	// scriptDir shows the groups' scripts by a path that fits on a screen.
	scriptDir = "/run/lab"
)

// birth is what a server's init is told when it starts.
type birth struct {
	Name    string
	Run     string // directory to show as RunDir
	Scripts string // directory to show as scriptDir
	Boot    string // file with the boot id
	Cgroup  string // "" none
	// Clock is what CLOCK_BOOTTIME and CLOCK_MONOTONIC are ahead of the machine's on this
	// server, in whole seconds.
	Clock int64
	// Etc are files to show below /etc instead of the machine's, by name.
	Etc map[string]string
}

// ask is what the lab wants of a server's init.
type ask struct {
	ID     int // grows; the answer carries it
	Args   []string
	Env    []string
	Dir    string
	Log    string // file for stdout and stderr, appended
	As     *Account
	Signal int // with Pid; -1 as Pid: every process but init
	Pid    int
}

// told is what a server's init says: the answer to ask ID, or (ID 0) the end of Pid.
type told struct {
	ID    int
	Pid   int
	Error string
	Code  int // exit code, or 128 + signal

	proc *Process // filled in by the lab's end
}

// The init function keeps main on the first thread of a process whose role changes namespaces:
// what /proc shows of a process is that thread's.
func init() {
	if len(os.Args) > 2 && os.Args[1] == roleArg && slices.Contains([]string{"init", "mount", "gated"}, os.Args[2]) {
		runtime.LockOSThread()
	}
}

// serverInit is the first process of a server. It ends with the lab's end of the
// socket, and everything on the server with it.
func serverInit(args []string) int {
	// Mounts, the cgroup and the time namespace are the calling thread's; programs must
	// be started from the same one. It is the process's first, see init above.
	link := os.NewFile(worldFD, "lab")
	unix.CloseOnExec(worldFD)
	out := json.NewEncoder(link)
	var b birth
	err := json.Unmarshal([]byte(args[0]), &b)
	if err == nil {
		err = b.settle()
	}
	if err != nil {
		_ = out.Encode(told{ID: 1, Error: err.Error()})
		return 1
	}
	signal.Ignore(unix.SIGPIPE)
	sigs := make(chan os.Signal, 16)
	signal.Notify(sigs, unix.SIGCHLD)
	_ = out.Encode(told{ID: 1})

	asks := make(chan ask)
	go func() {
		defer close(asks)
		in := json.NewDecoder(bufio.NewReader(link))
		for {
			var a ask
			if in.Decode(&a) != nil {
				return
			}
			asks <- a
		}
	}()
	for {
		select {
		case a, ok := <-asks:
			if !ok {
				return 0
			}
			t := told{ID: a.ID}
			if err := a.do(&t); err != nil {
				t.Error = err.Error()
			}
			_ = out.Encode(t)
		case <-sigs:
			for {
				var ws unix.WaitStatus
				pid, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
				if pid <= 0 || err != nil {
					break
				}
				code := ws.ExitStatus()
				if ws.Signaled() {
					code = 128 + int(ws.Signal())
				}
				_ = out.Encode(told{Pid: pid, Code: code})
			}
		}
	}
}

// settle makes the namespaces of the new process a server's.
func (b *birth) settle() error {
	if b.Cgroup != "" {
		if err := os.WriteFile(filepath.Join(b.Cgroup, "cgroup.procs"), []byte("0"), 0); err != nil {
			return fmt.Errorf("cgroup: %w", err)
		}
		if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
			return fmt.Errorf("cgroup namespace: %w", err)
		}
	}
	if err := unix.Sethostname([]byte(b.Name)); err != nil {
		return fmt.Errorf("hostname: %w", err)
	}
	const quiet = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("proc", "/proc", "proc", quiet, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	// A /sys of its own shows this server's network cards; without one it shows none.
	if unix.Mount("sysfs", "/sys", "sysfs", quiet, "") == nil || b.Cgroup != "" {
		if b.Cgroup != "" {
			if err := unix.Mount("cgroup2", "/sys/fs/cgroup", "cgroup2", quiet, ""); err != nil {
				return fmt.Errorf("mount /sys/fs/cgroup: %w", err)
			}
		}
	}
	if err := unix.Mount("run", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	for dir, from := range map[string]string{RunDir: b.Run, scriptDir: b.Scripts} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(from, dir, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", dir, err)
		}
	}
	// The kernel's own is shared by all servers and never changes.
	if err := unix.Mount(b.Boot, "/proc/sys/kernel/random/boot_id", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("boot id: %w", err)
	}
	for name, from := range b.Etc {
		if err := unix.Mount(from, filepath.Join("/etc", name), "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount /etc/%s: %w", name, err)
		}
	}
	if err := b.settleClock(); err != nil {
		return err
	}
	setSysctls(sysctls)
	return loopbackUp()
}

// settleClock gives the programs of this server a CLOCK_BOOTTIME and CLOCK_MONOTONIC of
// their own (time_namespaces(7)), so that an instant of one server, or of the boot
// before, means nothing on another. init itself stays outside of that namespace.
func (b *birth) settleClock() error {
	if b.Clock == 0 {
		return nil
	}
	if err := unix.Unshare(unix.CLONE_NEWTIME); err != nil {
		return fmt.Errorf("time namespace: %w", err)
	}
	text := fmt.Sprintf("boottime %d 0\nmonotonic %d 0\n", b.Clock, b.Clock)
	if err := os.WriteFile("/proc/self/timens_offsets", []byte(text), 0); err != nil {
		return fmt.Errorf("time namespace: %w", err)
	}
	return nil
}

// hasTimeNamespaces: Linux 5.6 and later.
func hasTimeNamespaces() bool {
	_, err := os.Stat("/proc/self/timens_offsets")
	return err == nil
}

// do carries out a request of the lab.
func (a *ask) do(t *told) error {
	switch {
	case a.Signal != 0 && a.Pid == -1:
		return stopOrGo(unix.Signal(a.Signal))
	case a.Signal != 0:
		return unix.Kill(a.Pid, unix.Signal(a.Signal))
	}
	null, err := os.Open("/dev/null")
	if err != nil {
		return err
	}
	defer null.Close()
	log, err := os.OpenFile(a.Log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	// What a program here may power off is this server and nothing else; and nothing at
	// all where it is not known which PID namespace that is.
	confined := power.Env + "=" + power.Never
	if own, err := os.Readlink("/proc/self/ns/pid"); err == nil {
		confined = power.Env + "=" + own
	}
	t.Pid, err = syscall.ForkExec(a.Args[0], a.Args, &syscall.ProcAttr{
		Dir: a.Dir, Env: append(a.Env, confined), Files: []uintptr{null.Fd(), log.Fd(), log.Fd()},
		Sys: &syscall.SysProcAttr{Setsid: true, Credential: a.As.credential()},
	})
	if err != nil {
		return fmt.Errorf("%s: %w", a.Args[0], err)
	}
	return nil
}

// credential is what the kernel is asked for; nil: nothing.
func (a *Account) credential() *syscall.Credential {
	if a == nil {
		return nil
	}
	c := &syscall.Credential{Uid: uint32(a.UID), Gid: uint32(a.GID)}
	for _, g := range a.Groups {
		c.Groups = append(c.Groups, uint32(g))
	}
	return c
}

// stopOrGo sends SIGSTOP or SIGCONT to every process of the server but this one, at
// once (the kernel holds its list of processes meanwhile, so that no fork slips
// through), and for SIGSTOP waits until every thread has stopped.
func stopOrGo(sig unix.Signal) error {
	if err := unix.Kill(-1, sig); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	if sig != unix.SIGSTOP {
		return nil
	}
	began := time.Now()
	for ; ; time.Sleep(200 * time.Microsecond) {
		busy, inKernel := running()
		switch age := time.Since(began); {
		case busy == "":
			return nil
		case inKernel && age > 20*time.Millisecond:
			// It sleeps in the kernel for something (often a parent in vfork for a child
			// that has stopped) and stops before it can run another instruction of its own.
			return nil
		case age > 2*time.Second:
			return fmt.Errorf("still running 2s after SIGSTOP: %s", busy)
		}
	}
}

// running names a thread of this server, other than init's, that has not stopped; ""
// none. Zombies are past running. inKernel: all of them are in uninterruptible sleep.
func running() (busy string, inKernel bool) {
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return err.Error(), false
	}
	inKernel = true
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil || pid == 1 {
			continue
		}
		tasks, _ := os.ReadDir(filepath.Join("/proc", p.Name(), "task"))
		for _, t := range tasks {
			stat := readStat(filepath.Join("/proc", p.Name(), "task", t.Name(), "stat"))
			switch stat.state {
			case 'T', 't', 'Z', 'X', 0:
			default:
				busy = fmt.Sprintf("%s (%d, state %c)", stat.comm, pid, stat.state)
				inKernel = inKernel && stat.state == 'D'
			}
		}
	}
	return busy, inKernel
}

// pathEnv is what programs on a server get as PATH.
const pathEnv = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// worldInit is the world's first process: it makes the mounts, runs the program, reaps
// what is orphaned, and takes everything down when the program or the process outside
// has ended. args: the directory, then the program's own arguments.
func worldInit(args []string) int {
	dir, argv := args[0], args[1:]
	say := os.NewFile(worldFD, "outside")
	tell := func(n note) {
		line, _ := json.Marshal(n)
		_, _ = say.Write(append(line, '\n'))
	}
	// A program with no reader must not kill the world before it has cleaned up.
	signal.Ignore(unix.SIGPIPE)
	sigs := make(chan os.Signal, 16)
	signal.Notify(sigs, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGHUP, unix.SIGCHLD)
	if err := worldMounts(dir); err != nil {
		tell(note{Error: err.Error()})
		return 1
	}
	tell(note{Ready: true})
	pid, err := syscall.ForkExec("/proc/self/exe", argv, &syscall.ProcAttr{
		Env:   append(os.Environ(), envWorld+"="+dir),
		Files: []uintptr{0, 1, 2, worldFD},
	})
	if err != nil {
		fmt.Fprintf(os.Stderr, "lab: %v\n", err)
		return 1
	}
	gone := make(chan struct{})
	go func() {
		// No data is read here, so nothing is taken from the program, which has the
		// same socket: only the other side's end is waited for.
		p := []unix.PollFd{{Fd: worldFD, Events: unix.POLLRDHUP}}
		for {
			if _, err := unix.Poll(p, -1); err == nil && p[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0 {
				close(gone)
				return
			}
		}
	}()
	code := -1
	for code < 0 {
		select {
		case <-gone:
			code = 1
		case s := <-sigs:
			if s != unix.SIGCHLD {
				_ = unix.Kill(pid, s.(syscall.Signal))
				continue
			}
			for {
				var ws unix.WaitStatus
				got, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
				if got <= 0 || err != nil {
					break
				}
				if got == pid {
					code = ws.ExitStatus()
					if ws.Signaled() {
						code = 128 + int(ws.Signal())
					}
				}
			}
		}
	}
	worldClean(dir)
	return code
}

func worldMounts(dir string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Mount("lab", filepath.Join(dir, "mem"), "tmpfs", unix.MS_NOSUID, "mode=0755"); err != nil {
		return fmt.Errorf("mount the lab's tmpfs: %w", err)
	}
	// Without cgroup v2 the lab works, only batond finds no cgroup to use.
	cg := filepath.Join(dir, "cgroup")
	if unix.Mount("cgroup2", cg, "cgroup2", 0, "") == nil {
		if os.Mkdir(filepath.Join(cg, filepath.Base(dir)), 0o755) != nil {
			_ = unix.Unmount(cg, 0)
		}
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	return nil
}

// worldClean ends every process of the world and removes what it has made.
func worldClean(dir string) {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		// As first process of the pid namespace this reaches exactly the others.
		_ = unix.Kill(-1, unix.SIGCONT)
		_ = unix.Kill(-1, unix.SIGKILL)
		_, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if errors.Is(err, unix.ECHILD) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	cg := filepath.Join(dir, "cgroup")
	removeTree(filepath.Join(cg, filepath.Base(dir)))
	_ = unix.Unmount(cg, unix.MNT_DETACH)
	_ = unix.Unmount(filepath.Join(dir, "mem"), unix.MNT_DETACH)
	_ = os.RemoveAll(dir)
}

// runRole is what this program does when it is started again.
func runRole(role string, args []string) int {
	switch role {
	case "world":
		return worldInit(args)
	case "init":
		return serverInit(args)
	case "echo":
		return echoServer(args)
	case "web":
		return webServer(args)
	case "fence":
		return fenceAgent(args)
	case "gated":
		return gated(args)
	case "mount":
		return mountHolder(args)
	}
	fmt.Fprintf(os.Stderr, "lab: no role %q\n", role)
	return 2
}

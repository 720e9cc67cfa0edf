package lab

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A group with Mounts holds a file system besides its address: its start script starts
// a process of the group that mounts one, in a mount namespace of its own, so that the
// mount lasts exactly as long as that process. What ends the group's processes (a stop
// script, the guard) ends the mount; what forgets one of them leaves it.
//
// The process tells the lab by a socket: that it comes, that it has mounted, and by the
// end of the connection, which the kernel closes, that it is gone.

// mountWatch knows which servers have which group's file system mounted.
type mountWatch struct {
	lab    *Lab
	socket *net.UnixListener
	wg     sync.WaitGroup

	mu     sync.Mutex
	mounts []*Mount
	conns  map[*net.UnixConn]bool
	over   bool
}

// Mount is one stretch of time in which a server had a group's file system mounted.
type Mount struct {
	Group, Server string
	From          time.Time
	Until         time.Time // zero: it still has it
	pid           int       // in the world
}

func (l *Lab) mountSocket() string { return filepath.Join(l.dir, "mounts.sock") }

// mountDir is where the file system of a group is, on every server.
func mountDir(group string) string { return RunDir + "/mnt." + group }

func newMountWatch(l *Lab) (*mountWatch, error) {
	s, err := net.ListenUnix("unix", &net.UnixAddr{Name: l.mountSocket(), Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("watch mounts: %w", err)
	}
	w := &mountWatch{lab: l, socket: s, conns: map[*net.UnixConn]bool{}}
	w.wg.Go(func() {
		for {
			c, err := s.AcceptUnix()
			if err != nil {
				return
			}
			w.mu.Lock()
			w.conns[c] = !w.over
			if w.over {
				c.Close()
			}
			w.mu.Unlock()
			w.wg.Go(func() { w.follow(c) })
		}
	})
	return w, nil
}

// follow is one holder of a mount from its first word to its end.
func (w *mountWatch) follow(c *net.UnixConn) {
	defer func() {
		w.mu.Lock()
		delete(w.conns, c)
		w.mu.Unlock()
		c.Close()
	}()
	in := bufio.NewScanner(c)
	if !in.Scan() {
		return // it was ended before it had anything to say
	}
	f := strings.Fields(in.Text())
	pid, err := peerPID(c)
	if err != nil || len(f) != 3 || f[0] != "mounted" {
		w.lab.complain(fmt.Errorf("watch mounts: %q (%v)", in.Text(), err))
		return
	}
	m := w.begin(Mount{Group: f[1], Server: f[2], From: time.Now(), pid: pid})
	for in.Scan() {
		w.lab.complain(fmt.Errorf("watch mounts: %q", in.Text()))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over {
		m.Until = time.Now()
	}
}

// begin notes a mount and looks for a second one, as holderWatch does: the other, then
// the new one again, so that both are there at one instant. A server that stands still
// as a whole is judged later, by what it has left when it goes on (see carries).
func (w *mountWatch) begin(m Mount) *Mount {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mounts = append(w.mounts, &m)
	for _, o := range w.mounts {
		if o.Group != m.Group || o.Server == m.Server || !o.Until.IsZero() || w.lab.excused(o.Server, time.Now()) {
			continue
		}
		if o.isThere() && m.isThere() {
			w.lab.complain(fmt.Errorf("group %s mounted twice at %s: %s has mounted it while %s still had it",
				m.Group, time.Now().Format("15:04:05.000"), m.Server, o.Server))
		}
	}
	return &m
}

// isThere looks at the mounts that the holder has, as the kernel lists them
// (proc_pid_mountinfo(5)); a process that is ending has none.
func (m *Mount) isThere() bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", m.pid))
	return err == nil && bytes.Contains(text, []byte(" "+mountDir(m.Group)+" "))
}

func (w *mountWatch) list() []Mount {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []Mount
	for _, m := range w.mounts {
		out = append(out, *m)
	}
	return out
}

func (w *mountWatch) close() {
	w.mu.Lock()
	w.over = true
	w.socket.Close()
	for c := range w.conns {
		c.Close()
	}
	w.mu.Unlock()
	w.wg.Wait()
}

func peerPID(c *net.UnixConn) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	e := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if e != nil || err != nil {
		return 0, fmt.Errorf("%w (%v)", err, e)
	}
	return int(cred.Pid), nil
}

// mountScript are the lines of a start or stop script that see to the mount. A RECOVER
// run mounts nothing: the group is carried elsewhere.
func (l *Lab) mountScript(g *Group, kind string) string {
	pid := RunDir + "/mnt." + g.Name + ".pid"
	if kind == "stop" {
		return fmt.Sprintf(`if read pid <%[1]s 2>/dev/null; then
  kill -9 $pid 2>/dev/null
  while [ -d /proc/$pid ]; do sleep 0.005; done
  rm -f %[1]s
fi
`, pid)
	}
	exe, err := os.Executable()
	if err != nil {
		l.complain(fmt.Errorf("mount of %s: %w", g.Name, err))
	}
	return fmt.Sprintf("if [ $ARMS_EVENT != RECOVER ]; then\n  '%s' %s mount %s '%s' </dev/null >/dev/null 2>&1 &\n  echo $! >%s\nfi\n",
		exe, roleArg, g.Name, l.mountSocket(), pid)
}

// mountHolder is the process of a group that has its file system mounted, until it is
// killed. args: the group, the lab's socket.
func mountHolder(args []string) int {
	err := func() error {
		name, err := os.Hostname()
		if err != nil {
			return err
		}
		c, err := net.Dial("unix", args[1])
		if err != nil {
			return err
		}
		dir := mountDir(args[0])
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("mount namespace: %w", err)
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("make mounts private: %w", err)
		}
		if err := unix.Mount(args[0], dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=64k"); err != nil {
			return fmt.Errorf("mount %s: %w", dir, err)
		}
		if _, err := fmt.Fprintf(c, "mounted %s %s\n", args[0], name); err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 1)) // to the lab's end
		return err
	}()
	fmt.Fprintf(os.Stderr, "mount: %v\n", err)
	return 1
}

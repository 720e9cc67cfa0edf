package lab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Disks that fail or hang under a running batond (Options.IOFaults). batond is started
// with a seccomp filter that hands its reads, writes and syncs of files by offset to the
// lab before the kernel carries them out (seccomp_unotify(2)); the lab lets them go on,
// makes them fail, or keeps them: a thread that is kept waits in the kernel, and only
// SIGKILL ends it, as with a dead disk. That is all of what batond does to its store and
// to a CLUSTER partition, but for memory mappings, and it works without root.

// Files whose I/O can be made to fail or hang.
const (
	StoreFile   = "baton.db"     // of the state directory
	ClusterDisk = "cluster.disk" // the tie-breaker's
)

// ioGate is the lab's side, for all servers.
type ioGate struct {
	lab    *Lab
	socket *net.UnixListener
	wg     sync.WaitGroup
	stop   chan struct{}

	mu    sync.Mutex
	rules map[ioKey]ioRule
	kept  []keptCall
}

type ioKey struct{ server, file string }

// ioRule is what becomes of a file's I/O; the zero value lets it go on.
type ioRule struct {
	hang  bool
	errno unix.Errno
}

// keptCall is a system call that waits for its file to come back.
type keptCall struct {
	key ioKey
	fd  int // listener
	id  uint64
}

func (l *Lab) gateSocket() string { return filepath.Join(l.dir, "io.sock") }

func newIOGate(l *Lab) (*ioGate, error) {
	s, err := net.ListenUnix("unix", &net.UnixAddr{Name: l.gateSocket(), Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("gate of I/O: %w", err)
	}
	g := &ioGate{lab: l, socket: s, rules: map[ioKey]ioRule{}, stop: make(chan struct{})}
	g.wg.Go(func() {
		for {
			c, err := s.AcceptUnix()
			if err != nil {
				return
			}
			server, fd, err := receiveFD(c)
			c.Close()
			if err != nil {
				l.complain(fmt.Errorf("gate of I/O: %w", err))
				continue
			}
			g.wg.Go(func() { g.follow(server, fd) })
		}
	})
	return g, nil
}

// receiveFD reads a name and a file that came with it.
func receiveFD(c *net.UnixConn) (name string, fd int, err error) {
	buf, oob := make([]byte, 64), make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := c.ReadMsgUnix(buf, oob)
	if err != nil {
		return "", -1, err
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(msgs) != 1 {
		return "", -1, fmt.Errorf("no file came along (%w)", err)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		return "", -1, fmt.Errorf("no file came along (%w)", err)
	}
	unix.CloseOnExec(fds[0])
	return string(buf[:n]), fds[0], nil
}

// seccompNotif and seccompResp are of linux/seccomp.h.
type seccompNotif struct {
	id         uint64
	pid, flags uint32
	nr         int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

type seccompResp struct {
	id    uint64
	val   int64
	errno int32
	flags uint32
}

// follow answers for one batond and its children until the last one has ended.
func (g *ioGate) follow(server string, fd int) {
	defer g.forget(fd)
	for {
		select {
		case <-g.stop:
			return
		default:
		}
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, 100)
		switch {
		case errors.Is(err, unix.EINTR) || err == nil && n == 0:
			continue
		case err != nil || p[0].Revents&unix.POLLHUP != 0:
			return
		}
		var call seccompNotif
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&call))); e != 0 {
			continue // the caller has been killed meanwhile
		}
		file, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", call.pid, int32(call.args[0])))
		key := ioKey{server, filepath.Base(strings.TrimSuffix(file, " (deleted)"))}
		g.mu.Lock()
		rule := g.rules[key]
		if rule.hang {
			g.kept = append(g.kept, keptCall{key, fd, call.id})
		}
		g.mu.Unlock()
		if !rule.hang {
			answer(fd, call.id, rule.errno)
		}
	}
}

// answer lets a call go on, or makes it fail.
func answer(fd int, id uint64, errno unix.Errno) {
	r := seccompResp{id: id, errno: -int32(errno)}
	if errno == 0 {
		r.flags = unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE
	}
	// An error says that the caller has been killed meanwhile.
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&r)))
}

// forget drops what is kept of a batond that has ended.
func (g *ioGate) forget(fd int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var left []keptCall
	for _, k := range g.kept {
		if k.fd != fd {
			left = append(left, k)
		}
	}
	g.kept = left
	unix.Close(fd)
}

// set changes what becomes of a file's I/O on a server; what has been kept goes by the
// new rule.
func (g *ioGate) set(key ioKey, r ioRule) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.rules[key] = r
	if r.hang {
		return
	}
	var left []keptCall
	for _, k := range g.kept {
		if k.key == key {
			answer(k.fd, k.id, r.errno)
		} else {
			left = append(left, k)
		}
	}
	g.kept = left
}

func (g *ioGate) close() {
	close(g.stop)
	g.socket.Close()
	g.wg.Wait()
}

// HangIO keeps every access to a file (StoreFile, ClusterDisk) on this server until
// HealIO. FailIO makes them fail with an error number.
func (s *Server) HangIO(file string) error { return s.ruleIO(file, ioRule{hang: true}, "hangs") }

// FailIO makes every access to a file on this server fail.
func (s *Server) FailIO(file string, errno unix.Errno) error {
	return s.ruleIO(file, ioRule{errno: errno}, "fails: "+errno.Error())
}

// HealIO lets accesses to a file on this server go on.
func (s *Server) HealIO(file string) error { return s.ruleIO(file, ioRule{}, "works") }

func (s *Server) ruleIO(file string, r ioRule, what string) error {
	if s.lab.gate == nil {
		return fmt.Errorf("I/O of %s on %s: not without IOFaults()", file, s.Name)
	}
	s.lab.note("%s on %s %s", file, s.Name, what)
	s.lab.gate.set(ioKey{s.Name, file}, r)
	return nil
}

// gated becomes another program, whose I/O on files goes by the gate. args: the lab's
// socket, the server's name, the program and its arguments.
func gated(args []string) int {
	err := func() error {
		c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: args[0], Net: "unix"})
		if err != nil {
			return err
		}
		fd, err := gateFilter()
		if err != nil {
			return err
		}
		if _, _, err := c.WriteMsgUnix([]byte(args[1]), unix.UnixRights(fd), nil); err != nil {
			return err
		}
		unix.CloseOnExec(fd)
		return syscall.Exec(args[2], args[2:], os.Environ())
	}()
	fmt.Fprintf(os.Stderr, "gate of I/O: %v\n", err)
	return 1
}

// gateFilter gives the calling thread the filter and returns its listener.
func gateFilter() (int, error) {
	watched := []uint32{unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_FSYNC, unix.SYS_FDATASYNC}
	const load, equal, ret = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	// A word at offset 0 of struct seccomp_data is the number of the call. Programs of
	// this machine's other architectures, with other numbers, are not run here.
	prog := []unix.SockFilter{{Code: load}}
	for i, nr := range watched {
		prog = append(prog, unix.SockFilter{Code: equal, Jt: uint8(len(watched) - i), K: nr})
	}
	prog = append(prog, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW}, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_USER_NOTIF})
	f := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	defer runtime.KeepAlive(prog)
	// Killable: the runtime's signals to its own threads must not take a kept call back.
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	fd, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&f)))
	if e != 0 {
		return -1, fmt.Errorf("seccomp filter with a listener (Linux 5.19): %w", e)
	}
	return int(fd), nil
}
